"""`aiohttp` as the operator uses it, over a simulated network: requests and answers are late, lost, or never come.

What a request has reached is done, whether its answer arrives or not. That is what every write has to live with.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from support.world.library import module_of
from support.world.scheduler import Process, World

# How long bytes are on their way, one way.
TRAVEL_S = 0.002


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody asks."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    by: Process

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(eq=False)
class Reply:
    """What is answered: a status and a body, or lines that go on."""

    status: int
    body: bytes = b""
    lines: deque[bytes] | None = None
    """Of a watch."""
    is_closed: bool = False
    """Whether no more lines come."""
    is_cut: bool = False
    """Whether the connection broke."""
    awake: Callable[[], None] = field(default=lambda: None)
    """Called when there is something new."""

    def push(self, line: bytes) -> None:
        """Send a line."""
        if self.lines is not None and not self.is_closed:
            self.lines.append(line)
            self.awake()

    def close(self, *, cut: bool = False) -> None:
        """End it."""
        self.is_closed, self.is_cut = True, cut
        self.awake()


# Takes a request and calls with the reply, now or later, or never.
Serve = Callable[[Request, Callable[[Reply], None]], None]


@dataclass(eq=False)
class Network:
    """Who listens where."""

    world: World
    hosts: dict[str, Serve] = field(default_factory=dict)
    """By host."""
    fate: Callable[[Request, str], tuple[float, float]] = lambda request, host: (TRAVEL_S, TRAVEL_S)
    """How long a request and its answer travel, in seconds; infinity: they are lost."""


def json_reply(status: int, document: Any) -> Reply:
    """Return a reply with a document."""
    return Reply(status, json.dumps(document, separators=(",", ":")).encode())


class Content:
    """The body of an answer."""

    def __init__(self, reply: Reply, silence_s: float | None) -> None:
        self._reply = reply
        self._silence_s = silence_s

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield what has come."""
        if self._reply.lines is None:
            yield self._reply.body
            return
        arrived = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._reply.awake = lambda: _wake(loop, arrived)
        while True:
            while self._reply.lines:
                yield self._reply.lines.popleft() + b"\n"
            if self._reply.is_closed:
                if self._reply.is_cut:
                    raise aiohttp.ClientPayloadError("the connection was cut")
                return
            arrived.clear()
            async with asyncio.timeout(self._silence_s):
                await arrived.wait()


def _wake(loop: asyncio.AbstractEventLoop, arrived: asyncio.Event) -> None:
    loop.call_later(TRAVEL_S, arrived.set)


class Answer:
    """An answer, as aiohttp shows it."""

    def __init__(self, reply: Reply, *, silence_s: float | None) -> None:
        self.status = reply.status
        self.headers = {"Date": _http_date(World.current.now_us)}
        self.content = Content(reply, silence_s)
        self._reply = reply

    async def text(self) -> str:
        """Return the body."""
        return self._reply.body.decode()


def _http_date(now_us: int) -> str:
    return formatdate(now_us // 1_000_000, usegmt=True)


@dataclass(frozen=True)
class Asked:
    """A request as aiohttp shows it to a middleware."""

    method: str


class Exchange:
    """`async with session.request(...) as answer`."""

    def __init__(self, session: "ClientSession", request: Request, host: str, timeout: aiohttp.ClientTimeout) -> None:
        self._session = session
        self._request = request
        self._host = host
        self._timeout = timeout

    async def __aenter__(self) -> Answer:
        if self._session.closed:
            raise RuntimeError("Session is closed")
        send: Callable[[Any], Awaitable[Answer]] = self._send
        for middleware in self._session.middlewares:
            send = _through(middleware, send)
        async with asyncio.timeout(self._timeout.total):
            return await send(Asked(self._request.method))

    async def __aexit__(self, *error: object) -> None:
        return None

    async def _send(self, asked: Any) -> Answer:
        network, world = network_of(World.current), World.current
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Reply] = loop.create_future()
        there_s, back_s = network.fate(self._request, self._host)

        def come_back(reply: Reply) -> None:
            world.at(back_s, lambda: None if answered.done() else answered.set_result(reply), self._request.by)

        def arrive() -> None:
            serve = network.hosts.get(self._host)
            if serve is not None:
                serve(self._request, come_back)

        if self._host not in network.hosts:
            raise aiohttp.ClientConnectionError(f"nobody listens at {self._host}")
        if there_s != float("inf"):
            world.at(there_s, arrive)  # whatever becomes of who has asked
        self._session.waiting[answered] = None
        try:
            return Answer(await answered, silence_s=self._timeout.sock_read)
        finally:
            self._session.waiting.pop(answered, None)


def _through(middleware: Any, send: Any) -> Any:
    return lambda asked: middleware(asked, send)


class ClientSession:
    """`aiohttp.ClientSession`."""

    def __init__(
        self,
        *,
        connector: object = None,
        middlewares: tuple[Any, ...] = (),
        timeout: aiohttp.ClientTimeout | None = None,
        **options: Any,
    ) -> None:
        self.closed = False
        self.middlewares = middlewares
        self.waiting: dict[asyncio.Future[Reply], None] = {}
        self._timeout = timeout or aiohttp.ClientTimeout()

    def request(
        self, method: str, url: str, *, data: str | None = None, timeout: aiohttp.ClientTimeout | None = None, **_: Any
    ) -> Exchange:
        """Ask."""
        by = World.current.my_process()
        if by is None:
            raise RuntimeError("a request belongs to a process")
        parts = urlsplit(url)
        body = None if data is None else json.loads(data)
        request = Request(method=method, path=parts.path, query=dict(parse_qsl(parts.query)), body=body, by=by)
        return Exchange(self, request, parts.netloc, timeout or self._timeout)

    def get(self, url: str, **options: Any) -> Exchange:
        """Ask for a page."""
        return self.request("GET", url, **options)

    async def close(self) -> None:
        """Close it: what is under way fails."""
        self.closed = True
        for answered in self.waiting:
            if not answered.done():
                answered.set_exception(aiohttp.ClientConnectionError("the session was closed"))


def network_of(world: World) -> Network:
    """Return the world's network."""
    found: Network = vars(world).setdefault("network", Network(world))
    return found


MODULE = module_of(
    "aiohttp",
    {"ClientSession": ClientSession, "TCPConnector": lambda **options: None, "DummyCookieJar": lambda: None},
    beneath=aiohttp,
)

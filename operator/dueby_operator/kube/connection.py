"""The connection to an API server: who we are, where it is, and the sockets, which can be replaced by new ones."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp

from dueby_api.errors import Transient
from dueby_operator.kube.pages import JSON

# Tokens of service accounts change every hour; the file is read again so often.
SIGN_IN_S = 60.0
# Bytes that were not acknowledged by then are dropped by the kernel. It would send them when a partition ends minutes
# later, whatever became of the process. Less than a Lease's margin (LeaseTimes).
UNSENT_S = 2.0


class Access(Protocol):
    """Where the API server is and what to show it, such as kopf.ConnectionInfo."""

    @property
    def server(self) -> str:
        """Address, with its scheme."""

    def as_http_headers(self) -> dict[str, str]:
        """Return the credentials that are sent with each request."""

    def as_ssl_context(self) -> ssl.SSLContext:
        """Return the credentials that the connection is made with."""


class Connection:
    """One connection, made when it is used first."""

    def __init__(self, sign_in: Callable[[], Access], *, before_write: Callable[[], object] | None) -> None:
        """`before_write` is called directly before each attempt at a write, and raises if there may be none."""
        self._sign_in = sign_in
        self._before_write = before_write
        self._access: Access | None = None
        self._signed_in_s = 0.0
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False
        self._closing: set[asyncio.Future[None]] = set()
        """Sessions that are being closed."""
        self._under_way: set[asyncio.Timeout] = set()
        """What ends requests early."""

    async def close(self) -> None:
        """Close it. What is under way fails, and nothing is asked any more."""
        self._is_closed = True
        self.renew()
        await asyncio.gather(*self._closing)

    def renew(self) -> None:
        """Use new sockets from now on, and have what is under way fail with a TimeoutError."""
        for limit in self._under_way:
            if not limit.expired():  # aiohttp closes sockets without a word to who waits for them
                limit.reschedule(asyncio.get_running_loop().time())
        old, self._session = self._session, None
        if old is not None:
            closing = asyncio.ensure_future(old.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    @asynccontextmanager
    async def request(self, method: str, url: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; its answer may be read until the connection is renewed. Raise Transient if it was closed."""
        async with asyncio.timeout(None) as limit:
            self._under_way.add(limit)
            try:
                async with self._opened().request(method, url, **options) as answer:
                    yield answer
            finally:
                self._under_way.discard(limit)

    def _opened(self) -> aiohttp.ClientSession:
        if self._is_closed:
            raise Transient("the client is closed")
        if self._session is None:
            access = self._signed_in()
            secure = access.as_ssl_context() if access.server.startswith("https:") else False
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=secure, limit=0, socket_factory=open_socket),
                middlewares=(self._ask_before_each_attempt,),
            )
        return self._session

    def headers(self) -> dict[str, str]:
        return {"Accept": JSON, "User-Agent": "dueby-operator", **self._signed_in().as_http_headers()}

    def url(self, path: str, query: Mapping[str, str]) -> str:
        """Return the address of a path; what is empty is left out of the query."""
        parameters = urlencode({name: value for name, value in query.items() if value})
        return f"{self._signed_in().server}{path}{'?' if parameters else ''}{parameters}"

    async def _ask_before_each_attempt(
        self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send the request if a write may be sent now: aiohttp tries again by itself when a connection was cut."""
        if request.method != "GET" and self._before_write is not None:
            self._before_write()
        return await send(request)

    def _signed_in(self) -> Access:
        if self._access is None or time.monotonic() - self._signed_in_s > SIGN_IN_S:
            self._access, self._signed_in_s = self._sign_in(), time.monotonic()
        return self._access


def open_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Return a new socket whose bytes die with a connection that is cut, rather than arrive when nobody means them."""
    family, kind, protocol, *_ = address
    opened = socket.socket(family, kind, protocol)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNSENT_S * 1000))
    return opened

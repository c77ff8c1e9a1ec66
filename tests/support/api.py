"""An API server that misbehaves as real ones seldom do: it says what a test tells it to, over real HTTP."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from dueby_operator.kube.client import Kube


@dataclass(frozen=True)
class Open:
    """Access without credentials."""

    server: str

    def as_http_headers(self) -> dict[str, str]:
        return {}

    def as_ssl_context(self) -> ssl.SSLContext:
        raise AssertionError("this server speaks plain HTTP")


@dataclass
class Answers:
    """What the server says to lists and to watches, in this order; the last is said again."""

    lists: list[dict[str, Any]]
    watches: list[list[dict[str, Any]] | int]
    """Events and then the end of the connection, or a status."""
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            self.asked.append("list")
            return web.json_response(self.lists.pop(0) if len(self.lists) > 1 else self.lists[0])
        self.asked.append(f"watch from {request.query['resourceVersion']}")
        if not self.watches:  # a watch on which nothing happens
            await asyncio.sleep(3600)
        events = self.watches.pop(0)
        if isinstance(events, int):
            return web.json_response({"message": "no"}, status=events)
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            await response.write(json.dumps(event).encode() + b"\n")
        return response


@asynccontextmanager
async def address_of(handler: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    """The address of a server that answers so."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def served(
    handler: Callable[[web.Request], Any],
    *,
    seconds_to_write: Callable[[], float] | None = None,
    hear: Callable[[str | None], None] = lambda date: None,
) -> AsyncIterator[Kube]:
    """A client of a server that answers so; `hear` gets the times in its answers."""
    async with address_of(handler) as address:
        kube = Kube(lambda: Open(address), seconds_to_write=seconds_to_write, hear=hear)
        try:
            yield kube
        finally:
            await kube.close()

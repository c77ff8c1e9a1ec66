"""What a write may still do when the Lease runs out: nothing late, and nothing at all once it has run out."""

import asyncio
import socket

import pytest
from aiohttp import web

from dueby_api.errors import Transient
from dueby_operator.kube.connection import open_socket
from dueby_operator.kube.lease import LeaseLost, LeaseTimes
from support.api import served


class Server:
    """A server that answers reads at once and writes never; and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.query_string))
        if request.method != "GET":
            await asyncio.sleep(3600)
        return web.json_response({})


def run_out() -> float:
    raise LeaseLost("the Lease has run out")


def test_a_write_ends_with_the_time_that_it_has_and_so_it_does_in_the_server() -> None:
    server = Server()

    async def go() -> None:
        async with served(server.answer, seconds_to_write=lambda: 0.2) as kube:
            for write in (kube.create("/a", {}), kube.replace("/a", {}), kube.merge("/a", {})):
                with pytest.raises(Transient, match="TimeoutError"):
                    await asyncio.wait_for(write, 60)

    asyncio.run(go())
    assert [(method, "timeout=200ms" in query) for method, query in server.asked] == [
        ("POST", True),
        ("PUT", True),
        ("PATCH", True),
    ]


def test_without_any_time_no_write_is_sent_and_reads_are() -> None:
    server = Server()

    async def go() -> None:
        async with served(server.answer, seconds_to_write=run_out) as kube:
            with pytest.raises(LeaseLost):
                await kube.create("/a", {})
            await kube.get("/a")

    asyncio.run(go())
    assert server.asked == [("GET", "")]


def test_a_write_whose_connection_was_cut_is_not_sent_again_after_the_lease() -> None:
    writes: list[str] = []

    def seconds_to_write() -> float:
        return run_out() if writes else 10.0

    async def answer(request: web.Request) -> web.Response:
        if request.method != "GET":
            writes.append(request.path)
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({})

    async def go() -> None:
        async with served(answer, seconds_to_write=seconds_to_write) as kube:
            await kube.get("/a")
            with pytest.raises(LeaseLost):
                await kube.replace("/a", {})

    asyncio.run(go())
    assert writes == ["/a"]


def test_a_client_that_is_closed_asks_nothing_more() -> None:
    server = Server()

    async def go() -> None:
        async with served(server.answer) as kube:
            await kube.get("/a")
            await kube.close()
            with pytest.raises(Transient, match="closed"):
                await kube.get("/a")

    asyncio.run(go())
    assert len(server.asked) == 1


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel can't be told")
def test_bytes_that_wait_in_the_kernel_die_before_another_may_take_the_lease() -> None:
    with open_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ())) as opened:
        dies_ms = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    # aiohttp rounds timeouts of more than 5 s up to whole seconds.
    assert 0 < dies_ms / 1000 + 1 <= LeaseTimes().margin_s

"""Asking workers that may be anybody's program: what it does costs its own answer, and soon ends."""

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable

import pytest

from dueby_operator.gathering.worker_poll import MAX_BYTES, WorkerClient
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod

TIMEOUT_S = 0.5
OK = b"HTTP/1.1 200 OK\r\n"


def pod(address: str = "127.0.0.1") -> Pod:
    return parse(Pod, {"metadata": {"name": "p"}, "status": {"podIP": address}})


async def ask(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> bytes | None:
    """Ask a worker that answers so, once the question is there."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            await answer(writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = WorkerClient(port=server.sockets[0].getsockname()[1], timeout_s=TIMEOUT_S)
    try:
        found = await client.ask(pod(), "/progress")
    finally:
        await client.close()
        server.close()
    # The client asks again, once, where a connection ends without a word.
    assert {question.partition(b" HTTP")[0] for question in asked} == {b"GET /progress"}, "it is led nowhere else"
    assert all(b"Accept-Encoding: identity\r\n" in question for question in asked)
    return found


def says(*pieces: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def say(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return say


def repeats(begin: bytes, piece: bytes, *, pause_s: float = 0.0) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def repeat(writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return repeat


def whole(body: bytes, *headers: bytes) -> bytes:
    return OK + b"".join(header + b"\r\n" for header in headers) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_a_workers_page_is_read() -> None:
    assert asyncio.run(ask(says(whole(b"{}")))) == b"{}"
    most = b" " * MAX_BYTES["/progress"]
    assert asyncio.run(ask(says(whole(most)))) == most


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(says(whole(b" " * (MAX_BYTES["/progress"] + 1))), id="a long body"),
        pytest.param(repeats(OK + b"\r\n", b" " * 65_536), id="a body without an end"),
        pytest.param(repeats(OK + b"\r\n", b" ", pause_s=0.05), id="a slow body"),
        pytest.param(repeats(OK, b"X-A: b\r\n"), id="headers without an end"),
        pytest.param(says(OK + b"X-A: " + b"b" * 2**20 + b"\r\n\r\n"), id="a header of a megabyte"),
        pytest.param(says(whole(gzip.compress(b" " * 10**6), b"Content-Encoding: gzip")), id="gzip"),
        pytest.param(says(whole(b"{}", b"Content-Encoding: made-up")), id="another encoding"),
        pytest.param(says(b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"), id="a redirection"),
        pytest.param(says(b"HTTP/1.1 307 No\r\nLocation: http://169.254.169.254/\r\n\r\n"), id="to cloud metadata"),
        pytest.param(says(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}"), id="a failure"),
        pytest.param(says(OK + b"Content-Length: 9\r\n\r\n{}"), id="half a body"),
        pytest.param(says(b"\x00\xff" * 100), id="no HTTP"),
        pytest.param(says(), id="nothing"),
        pytest.param(says(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), id="a chunk of no size"),
        pytest.param(says(OK + b"Set-Cookie: a=b\r\nContent-Length: x\r\n\r\n"), id="a length that is none"),
    ],
)
def test_what_a_strangers_program_answers_instead_is_no_answer_and_ends_in_time(
    answer: Callable[[asyncio.StreamWriter], Awaitable[None]],
) -> None:
    began_s = time.monotonic()
    assert asyncio.run(ask(answer)) is None
    assert time.monotonic() - began_s < 20 * TIMEOUT_S


@pytest.mark.parametrize("address", ["", "nowhere.example", "127.0.0.1:80/x?", "[::1]", "10.0.0.1@example.org"])
def test_what_is_no_address_is_not_asked(address: str) -> None:
    async def ask_there() -> bytes | None:
        client = WorkerClient(timeout_s=TIMEOUT_S)
        try:
            return await client.ask(pod(address), "/progress")
        finally:
            await client.close()

    assert asyncio.run(ask_there()) is None

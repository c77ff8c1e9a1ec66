"""What comes over a connection is read up to a size, in whatever pieces it comes."""

import asyncio

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from dueby_operator.kube.client import read_body, read_lines

LIMIT = 4


async def stream(*pieces: bytes) -> aiohttp.StreamReader:
    """A body that comes in these pieces, and ends."""
    loop = asyncio.get_running_loop()
    content = aiohttp.StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    for piece in pieces:
        content.feed_data(piece)
    content.feed_eof()
    return content


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        pytest.param([b"ab\ncd\n"], [b"ab", b"cd"], id="lines in one piece"),
        pytest.param([b"a", b"b", b"\nc", b"d\n"], [b"ab", b"cd"], id="a line in pieces"),
        pytest.param([b"abcd\n"], [b"abcd"], id="as long as may be"),
        pytest.param([b"abcde\nf\n"], [None, b"f"], id="one that is too long, and another"),
        pytest.param([b"abc", b"def", b"ghi", b"\nf\n"], [None, b"f"], id="too long in pieces"),
        pytest.param([b"ab\nabcdef"], [b"ab", None], id="too long, without an end"),
        pytest.param([b"ab"], [b"ab"], id="without an end"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_lines_are_read_and_long_ones_are_none(pieces: list[bytes], lines: list[bytes | None]) -> None:
    async def go() -> list[bytes | None]:
        return [line async for line in read_lines(await stream(*pieces), LIMIT)]

    assert asyncio.run(go()) == lines


@pytest.mark.parametrize(("pieces", "body"), [([b"ab", b"cd"], b"abcd"), ([b"ab", b"cde"], None), ([], b"")])
def test_a_body_is_read_whole_or_not_at_all(pieces: list[bytes], body: bytes | None) -> None:
    async def go() -> bytes | None:
        return await read_body(await stream(*pieces), LIMIT)

    assert asyncio.run(go()) == body

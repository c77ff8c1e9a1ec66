"""Read what comes over a connection up to a size: whoever is asked may send more than there is memory for."""

from collections.abc import AsyncIterator

import aiohttp

CHUNK = 2**16


async def read_body(content: aiohttp.StreamReader, limit: int) -> bytes | None:
    """Return the whole body; None if it is longer than the limit, in bytes."""
    body = bytearray()
    async for chunk in content.iter_chunked(CHUNK):
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


async def read_lines(content: aiohttp.StreamReader, limit: int) -> AsyncIterator[bytes | None]:
    """Yield each line without its end; None instead of one that is longer than the limit, in bytes."""
    line = bytearray()
    async for chunk in content.iter_chunked(CHUNK):
        first, *others = chunk.split(b"\n")
        # A byte beyond the limit tells that it is exceeded; no more is kept.
        line += first[: limit + 1 - len(line)]
        for other in others:
            yield bytes(line) if len(line) <= limit else None
            line = bytearray(other[: limit + 1])
    if line:
        yield bytes(line) if len(line) <= limit else None

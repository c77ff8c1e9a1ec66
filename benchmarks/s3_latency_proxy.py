"""A proxy before an S3 server that is far away: each answer comes so much later.

    python benchmarks/s3_latency_proxy.py HOST:PORT --delay-ms 10 [--requests-per-s 100] [--bytes-per-s 1000000]

It prints its port and runs until it is ended. The first bytes of an answer wait for the delay and the others follow at
once, so that the delay is that of a round trip and the bandwidth is the server's. With a limit on requests, those above
it are refused with 503 SlowDown, as S3 does. With one on bytes, what the server sends comes no faster, as over a line.

It counts the requests that wait for their answers: `GET /-/counts` gives how many there were, the most at the same time
and how many were refused, and begins to count again.
"""

import argparse
import asyncio
import json
import math
from dataclasses import dataclass

COUNTS = b"GET /-/counts "
BODY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
REFUSAL = b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
# A tenth of a second's requests may come at once, or five.
BURST_S, LEAST_BURST = 0.1, 5.0


@dataclass(kw_only=True)
class Limits:
    """What is granted a second, to all connections together; inf: all that is asked."""

    requests: float = math.inf
    bytes_per_s: float = math.inf
    _line_free_s: float = 0.0
    _tokens: float = 1.0
    _filled_s: float = 0.0

    def grants(self, now_s: float) -> bool:
        """Whether a request is within the limit."""
        if math.isinf(self.requests):
            return True
        most = max(LEAST_BURST, BURST_S * self.requests)
        self._tokens = min(most, self._tokens + self.requests * (now_s - self._filled_s))
        self._filled_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def passed_s(self, now_s: float, count: int) -> float:
        """When so many bytes have passed that are sent now, after those that were sent before."""
        self._line_free_s = max(now_s, self._line_free_s) + count / self.bytes_per_s
        return self._line_free_s


@dataclass(kw_only=True)
class Counts:
    """Requests since somebody asked."""

    requests: int = 0
    waiting: int = 0
    most: int = 0
    refused: int = 0

    def begin(self) -> None:
        """A request came."""
        self.requests += 1
        self.waiting += 1
        self.most = max(self.most, self.waiting)

    def take(self) -> bytes:
        """The answer with the counts so far, which begin again."""
        body = json.dumps({"requests": self.requests, "mostInFlight": self.most, "refused": self.refused}).encode()
        self.requests = self.most = self.refused = 0
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class FromClient(asyncio.Protocol):
    """A client's connection, with one of its own to the server."""

    def __init__(self, upstream: tuple[str, int], delay_s: float, counts: Counts, limits: Limits) -> None:
        self._upstream, self._delay_s, self.counts, self._limits = upstream, delay_s, counts, limits
        self._server: asyncio.Transport | None = None
        # What the client sent before there was a connection to the server.
        self._early: list[bytes] = []
        # The beginning of an answer that waits for the delay; None: there is none.
        self._held: list[bytes] | None = None
        self._is_waiting = False
        self._is_closing = False
        # When all that was sent to the client has passed the line.
        self._passed_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the server."""
        assert isinstance(transport, asyncio.Transport)
        self._client = transport
        self._loop = asyncio.get_running_loop()
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        transport, _ = await self._loop.create_connection(lambda: FromServer(self), *self._upstream)
        self._server = transport
        for data in self._early:
            transport.write(data)
        if self._client.is_closing():
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Pass it on; what follows an answer is the next request."""
        if data.startswith(COUNTS):
            self._client.write(self.counts.take())
            self._client.close()
            return
        if not self._is_waiting:
            self._is_waiting = True
            self.counts.begin()
            if not self._limits.grants(self._loop.time()):
                self.counts.refused += 1
                self.answer(REFUSAL)
                return
        if self._server:
            self._server.write(data)
        else:
            self._early.append(data)

    def answer(self, data: bytes) -> None:
        """Pass on what the server sent, its first bytes after the delay."""
        if self._held is not None:
            self._held.append(data)
        elif self._is_waiting and self._delay_s:
            self._held = [data]
            self._loop.call_later(self._delay_s, self._release)
        else:
            self._send(data)

    def _release(self) -> None:
        held, self._held = self._held or [], None
        self._send(b"".join(held))
        if self._is_closing:
            self._close()

    def _send(self, data: bytes) -> None:
        self._end_waiting()
        if math.isinf(self._limits.bytes_per_s):
            self._client.write(data)
        else:
            self._passed_s = self._limits.passed_s(self._loop.time(), len(data))
            self._loop.call_at(self._passed_s, self._client.write, data)

    def _close(self) -> None:
        """Close the client's connection, after what is on the line: what is due at the same time comes in any order."""
        self._loop.call_at(math.nextafter(self._passed_s, math.inf), self._client.close)

    def _end_waiting(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self.counts.waiting -= 1

    def close(self) -> None:
        """The server has closed its connection; what it sent before still has to come through."""
        self._is_closing = True
        if self._held is None:
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has closed its connection."""
        self._end_waiting()
        if self._server:
            self._server.close()


class FromServer(asyncio.Protocol):
    """The server's side of a client's connection."""

    def __init__(self, client: FromClient) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        """Hand over to the client's side."""
        self._client.answer(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the client's side, too."""
        self._client.close()


async def serve(upstream: tuple[str, int], delay_s: float, limits: Limits) -> None:
    """Listen on a free port, print it, and serve until the process is ended."""
    counts = Counts()
    server = await asyncio.get_running_loop().create_server(
        lambda: FromClient(upstream, delay_s, counts, limits), "127.0.0.1", 0, backlog=256
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Read the words and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", metavar="HOST:PORT")
    parser.add_argument("--delay-ms", type=float, required=True)
    parser.add_argument("--requests-per-s", type=float, default=math.inf)
    parser.add_argument("--bytes-per-s", type=float, default=math.inf)
    options = parser.parse_args()
    limits = Limits(requests=options.requests_per_s, bytes_per_s=options.bytes_per_s)
    host, _, port = options.server.rpartition(":")
    asyncio.run(serve((host, int(port)), options.delay_ms / 1000, limits))


if __name__ == "__main__":
    main()

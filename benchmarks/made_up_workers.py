"""What workers would answer that do their work exactly as it was planned: a page for each pod, on one machine.

The pods of large_cluster.py have addresses of this machine, a net for each node; whoever asks one is answered here. A
process of its own, so that its time is nobody else's.

    python benchmarks/made_up_workers.py PORT IMAGES_PER_SECOND...     # of each 64 nodes
"""

import argparse
import asyncio
import json
import time


class Workers:
    """All of them, by address; each began when it was asked first."""

    def __init__(self, images_per_second: list[float]) -> None:
        self.images_per_second = images_per_second
        self.began_s: dict[str, float] = {}

    def progress(self, address: str) -> dict[str, object]:
        now_s = time.time()
        elapsed_s = now_s - self.began_s.setdefault(address, now_s)
        rate = self.images_per_second[int(address.split(".")[1]) - 1]
        return {
            "state": "running",
            "imagesDone": round(elapsed_s * rate),
            "imagesFailed": 0,
            "partsCommitted": 0,
            "batches": 1 + round(elapsed_s * 10),
            "imagesPerSecond": rate,
            "secondsSinceBatch": 0.0,
        }

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for as long as it is kept."""
        address = writer.get_extra_info("sockname")[0]
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                page = head.split(b" ", 2)[1]
                told = {"runs": []} if page == b"/parts" else self.progress(address)
                body = json.dumps(told).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                )
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("port", type=int, metavar="PORT")
    parser.add_argument("rates", type=float, nargs="+", metavar="IMAGES_PER_SECOND", help="of each 64 nodes")
    parsed = parser.parse_args()
    workers = Workers(parsed.rates)
    server = await asyncio.start_server(workers.answer, "0.0.0.0", parsed.port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

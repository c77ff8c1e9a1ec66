"""Ask workers how far they are: by their pods' addresses, many at once, and never for long."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

from dueby_operator.jobs.pod_templates import PORT
from dueby_operator.objects.pods import Pod

# A pass of the loop waits for the slowest worker, so no worker may hold it up for longer.
TIMEOUT_S = 3.0
# Connections. Some thousand workers are asked in each pass.
AT_ONCE = 64
Ask = Callable[[Pod, str], Awaitable[bytes | None]]
"""Returns a page of a worker's pod; None while it doesn't answer."""


class WorkerClient:
    """One session for all workers."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def ask(self, pod: Pod, page: str) -> bytes | None:
        """Return the page; None while the worker doesn't answer, which alone doesn't mean that it is dead."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), connector=aiohttp.TCPConnector(limit=AT_ONCE)
            )
        address = pod.status.pod_ip
        host = f"[{address}]" if ":" in address else address
        try:
            async with self._turns, self._session.get(f"http://{host}:{PORT}{page}") as answer:
                return await answer.read() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

"""Asking workers how far they are: by their pods' addresses, many at once, and never for long."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from dueby_operator.jobs.manifests import PORT

TIMEOUT_S = 3.0
AT_ONCE = 64


class Scraper:
    """One session for all workers."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def ask(self, pod: Mapping[str, Any], page: str) -> dict[str, Any] | None:
        """The page's JSON; None while the worker doesn't answer, which alone doesn't mean that it is dead."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), connector=aiohttp.TCPConnector(limit=AT_ONCE)
            )
        address = pod["status"]["podIP"]
        host = f"[{address}]" if ":" in address else address
        try:
            async with self._turns, self._session.get(f"http://{host}:{PORT}{page}") as answer:
                found = json.loads(await answer.read())
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

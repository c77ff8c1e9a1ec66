"""Let only so many things happen at once, and let tenants, and each tenant's jobs, take turns.

Whoever has the fewest under way goes next. So a tenant whose pods all keep silent fills what nobody else wants: another
one's answers, which take milliseconds, wait for one turn at most.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

Who = TypeVar("Who", bound=Hashable)


class FairSemaphore:
    """Gives so many turns at once."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: dict[str, dict[str, deque[asyncio.Future[None]]]] = {}
        """By tenant and job, in the order in which they came."""
        self._tenants: Counter[str] = Counter()
        self._jobs: Counter[tuple[str, str]] = Counter()
        """How many turns each has now."""

    @asynccontextmanager
    async def take(self, tenant: str, job: str) -> AsyncIterator[None]:
        """Wait for a turn, and give it back at the end."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.setdefault(tenant, {}).setdefault(job, deque()).append(turn)
        # Not at once: whoever asks in the same moment takes part in the choice.
        loop.call_soon(self._give)
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._count(tenant, job, -1)
                self._give()

    def _give(self) -> None:
        """Give what is free to those that wait."""
        while self._free and self._waiting:
            tenant = _least(self._waiting, self._tenants.__getitem__)
            jobs = self._waiting[tenant]
            job = self._least_of(tenant)
            turn = jobs[job].popleft()
            if not jobs[job]:
                del jobs[job]
            if not jobs:
                del self._waiting[tenant]
            if not turn.done():  # else its asker has given up
                self._count(tenant, job, +1)
                turn.set_result(None)

    def _least_of(self, tenant: str) -> str:
        """Return the tenant's job with the fewest turns."""
        return _least(self._waiting[tenant], lambda job: self._jobs[tenant, job])

    def _count(self, tenant: str, job: str, change: int) -> None:
        self._free -= change
        _add(self._tenants, tenant, change)
        _add(self._jobs, (tenant, job), change)


def _add(counter: Counter[Who], who: Who, change: int) -> None:
    """Change the count, and keep nothing of those that have none."""
    counter[who] += change
    if not counter[who]:
        del counter[who]


def _least(names: Iterable[str], busy: Callable[[str], int]) -> str:
    """Return the first name with the least number. No more have one than there are turns, so a free one is near."""
    return next((name for name in names if not busy(name)), None) or min(names, key=busy)

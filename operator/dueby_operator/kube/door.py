"""How many of a namespace's jobs are read: a budget for each, so that no tenant fills the memory that all share.

What a job's JSON would take of memory is reckoned before any object is made of it. Of a namespace the jobs are read
that were read before, then the oldest, as long as all of them are within the budget. The next ones wait, and their
conditions say so; of those beyond them nothing is kept. Jobs that are over have a budget of their own, so that they
hold up nobody, and the youngest are read: of the others nothing is left to be done but to delete them in their time.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from heapq import heappop, heappush

from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.stored_jobs import NOTHING, StoredJob, length_of

# Of memory, for what a namespace's jobs under way are read into, of usually 12 KiB each; and for those that are over.
MAX_UNDER_WAY_BYTES, MAX_OVER_BYTES = 2**24, 2**25
# Jobs of a namespace that wait and are told so, or are due to be deleted. The others are when their turn has come.
MAX_WAITING = 500
# Of the status of a job that waits, as JSON. One that has more to lose is left out, and its status stays as it is.
MAX_WAITING_STATUS_BYTES = 2**13


@dataclass(frozen=True, kw_only=True, order=True)
class _Offer:
    """A job, ordered by who has to leave first if there is no room for all."""

    was_read: bool
    stays_us: int
    """The time at which it was made; of jobs under way less than 0, since the youngest has to leave first."""
    name: str
    job: StoredJob | JobSnapshot = field(compare=False)
    """As text, or as it was read."""
    memory: int = field(compare=False)


class Door:
    """Lets in the jobs of one list, as far as there is room for them."""

    def __init__(self, read_before: Container[str], turn_away: Callable[[StoredJob], JobSnapshot | None]) -> None:
        """Take the uids of the jobs that were read before, and what is to be known of one for which there is no room.

        `turn_away` returns None if nothing is.
        """
        self._read_before = read_before
        self._turn_away = turn_away
        self._offers: dict[tuple[str, bool], list[_Offer]] = defaultdict(list)
        """By namespace, and whether they are over."""
        self._memory: Counter[tuple[str, bool]] = Counter()
        self._turned_away: dict[tuple[str, bool], list[JobSnapshot]] = defaultdict(list)
        self.left_out: Counter[str] = Counter()
        """Jobs of which nothing is kept, by namespace."""

    def offer(self, stored: StoredJob, read: JobSnapshot | None) -> None:
        """Let the job in, and others out for which there is no room then. What was `read` of it isn't read again."""
        account = _, is_over = stored.metadata.namespace, stored.is_over
        made_us = stored.metadata.created_us or 0
        offer = _Offer(
            was_read=not is_over and stored.metadata.uid in self._read_before,
            stays_us=made_us if is_over else -made_us,
            name=stored.metadata.name,
            job=read or stored.copied(),
            memory=stored.memory if read is None else stored.replace(spec=NOTHING).memory,
        )
        heappush(self._offers[account], offer)
        self._memory[account] += offer.memory
        while self._memory[account] > (MAX_OVER_BYTES if is_over else MAX_UNDER_WAY_BYTES):
            last = heappop(self._offers[account])
            self._memory[account] -= last.memory
            self._refuse(last.job, account)

    def let_in(self) -> list[StoredJob | JobSnapshot]:
        return [offer.job for offers in self._offers.values() for offer in offers]

    def turned_away(self) -> list[JobSnapshot]:
        """Return jobs that are told to wait, and those that are to be deleted."""
        return [job for jobs in self._turned_away.values() for job in jobs]

    def _refuse(self, job: StoredJob | JobSnapshot, account: tuple[str, bool]) -> None:
        namespace, is_over = account
        kept: JobSnapshot | None
        if isinstance(job, JobSnapshot):
            kept = None if is_over else job  # it was read and not deleted, so it isn't due yet
        else:
            is_long = not is_over and length_of(job.status) > MAX_WAITING_STATUS_BYTES
            kept = None if is_long else self._turn_away(job)
        if kept is None or len(self._turned_away[account]) >= MAX_WAITING:
            self.left_out[namespace] += 1
        else:
            self._turned_away[account].append(kept)

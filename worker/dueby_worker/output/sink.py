"""The folder that a job's rows go to: laying claim to it, emptying it, and knowing which parts it holds.

    part-<first>-<last>.parquet    rows, each file written once and whole
    _dueby/job.json                the claim: whose rows these are, and how they are cut
    _dueby/index/, _dueby/runs/    the frozen index; plans, progress and summaries of runs
    _SUCCESS                       every part is there

Whether to resume, refuse or overwrite is decided once a run, by the index step; workers only resume. Emptying goes by
an order in which it can be killed anywhere: `_SUCCESS` first, since it stops being true, the claim last, since as
long as it is there nobody takes the remaining parts for his own.
"""

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from dueby_api.errors import Invalid, Transient
from dueby_api.grid import Grid
from dueby_worker.output.parts import is_part_name, part_name, parts_among, runs_of
from dueby_worker.output.sink_manifest import (
    ADVICE,
    CLAIM,
    FIELD,
    Claim,
    decode_claim,
    encode_claim,
    require_same_grid,
    require_same_job,
)
from dueby_worker.storage.store import NotFound, Store

SUCCESS = "_SUCCESS"
_DELETING_THREADS = 16
# Listing may take 5 % of the time at most: 100,000 parts are 100 requests of 1,000 names on S3.
_LISTING_SHARE = 0.05
_MIN_LISTING_INTERVAL_S = 2.0
_MIN_WATCH_INTERVAL_S = 1.0


def read_claim(store: Store) -> Claim | None:
    """Whose rows the sink holds; None where nobody's."""
    try:
        data = store.read(CLAIM)
    except NotFound:
        return None
    return decode_claim(data, sink=store.uri)


def lay_claim(store: Store, wanted: Claim) -> None:
    """The sink is this job's from now on; Invalid where it is another's, or cut otherwise."""
    found = read_claim(store)
    if found is None:
        if any(map(is_part_name, store.list_names())) and read_claim(store) is None:
            raise Invalid(
                FIELD,
                f"{store.uri} holds parts but no {CLAIM}, so nobody knows whose they are; {ADVICE}",
            )
        if store.create(CLAIM, encode_claim(wanted)):
            return
        found = read_claim(store)
    if found is None:
        raise Transient(f"{store.uri}: {CLAIM} was there a moment ago and is gone; is another job emptying the sink?")
    require_same_job(found, wanted.components, sink=store.uri)
    require_same_grid(found, wanted, sink=store.uri)


def admit(store: Store, if_exists: Literal["Resume", "Fail", "Overwrite"]) -> Claim | None:
    """Do what the job says about a sink in use; the claim to go on with if it is this job's, None for a new sink."""
    if if_exists == "Overwrite":
        empty(store)
    found = read_claim(store)
    if found is not None and if_exists == "Fail":
        raise Invalid(
            FIELD,
            f"{store.uri} is in use by job {found.job}, and sink.ifExists is Fail; choose another sink, "
            "or set sink.ifExists to Resume or Overwrite",
        )
    return found


def empty(store: Store) -> None:
    """Remove all rows and the claim to them."""
    store.delete(SUCCESS)
    names = [name for name in store.list_names() if is_part_name(name)]
    with ThreadPoolExecutor(_DELETING_THREADS) as threads:
        list(threads.map(store.delete, names))
    store.delete(CLAIM)


class Holdings:
    """Which parts of the grid the sink holds, as far as known: parts only come, so what was seen once stays true.

    Thread-safe; waiting for a change is what a worker does that has nothing left but its own commits.
    """

    def __init__(self, store: Store, grid: Grid, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.grid = grid
        self._store = store
        self._clock = clock
        self._known: set[int] = set()
        self._changed = threading.Condition()
        self._next_listing = clock()

    def refresh(self) -> None:
        """List the sink, unless that was done only a moment ago."""
        started = self._clock()
        if started < self._next_listing:
            return
        self.add(*parts_among(self._store.list_names(), self.grid))
        ended = self._clock()
        self._next_listing = ended + max(_MIN_LISTING_INTERVAL_S, (ended - started) / _LISTING_SHARE)

    def look(self, part: int) -> bool:
        """Whether the part is there now, for the price of one request."""
        if part not in self:
            if not self._store.exists(part_name(self.grid, part)):
                return False
            self.add(part)
        return True

    def watch(self, parts: Collection[int]) -> None:
        """Look every second at those of `parts` (it may grow) that aren't there, until the sink is full."""
        pause_s = _MIN_WATCH_INTERVAL_S
        while not self.is_complete:
            with self._changed:
                self._changed.wait(pause_s)
            started = self._clock()
            for part in set(parts) - self._known:
                self.look(part)
            pause_s = max(_MIN_WATCH_INTERVAL_S, (self._clock() - started) / _LISTING_SHARE)

    def add(self, *parts: int) -> None:
        """These are there."""
        with self._changed:
            self._known.update(parts)
            self._changed.notify_all()

    def runs(self) -> list[tuple[int, int]]:
        """The parts that are there now, as runs: each one's first part, and the one after its last."""
        self.refresh()
        with self._changed:
            return runs_of(self._known)

    def missing(self) -> set[int]:
        """The parts not known to be there."""
        with self._changed:
            return set(range(self.grid.parts)) - self._known

    def __contains__(self, part: int) -> bool:
        return part in self._known

    @property
    def is_complete(self) -> bool:
        """Whether every part is there."""
        return len(self._known) == self.grid.parts

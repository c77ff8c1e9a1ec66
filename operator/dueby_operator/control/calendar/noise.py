"""Jobs whose windows no longer do by one reading keep them until the next one, which may say otherwise. Pure.

Where a job gets a new place in time for another reason, others that were placed again move with it, if their new places
are in time, too: they fit together only as they are now. What is late is no place to move to. Who has no other keeps
its windows, and those are promised to nobody else meanwhile: what the others get is found again beside them. Nobody
hands devices over because of one reading.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from dueby_api.inference_job import DeadlineClass
from dueby_operator.control.calendar.entries import Entry
from dueby_operator.control.calendar.ledger import Ledger
from dueby_operator.control.calendar.place_all import Placing, place_all
from dueby_operator.control.calendar.reserved import keep_promised
from dueby_operator.model.fault import Fault
from dueby_operator.model.job_snapshot import JobKey
from dueby_planner.calendar.calendar import Placement
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.pool import PROMISED
from dueby_planner.calendar.reservation import begins_us
from dueby_planner.calendar.running import RunningJob


def place_beside_noise(
    wanted: Mapping[JobKey, CalendarJob],
    entries: Mapping[JobKey, Entry],
    ledger: Ledger,
    *,
    running: Callable[[], Mapping[JobKey, RunningJob]],
    blame: Callable[[JobKey, Exception], None],
) -> tuple[Placing, frozenset[JobKey]]:
    """Return the jobs' placements as place_all does, and the jobs that keep their windows instead of having one."""
    kept: frozenset[JobKey] = frozenset()
    faults: tuple[Fault, ...] = ()
    while True:
        beside = keep_promised(ledger, [entries[key] for key in sorted(kept)], ledger.stacks)
        found = place_all(wanted, beside, running=_without(running, kept), blame=blame)
        faults = faults or found.faults
        placed_again = {key: placement for key, (placement, _) in found.placed.items() if _is_placed_again(placement)}
        noise = frozenset(key for key, placement in placed_again.items() if _may_be_noise(entries[key], placement))
        reasons = placed_again.keys() - noise - found.handing_over.keys()
        moving = {placed_again[key].job.deadline_class for key in reasons if placed_again[key].is_in_time}
        staying = frozenset(key for key in noise if not _moves_with(placed_again[key], moving))
        if not staying:
            return replace(found, faults=faults), kept
        if not moving:
            # Who keeps its windows needs nobody's devices yet.
            gone = staying | found.handing_over.keys()
            left = {key: each for key, each in found.placed.items() if key not in gone}
            return Placing(placed=left, faults=faults), kept | staying
        # Few passes come so far, and hardly any a third time.
        kept |= noise if kept else staying
        wanted = {key: wanted[key] for key in found.placed if key in wanted and key not in kept}


def _is_placed_again(placement: Placement) -> bool:
    return placement.job.deadline_class in PROMISED and not placement.kept


def _may_be_noise(entry: Entry, placement: Placement) -> bool:
    """Return whether nothing has happened to a job that has other windows, or none, and isn't to begin now."""
    memory = entry.given.memory
    begins_now = bool(placement.reservation) and begins_us(placement.reservation) <= 0
    is_known = memory.generation is not None and not memory.waited_for_windows
    return bool(entry.windows) and not begins_now and entry.model.news is None and is_known


def _moves_with(placement: Placement, moving: Collection[DeadlineClass]) -> bool:
    """Return whether a job moves together with others of these classes. Soft jobs make room for Hard ones."""
    if placement.job.deadline_class == "Soft" and "Hard" in moving:
        return bool(placement.reservation)
    return bool(moving) and placement.is_in_time


def _without(
    running: Callable[[], Mapping[JobKey, RunningJob]], kept: Collection[JobKey]
) -> Callable[[], Mapping[JobKey, RunningJob]]:
    """Return the running jobs without those that are to stay as they are."""
    return lambda: {key: job for key, job in running().items() if key not in kept}

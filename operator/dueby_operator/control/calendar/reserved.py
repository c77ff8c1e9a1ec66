"""What is reserved: by what statuses say, and by what was placed in this pass. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dueby_api.inference_job import DeadlineClass
from dueby_api.status import PlanStatus
from dueby_operator.control.calendar.entries import Entry
from dueby_operator.control.chain import PolicyInput
from dueby_operator.control.work.decision import Reserve, Start, Stop, WorkDecision
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Stacks
from dueby_planner.calendar.calendar import Placement
from dueby_planner.calendar.free_devices import Taken
from dueby_planner.calendar.quotas import charged
from dueby_planner.calendar.reservation import begins_us

_PROMISED: tuple[DeadlineClass, ...] = ("Hard", "Soft")


def taken_by_status(entry: Entry, stacks: Stacks) -> Iterable[tuple[str, Taken]]:
    """Yield what is reserved for a job of each stack and each quota, as its status says."""
    there = {stack.name: stack for stack in stacks.all}
    for window in entry.stored(stacks):
        left, times = window.count, (max(0, window.from_us), max(1, window.to_us))
        for name in window.devices:
            count = min(left, there[name].devices) if there[name].is_there(*times) else 0
            left -= count
            if count:
                yield from charged(name, Taken(*times, count), stacks.costs(entry.key))


def taken_by_placements(placements: Mapping[JobKey, Placement]) -> list[tuple[str, Taken]]:
    """Return what these jobs were given, of each stack and each quota."""
    return [
        each
        for placement in placements.values()
        for lane in placement.reservation
        for taken in lane.taken()
        for each in charged(lane.device_class, taken, placement.job.quotas)
    ]


def without_old_windows(after: PolicyInput, work: WorkDecision | None) -> PolicyInput:
    """Return the job without windows that it was not given in this pass."""
    plan = after.status.plan
    if plan is None or not plan.windows:
        return after
    if work is not None:
        match work.action:
            case Reserve() | Start(by_windows=PlanStatus()) | Stop(windows=tuple()):
                return after
        if work.waits_for_windows:
            return after
    return replace(after, status=after.status.replace(plan=plan.replace(windows=())))


def find_noise(entries: Mapping[JobKey, Entry], placements: Mapping[JobKey, Placement]) -> frozenset[JobKey]:
    """Return the jobs whose windows no longer do by this reading alone: they keep them until the next one.

    Where a job gets a new place for another reason, the others that were placed anew move with it: they fit together
    only as they are now.
    """
    anew = {key: placement for key, placement in placements.items() if _is_anew(placement)}
    noise = {key for key, placement in anew.items() if _may_be_noise(entries[key], placement)}
    if any(anew[key].reservation for key in anew.keys() - noise):
        return frozenset(key for key in noise if not anew[key].reservation)
    return frozenset(noise)


def _is_anew(placement: Placement) -> bool:
    return placement.job.deadline_class in _PROMISED and not placement.kept


def _may_be_noise(entry: Entry, placement: Placement) -> bool:
    """Return whether nothing has happened to a job that has other windows, or none, and isn't to begin now."""
    memory = entry.given.memory
    begins_now = bool(placement.reservation) and begins_us(placement.reservation) <= 0
    is_known = memory.generation is not None and not memory.waited_for_windows
    return bool(entry.windows) and not begins_now and entry.model.news is None and is_known

"""What is reserved: by what statuses say, and by what was placed in this pass. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

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


def may_be_noise(entry: Entry, placement: Placement) -> bool:
    """Return whether the job's windows no longer do by this reading alone, and nothing has happened."""
    begins_now = bool(placement.reservation) and begins_us(placement.reservation) <= 0
    is_moved = (
        bool(entry.windows) and not placement.kept and not begins_now and entry.deadline_class in ("Hard", "Soft")
    )
    memory = entry.given.memory
    return is_moved and entry.model.news is None and memory.generation is not None and not memory.waited_for_windows

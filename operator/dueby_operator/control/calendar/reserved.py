"""What is reserved: by what statuses say, and by what was placed in this pass. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dueby_api.errors import Invalid
from dueby_api.inference_job import DeadlineClass
from dueby_api.status import PlanStatus, WindowStatus
from dueby_api.units import format_exact_time
from dueby_operator.control.calendar.entries import Entry, stored_windows
from dueby_operator.control.calendar.ledger import Ledger
from dueby_operator.control.chain import PolicyInput
from dueby_operator.control.conditions import is_done_with
from dueby_operator.control.work.decision import Reserve, Start, Stop, WorkDecision
from dueby_operator.model.job_snapshot import JobKey, JobSnapshot
from dueby_operator.model.stacks import Claimant, Stacks
from dueby_planner.calendar.calendar import Placement
from dueby_planner.calendar.free_devices import Taken
from dueby_planner.calendar.jobs import StoredWindow
from dueby_planner.calendar.pool import CLASSES, PROMISED
from dueby_planner.calendar.quotas import charged


@dataclass(frozen=True, kw_only=True)
class LeftAlone:
    """A job about which nothing is decided in this pass, through no fault of its own: what it was promised is kept."""

    claimant: Claimant
    deadline_class: DeadlineClass
    windows: tuple[WindowStatus, ...]
    """What is reserved for it, as its status says."""
    now_us: int

    @property
    def key(self) -> JobKey:
        """Namespace and name."""
        return self.claimant.key

    def stored(self, stacks: Stacks) -> tuple[StoredWindow, ...]:
        """Return what is reserved for it, in times from now and on stacks that it may use."""
        return stored_windows(self.key, self.windows, stacks, now_us=self.now_us)


def left_alone(job: JobSnapshot, *, now_us: int) -> LeftAlone | None:
    """Return the job with what it was promised; None if it was promised nothing, or is done with, or is to wait."""
    plan = job.status.plan
    if isinstance(job.manifest, Invalid) or plan is None or job.is_deleting or is_done_with(job):
        return None
    spec, windows = job.manifest.spec, plan.windows
    # Beyond its deadline nothing is promised to a job, however long it is left alone.
    is_promised = spec.deadline_class in PROMISED and now_us < spec.deadline_us(accepted_us=job.accepted_us)
    if spec.suspend or not is_promised:
        return None
    is_refused = spec.deadline_class == "Hard" and now_us < job.memory.refused_until_us
    if (is_refused or job.is_under_way) and not job.workers:
        windows = (*windows, *_not_begun(plan, now_us=now_us))
    if not windows:
        return None
    classes = tuple(sorted({window.device_class for window in windows}))
    return LeftAlone(
        claimant=Claimant(key=job.key, spec=spec, classes=classes),
        deadline_class=spec.deadline_class,
        windows=windows,
        now_us=now_us,
    )


def _not_begun(plan: PlanStatus, *, now_us: int) -> list[WindowStatus]:
    """Return as windows what a plan begins on whose workers aren't there: forbidden until later, or being made."""
    return [
        WindowStatus(
            device_class=group.device_class,
            engine=group.engine,
            from_time=format_exact_time(now_us),
            to_time=plan.finish_at_confidence,
            count=group.count,
            mini_batch_size=group.mini_batch_size,
            images=group.count * (group.iterations + 1) * group.mini_batch_size,
        )
        for group in plan.groups
        if plan.revision
    ]


def keep_promised(ledger: Ledger, jobs: Sequence[LeftAlone | Entry], stacks: Stacks) -> Ledger:
    """Return what is free beside what was promised to these jobs. Soft jobs' is not kept from Hard ones."""
    for kind in PROMISED:
        taken = [each for job in jobs if job.deadline_class == kind for each in _promised_to(job, stacks)]
        ledger = ledger.take(taken, of=CLASSES[CLASSES.index(kind) :])
    return ledger


def _promised_to(job: LeftAlone | Entry, stacks: Stacks) -> list[tuple[str, Taken]]:
    try:
        return list(taken_by_status(job, stacks))
    except Exception:  # that may be why it is left alone, and the others don't suffer for it
        return []


def taken_by_status(entry: Entry | LeftAlone, stacks: Stacks) -> Iterable[tuple[str, Taken]]:
    """Yield what is still reserved for a job of each stack and each quota, as its status says."""
    there = stacks.by_name
    for window in (window for window in entry.stored(stacks) if window.to_us > 0):
        left, times = window.count, (max(0, window.from_us), window.to_us)
        for name in window.devices:
            count = min(left, there[name].devices) if there[name].is_there(*times) else 0
            left -= count
            if count:
                yield from charged(name, Taken(*times, count), stacks.costs(entry.key))


def taken_by_class(entries: Iterable[Entry], kind: DeadlineClass, stacks: Stacks) -> list[tuple[str, Taken]]:
    """Return what is still reserved for the jobs of a deadline class, as their statuses say."""
    found = [entry for entry in entries if entry.deadline_class == kind and entry.windows]
    return [taken for entry in found for taken in taken_by_status(entry, stacks)]


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
            case Reserve() | Start() | Stop():  # as they were, where it doesn't say otherwise
                return after
        if work.waits_for_windows:
            return after
    return replace(after, status=after.status.replace(plan=plan.replace(windows=())))

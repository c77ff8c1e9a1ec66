"""The seam to the schedule: jobs that are ready for workers become a request, and its reply what is done. Pure.

What raises for one job is that job's fault, and the others are scheduled without it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from dueby_api.conditions import Reason
from dueby_api.errors import Invalid
from dueby_api.status import JobStatus, PlanStatus, WindowStatus
from dueby_api.units import MICROS_PER_SECOND, format_exact_time
from dueby_operator.control.chain import PolicyInput, refusal
from dueby_operator.control.conditions import has_reason, is_done_with, is_over
from dueby_operator.control.policies.plan import plan, wait_for_devices
from dueby_operator.control.shared import Shared
from dueby_operator.control.work.build_job import build_job
from dueby_operator.control.work.stores import observed_requests
from dueby_operator.model.devices import Devices
from dueby_operator.model.job_snapshot import Fault, JobSnapshot
from dueby_planner.model.budget import Account
from dueby_planner.model.feed import feed_of
from dueby_planner.schedule.devices import DeviceGroups, with_shares
from dueby_planner.schedule.free_devices import PROMISED
from dueby_planner.schedule.job import Claimant, JobKey, PromisedJob, ScheduledJob
from dueby_planner.schedule.request import Reserve, ScheduleRequest, Start, Stop, WorkDecision
from dueby_planner.schedule.schedule import schedule

_Seen = ScheduledJob | PromisedJob
_Outcomes = dict[JobKey, PolicyInput | Fault]


def schedule_jobs(
    ready: Sequence[PolicyInput],
    shared: Shared,
    *,
    promised: Iterable[PromisedJob] = (),
    accounts: Mapping[str, Account] | None = None,
) -> tuple[Mapping[JobKey, PolicyInput | Fault], Shared]:
    """Return each of these jobs as the schedule has left it, or its fault, and what is left of what they share.

    What is `promised` to jobs that fail here, or were left alone before, is kept for them. `accounts` are the budgets
    of namespaces, with what is used of them.
    """
    by_key, outcomes = {inputs.job.key: inputs for inputs in ready}, _Outcomes()
    jobs: dict[JobKey, ScheduledJob] = {}
    for key, inputs in by_key.items():
        try:
            jobs[key] = build_job(inputs)
        except Exception as error:  # whatever it is, it is this job's alone
            outcomes[key] = _outcome_of(error, inputs)
    kept = {job.key: job for job in promised}
    untouched = [job for key, job in kept.items() if key not in jobs or not jobs[key].has_profiles]
    counted, errors = _count(shared.devices, [*jobs.values(), *untouched])
    for key, uncountable in errors.items():
        if jobs.pop(key, None):
            outcomes[key] = _outcome_of(uncountable, by_key[key])
        else:
            del kept[key]
    groups = with_shares(counted, [*jobs.values(), *untouched], shared.promises)
    grace_us = shared.devices.worker_grace_s * MICROS_PER_SECOND
    reply = schedule(
        ScheduleRequest(
            jobs=tuple(jobs.values()),
            devices=groups,
            promised=tuple(kept.values()),
            grace_us=grace_us,
            accounts=accounts or {},
        )
    )
    shared = replace(shared, faults=tuple(Fault(stage="deciding", error=error) for error in reply.joint_errors))
    for key, job in jobs.items():
        try:
            if key in reply.errors:
                raise reply.errors[key]
            after = _carry_out(replace(by_key[key], shared=shared), job, reply.decided.get(key))
            outcomes[key], shared = after, after.shared
        except Exception as error:  # whatever it is, it is this job's alone
            outcomes[key] = _outcome_of(error, by_key[key])
    return outcomes, replace(shared, unused=_unused(outcomes, groups, reply.idle))


def _outcome_of(error: Exception, inputs: PolicyInput) -> PolicyInput | Fault:
    """Return a job with what is wrong with it, or the operator's own fault."""
    return inputs.after(refusal(error)) if isinstance(error, Invalid) else Fault(stage="deciding", error=error)


def _count(devices: Devices, jobs: Sequence[_Seen]) -> tuple[DeviceGroups, Mapping[JobKey, Exception]]:
    """Return the devices by who may use them, and what is raised for jobs without which they can be counted."""
    errors: dict[JobKey, Exception] = {}
    try:
        return devices.groups([job.claimant for job in jobs]), errors
    except Exception:  # one of them is the reason: alone it shows which
        for job in jobs:
            try:
                devices.groups([job.claimant])
            except Exception as error:  # whatever it is, it is this job's alone
                errors[job.key] = error
    return devices.groups([job.claimant for job in jobs if job.key not in errors]), errors


def _carry_out(
    inputs: PolicyInput, job: ScheduledJob, decided: tuple[ScheduledJob, WorkDecision] | None
) -> PolicyInput:
    """Turn what was decided about a job into what is done about it."""
    after = inputs.after(plan(inputs, *decided) if decided else wait_for_devices(inputs, job))
    return _without_old_windows(after, decided[1] if decided else None) if job.has_profiles else after


def _without_old_windows(after: PolicyInput, work: WorkDecision | None) -> PolicyInput:
    """Return the job without windows that it was not given in this pass."""
    before = after.status.plan
    if before is None or not before.windows:
        return after
    # As they were, where an action doesn't say otherwise.
    if work is not None and (work.waits_for_windows or isinstance(work.action, Reserve | Start | Stop)):
        return after
    return replace(after, status=after.status.replace(plan=before.replace(windows=())))


def _unused(outcomes: _Outcomes, groups: DeviceGroups, idle: Mapping[str, int]) -> Mapping[str, int]:
    """Return by class the idle devices that a job which waits could use: kept for somebody, or too few."""
    waiting = {key for key, after in outcomes.items() if isinstance(after, PolicyInput) and is_waiting(after.status)}
    counts: Counter[str] = Counter()
    for group in groups.all:
        if group.users & waiting and not group.provision:
            counts[group.device_class] += idle[group.name]
    return counts


def is_waiting(status: JobStatus) -> bool:
    """Return whether a job is ready for workers and has had none."""
    if is_over(status) or (status.plan is not None and status.plan.revision):
        return False
    return status.plan is not None or has_reason(status, Reason.WAITING)


def promised_job(job: JobSnapshot, shared: Shared, *, now_us: int) -> PromisedJob | None:
    """Return the job with what it was promised; None if it was promised nothing, or is done with, or is to wait."""
    before = job.status.plan
    if isinstance(job.manifest, Invalid) or before is None or job.is_deleting or is_done_with(job):
        return None
    spec, windows = job.manifest.spec, before.windows
    # Beyond its deadline nothing is promised to a job, however long it is left alone.
    is_promised = spec.deadline_class in PROMISED and now_us < spec.deadline_us(accepted_us=job.accepted_us)
    if spec.suspend or not is_promised:
        return None
    is_refused = spec.deadline_class == "Hard" and now_us < job.memory.refused_until_us
    if (is_refused or job.is_under_way) and not job.workers:
        windows = (*windows, *_not_begun(before, now_us=now_us))
    if not windows:
        return None
    classes = tuple(sorted({window.device_class for window in windows}))
    return PromisedJob(
        claimant=Claimant(key=job.key, spec=spec, classes=classes),
        deadline_class=spec.deadline_class,
        windows=windows,
        now_us=now_us,
        feed=feed_of(
            spec,
            job.status.input_cost,
            stores=shared.stores,
            observed=observed_requests(job.namespace, spec, shared.observed_stores),
        ),
    )


def _not_begun(before: PlanStatus, *, now_us: int) -> list[WindowStatus]:
    """Return as windows what a plan begins on whose workers aren't there: forbidden until later, or being made."""
    return [
        WindowStatus(
            device_class=group.device_class,
            engine=group.engine,
            from_time=format_exact_time(now_us),
            to_time=before.finish_at_confidence,
            count=group.count,
            mini_batch_size=group.mini_batch_size,
            images=group.count * (group.iterations + 1) * group.mini_batch_size,
        )
        for group in before.groups
        if before.revision
    ]

"""Plan: which workers does the job have from now on, and will they be in time?

no workers yet, and no device for one         Feasible Unknown, Waiting
no plan yet                                   the workers of the plan are started, or devices are reserved for later, or
                                              the job waits, or it is refused
the workers will be late                      the fewest helpers are started
fewer workers would do, or they hang          one is stopped
others need their devices                     those workers are stopped that give way

What the job may have is decided for all jobs together (planner/dueby_planner/schedule).
"""

from collections.abc import Sequence
from dataclasses import replace

from dueby_api.conditions import Reason
from dueby_api.status import JobStatus
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.control.conditions import without_reasons
from dueby_operator.control.work.changes import change_workers, without_windows
from dueby_operator.control.work.moved_deadline import judge_again
from dueby_operator.control.work.progress_status import NO_DEVICES, diagnose_devices, progress_status, track_conditions
from dueby_operator.control.work.stores import observed_store
from dueby_operator.jobs.pod_diagnosis import diagnose_admission
from dueby_operator.model.conditions import NewCondition
from dueby_operator.model.job_snapshot import JobMemory
from dueby_planner.schedule.explain import FULL_QUOTA
from dueby_planner.schedule.job import ScheduledJob
from dueby_planner.schedule.request import Start, WorkDecision


def plan(inputs: PolicyInput, scheduled: ScheduledJob, work: WorkDecision) -> Outcome:
    """Return what the decision changes about the job's workers, and how far the job is."""
    decided = replace(inputs, memory=_remember(inputs, scheduled, work)).after(judge_again(inputs, scheduled, work))
    track = track_conditions(inputs, scheduled, work)
    status = decided.status if track else without_reasons(decided.status, *NO_DEVICES)
    decided = decided.after(
        Outcome(
            conditions=(diagnose_admission(inputs.job), *track),
            status=status.replace(
                progress=progress_status(inputs, scheduled, work), observed_store=observed_store(inputs, scheduled)
            ),
        )
    )
    change = change_workers(decided, scheduled, work)
    return replace(
        change,
        # The conditions are merged already; those of the change come on top.
        status=change.status or decided.status,
        memory=change.memory or decided.memory,
        scheduled=scheduled,
        work=work,
    )


def wait_for_devices(inputs: PolicyInput, scheduled: ScheduledJob) -> Outcome:
    """Return that there is no device that the job could have, neither now nor when others end."""
    # Profiles may be of classes that the job doesn't name.
    named = [name for name in sorted(scheduled.counts) if name in (scheduled.spec.gpus.classes or scheduled.counts)]
    held = diagnose_devices(inputs, scheduled)
    status = give_up_windows(inputs.status if held else without_reasons(inputs.status, *NO_DEVICES))
    conditions = (diagnose_admission(inputs.job), _waiting(inputs, named), *filter(None, [held]))
    return Outcome(conditions=conditions, status=status, ends=True)


def give_up_windows(status: JobStatus) -> JobStatus:
    """Return the status of a job for which nothing is reserved any more."""
    return without_windows(without_reasons(status, Reason.RESERVED))


def _waiting(inputs: PolicyInput, classes: Sequence[str]) -> NewCondition:
    devices = inputs.shared.devices
    missing_capacity = devices.missing(inputs.job.namespace, inputs.spec, classes=classes)
    message = f"No device of the classes {', '.join(classes)} is free"
    shortages = [devices.shortage(inputs.spec, name) for name in classes]
    if missing := [words for words in (*shortages, devices.uncounted) if words]:
        message += f": {'; '.join(missing)}"
    if devices.has_quota(inputs.job.namespace):
        message += f", or {FULL_QUOTA}"
    sentences = filter(None, [missing_capacity, f"{message}. The job waits for one."])
    return NewCondition(reason=Reason.WAITING, message=" ".join(sentences))


def _remember(inputs: PolicyInput, scheduled: ScheduledJob, work: WorkDecision) -> JobMemory:
    was_lost = inputs.memory.lost_all or scheduled.news == "WorkerLost"
    return replace(
        inputs.memory,
        lag=work.lag,
        generation=inputs.job.generation,
        waited_for_windows=work.waits_for_windows,
        lost=frozenset(worker.name for worker in scheduled.workers if worker.state == "lost"),
        lost_all=was_lost and not scheduled.alive and not isinstance(work.action, Start),
        queued=frozenset(worker.name for worker in scheduled.workers if worker.state == "queued"),
        promised_us=scheduled.promised_us,
    )

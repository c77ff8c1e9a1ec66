"""What a decision about workers does to a job: actions, devices taken, and how it shows in the status. Pure.

It also says when it is no use to start workers again.

Workers that are lost are replaced, since nodes fail. If they are lost again and again, and none of them has written a
part in between, then it is not the nodes: their image crashes as it starts, or their memory is too little for the
model. Such a job would keep devices from all others for ever. (An object of the source that kills its reader costs a
worker two lives at most: docs/decisions/0011.)

A worker that no node takes has shown nothing of that: others' pods may have what it was planned on, and leave one day.
It waits for a node, as more would, until the job's deadline.
"""

from collections import Counter
from dataclasses import replace
from functools import partial

from dueby_api.conditions import Reason
from dueby_api.status import MAX_REPLANS, AlternativesStatus, JobStatus, PlanStatus, Replan
from dueby_api.units import clock_time, format_time, parse_time_us
from dueby_api.words import capital, counted
from dueby_operator.control.chain import Outcome, PolicyInput, failed
from dueby_operator.jobs.pod_state import ending_of, pods_by_job, rest_state
from dueby_operator.model.actions import StartWorkers, StopWorkers
from dueby_operator.model.conditions import NewCondition
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_planner.answer import alternatives_sentence, alternatives_status, plan_status, proof_sentence
from dueby_planner.deadline_classes import Verdict
from dueby_planner.model.max_cost import OverCost
from dueby_planner.model.problem import Problem
from dueby_planner.other_precisions import cheaper_precisions
from dueby_planner.profiles.pool import build_pool
from dueby_planner.schedule.explain import reserved_sentence
from dueby_planner.schedule.job import ScheduledJob
from dueby_planner.schedule.request import Refuse, Reserve, Start, Stop, Wait, WorkDecision, stoppable

# Replacements in a row without a part. Each one's workers have been started seven times by their Jobs, minutes apart.
MAX_FRUITLESS = 3
# Of a pod's own words: a condition has room for 4,096 letters.
MAX_WORDS = 400


def change_workers(inputs: PolicyInput, scheduled: ScheduledJob, work: WorkDecision) -> Outcome:
    """Return what the decision about the workers does, and how it shows in the status."""
    match work.action:
        case Start(reason="WorkerLost") if is_fruitless(inputs.job, inputs.status.replans, scheduled):
            return failed(Reason.NO_PROGRESS, fruitless_message(inputs.job))
        case Start(reason="WorkerLost" | "Lagging") if is_no_use(inputs.job, inputs.status.replans, scheduled):
            return Outcome()
        case Start():
            return _start(inputs, scheduled, work.action)
        case Stop():
            return _stop(inputs, scheduled, work.action)
        case Reserve():
            return _reserve(inputs, scheduled, work.action)
        case Wait():
            return _hold(inputs, scheduled, work.action)
        case Refuse():
            return _refuse(inputs, scheduled, work.action)
        case None:
            return Outcome()


def _start(inputs: PolicyInput, scheduled: ScheduledJob, start: Start) -> Outcome:
    before = inputs.status.plan
    revision = max(scheduled.revision, before.revision if before else 0) + 1
    workers_made = 1 + max(assignment.number for assignment in start.assignments)
    status, promised_us = inputs.status.replace(workers_made=workers_made), inputs.memory.promised_us
    conditions: tuple[NewCondition, ...] = ()
    if start.verdict and start.verdict.plan:
        plan = start.verdict.plan
        planned = plan_status(plan, now_us=scheduled.now_us, revision=revision, part_size=start.part_size)
        cheaper = _cheaper_precisions(inputs, scheduled, plan.problem)
        status = status.replace(
            plan=planned.replace(warnings=(*planned.warnings, *cheaper)),
            alternatives=_alternatives(start.verdict, scheduled.now_us),
        )
        conditions = (_feasible(start.verdict),)
        promised_us = scheduled.now_us + plan.expected_finish_us
    elif start.by_windows and before and scheduled.revision:
        windows = start.by_windows.windows
        status = status.replace(plan=before.replace(revision=revision, part_size=start.part_size, windows=windows))
    elif start.by_windows:
        status = status.replace(plan=start.by_windows.replace(revision=revision, part_size=start.part_size))
        conditions = (_by_windows(start.by_windows, scheduled),)
        promised_us = parse_time_us(start.by_windows.expected_finish)
    elif before:
        status = status.replace(plan=before.replace(revision=revision, part_size=start.part_size))
    if scheduled.workers or start.reason not in ("Started", "Resumed"):
        status = _with_replan(status, scheduled, start.reason, change=len(start.assignments))
    shared = inputs.shared
    # Those that ask for a node take none of the devices that are there.
    new_workers = Counter(assignment.device_class for assignment in start.assignments if not assignment.pool)
    for device_class, count in new_workers.items():
        shared = shared.without_devices(inputs.job.namespace, inputs.spec, device_class=device_class, count=count)
    action = StartWorkers(
        assignments=tuple(replace(assignment, revision=revision) for assignment in start.assignments),
        before=inputs.job.shares,
        revision=revision,
        images=scheduled.images,
        part_size=start.part_size,
        fingerprint=status.fingerprint,
        reason=start.reason,
        verdict=start.verdict,
        nodes=start.nodes,
    )
    memory = replace(inputs.memory, promised_us=promised_us)
    return Outcome(conditions=conditions, status=status, shared=shared, memory=memory, actions=(action,))


def _cheaper_precisions(inputs: PolicyInput, scheduled: ScheduledJob, problem: Problem) -> tuple[str, ...]:
    """Return at which other precisions fewer devices would be enough, by profiles that everybody uses."""
    if inputs.spec.is_measured_alone:
        return ()
    pool_of = partial(build_pool, cost=scheduled.cost, cores=scheduled.cores, namespace=inputs.job.namespace or None)
    return tuple(cheaper_precisions(scheduled.spec, inputs.shared.profiles, problem, pool_of=pool_of))


def _feasible(verdict: Verdict) -> NewCondition:
    """Return whether the deadline can be met, and what to do if it can't."""
    if verdict.infeasible:
        refused = Reason.OVER_COST if isinstance(verdict.infeasible, OverCost) else Reason.DEADLINE_TOO_EARLY
        reason = Reason.STARTED_LATE if verdict.plan else refused
        return NewCondition(reason=reason, message=alternatives_sentence(verdict.infeasible))
    plan = verdict.plan
    message = f"{counted(plan.gpus, 'device')}: {proof_sentence(plan)}" if plan else ""
    return NewCondition(reason=Reason.PLANNED, message=message)


def _by_windows(plan: PlanStatus, scheduled: ScheduledJob) -> NewCondition:
    is_late = plan.slack.startswith("-")
    message = f"{counted(plan.gpus, 'device')} at most at once. {plan.proof_sentence}"
    if is_late:
        ends = clock_time(parse_time_us(plan.finish_at_confidence), now_us=scheduled.now_us)
        message = f"Ends at {ends}, {plan.slack.removeprefix('-')} after the deadline. {message}"
    return NewCondition(reason=Reason.STARTED_LATE if is_late else Reason.PLANNED, message=message)


def _reserve(inputs: PolicyInput, scheduled: ScheduledJob, reserve: Reserve) -> Outcome:
    before, plan = inputs.status.plan, reserve.plan
    if before is not None and scheduled.alive:
        return Outcome(status=inputs.status.replace(plan=before.replace(windows=plan.windows)))
    if before is not None and before.revision:
        plan = plan.replace(revision=before.revision, part_size=before.part_size)
    message = _while_waiting(
        inputs, scheduled, reserved_sentence(plan, starts_us=reserve.starts_us, now_us=inputs.now_us)
    )
    is_late = plan.slack.startswith("-")
    reserved = NewCondition(reason=Reason.STARTED_LATE if is_late else Reason.RESERVED, message=message)
    return Outcome(conditions=(reserved,), status=inputs.status.replace(plan=plan, alternatives=None))


def _hold(inputs: PolicyInput, scheduled: ScheduledJob, hold: Wait) -> Outcome:
    waiting = NewCondition(reason=Reason.WAITING, message=_while_waiting(inputs, scheduled, hold.message))
    return Outcome(conditions=() if scheduled.alive else (waiting,), status=without_windows(inputs.status))


def without_windows(status: JobStatus) -> JobStatus:
    """Return the status with nothing reserved. A plan that was started keeps its grid and its revision."""
    plan = status.plan
    return status.replace(plan=plan.replace(windows=()) if plan and plan.revision else None)


def _while_waiting(inputs: PolicyInput, scheduled: ScheduledJob, message: str) -> str:
    """Return the message, after the reason why a job waits that had begun, or that was promised other devices."""
    lost = "Its last worker was lost." if inputs.memory.lost_all else ""
    missing = inputs.shared.devices.missing(inputs.job.namespace, inputs.spec, classes=scheduled.counts)
    return " ".join(filter(None, [lost, missing, message]))


def _alternatives(verdict: Verdict, now_us: int) -> AlternativesStatus | None:
    return alternatives_status(verdict.infeasible, now_us=now_us) if verdict.infeasible else None


def _stop(inputs: PolicyInput, scheduled: ScheduledJob, stop: Stop) -> Outcome:
    workers = stoppable(scheduled, stop)
    if not workers:
        return Outcome()
    status = _with_replan(inputs.status, scheduled, stop.reason, change=-len(workers))
    if status.plan and stop.windows is not None:
        status = status.replace(plan=status.plan.replace(windows=stop.windows))
    return Outcome(actions=(StopWorkers(workers=workers, reason=stop.reason),), status=status)


def _refuse(inputs: PolicyInput, scheduled: ScheduledJob, refuse: Refuse) -> Outcome:
    verdict, status = refuse.verdict, inputs.status.replace(plan=None)
    if verdict is None:
        feasible = NewCondition(reason=refuse.reason, message=refuse.sentence)
        status = status.replace(alternatives=refuse.alternatives)
        return replace(failed(Reason.INFEASIBLE, refuse.sentence, feasible), status=status)
    feasible = _feasible(verdict)
    if verdict.action in ("Reserve", "Wait", "Wait"):
        return Outcome(conditions=(NewCondition(reason=Reason.WAITING, message=feasible.message),), status=status)
    alternatives = _alternatives(verdict, scheduled.now_us)
    if refuse.sentence:  # devices that others have are no help
        feasible, alternatives = replace(feasible, message=refuse.sentence), refuse.alternatives
    elif verdict.infeasible:
        cheaper = _cheaper_precisions(inputs, scheduled, verdict.infeasible.problem)
        advice = (f"{capital(said)}." for said in cheaper)
        feasible = replace(feasible, message=" ".join((feasible.message, *advice)))
    status = status.replace(alternatives=alternatives)
    return replace(failed(Reason.INFEASIBLE, feasible.message, feasible), status=status)


def _with_replan(status: JobStatus, scheduled: ScheduledJob, reason: str, *, change: int) -> JobStatus:
    before = len(scheduled.alive)
    entry = Replan(
        time=format_time(scheduled.now_us),
        reason=reason,
        before=before,
        after=before + change,
        images_in_sink=scheduled.images_in_sink,
    )
    return status.replace(replans=(*status.replans, entry)[-MAX_REPLANS:])


def is_fruitless(job: JobSnapshot, replans: tuple[Replan, ...], scheduled: ScheduledJob) -> bool:
    """Return whether the last replacements of lost workers have brought no part to the sink.

    `dueby run` counts its lost processes itself, and its workers have no Jobs.
    """
    return bool(job.worker_jobs) and _are_in_vain(replans, scheduled, "WorkerLost") and not _lack_nodes_alone(job)


def is_no_use(job: JobSnapshot, replans: tuple[Replan, ...], scheduled: ScheduledJob) -> bool:
    """Return whether more workers would wait for a node, too, as those did that were started last."""
    return _are_in_vain(replans, scheduled, "WorkerLost", "Lagging") and _lack_nodes_alone(job)


def _are_in_vain(replans: tuple[Replan, ...], scheduled: ScheduledJob, *reasons: str) -> bool:
    last = replans[-MAX_FRUITLESS:]
    return len(last) == MAX_FRUITLESS and all(
        replan.reason in reasons and replan.images_in_sink == scheduled.images_in_sink for replan in last
    )


def _lack_nodes_alone(job: JobSnapshot) -> bool:
    """Return whether the workers that were lost have been on no node for half a minute, and none was given up.

    Those that were refused a node have shown nothing either, nor have those whose Job is deleted while it still asks.
    """
    was_given_up = any(
        rest_state(worker_job, index) == "lost"
        for worker_job in job.worker_jobs
        for index in range(len(worker_job.assignments))
    )
    gives_up = {worker_job.name for worker_job in job.worker_jobs if worker_job.job.metadata.is_deleting}
    is_refused = any(request.refusal or name in gives_up for name, request in job.requests.items())
    return (bool(job.absent) or is_refused) and not was_given_up


def fruitless_message(job: JobSnapshot) -> str:
    """Return the sentence for a job whose workers are lost again and again, with their last words if there are any."""
    by_job = pods_by_job(job.pods)
    endings = (ending_of(by_job.get(worker_job.name, ()), worker_job.name) for worker_job in reversed(job.worker_jobs))
    words = next(filter(None, (ending.sentence for ending in endings)), "")
    said = f' The last one said: "{words[:MAX_WORDS]}".' if words else ""
    return (
        f"Workers were lost and replaced {MAX_FRUITLESS} times in a row, and none of them has written a part."
        f"{said} See the logs of the job's pods (`kubectl logs -l dueby.dev/job={job.name} --prefix`). What is in the "
        "sink is kept; a job that is created again goes on from there."
    )

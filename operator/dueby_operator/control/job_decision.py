"""What to do about each job: through the policies, then its workers together with those of all others. Pure.

What raises while one job is decided on is a fault of that job (faults.py), and the others don't notice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dueby_api.conditions import Reason
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob
from dueby_api.status import JobStatus
from dueby_operator.control.budgets import accounts_of
from dueby_operator.control.chain import Outcome, Policy, PolicyInput, run_chain
from dueby_operator.control.columns import filled_in, not_refused
from dueby_operator.control.conditions import has_reason, is_over, without_reasons
from dueby_operator.control.events import NewEvent, events_between
from dueby_operator.control.faults import is_resting, memory_with_fault, status_with_fault
from dueby_operator.control.policies.ask import ask
from dueby_operator.control.policies.complete import complete
from dueby_operator.control.policies.finish import finish
from dueby_operator.control.policies.forget import forget
from dueby_operator.control.policies.index import index
from dueby_operator.control.policies.memory import memory
from dueby_operator.control.policies.parse import parse
from dueby_operator.control.policies.profile import profile
from dueby_operator.control.policies.queue import queue
from dueby_operator.control.policies.ready import ready
from dueby_operator.control.policies.recover import recover
from dueby_operator.control.policies.regrid import regrid
from dueby_operator.control.policies.sink import sink
from dueby_operator.control.policies.stop import stop
from dueby_operator.control.policies.suspend import suspend
from dueby_operator.control.policies.turn import beyond_a_pass, turn, without_turn
from dueby_operator.control.schedule import promised_job, schedule_jobs
from dueby_operator.control.shared import Shared
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.control.spending import with_spent
from dueby_operator.model.actions import Action, StartWorkers
from dueby_operator.model.conditions import NewCondition, merge_conditions
from dueby_operator.model.job_snapshot import Fault, JobMemory, JobSnapshot
from dueby_operator.profiling.observations import observed_profiles
from dueby_planner.schedule.job import JobKey, PromisedJob, ScheduledJob
from dueby_planner.schedule.request import WorkDecision

# Parse makes the input of these, in this order. Jobs that none of them holds back are planned together, and then asked
# whether they are finished.
POLICIES: tuple[Policy, ...] = (
    *(turn, sink, forget, index, suspend, regrid, complete, queue, profile, recover, ask, ready, memory),
)
# What can't be made for now is tried again after this long: another manifest would fix neither a full quota nor a name
# that isn't free.
TRIED_AGAIN_US = {
    Reason.FORBIDDEN: 30_000_000,
    Reason.NAME_TAKEN: 30_000_000,
    Reason.WAITING_FOR_CLEANUP: 0,
    # It is soon back where it is only being replaced.
    Reason.WEBHOOK_AWAY: 5_000_000,
}


@dataclass(frozen=True, kw_only=True)
class JobDecision:
    """What to do about one job."""

    job: JobSnapshot
    """As it was seen."""
    manifest: InferenceJob | Invalid
    """What is asked for, as it was decided on."""
    status: JobStatus
    """What the status is to be."""
    events: tuple[NewEvent, ...] = ()
    """What to tell people, after the status is written."""
    actions: tuple[Action, ...] = ()
    memory: JobMemory
    """What to remember."""
    scheduled: ScheduledJob | None = None
    """What the workers were decided on; None if it did not come to that."""
    work: WorkDecision | None = None
    """What was decided about the workers."""
    fault: Fault | None = None
    """What the operator itself did wrong; nothing is done about the job then."""

    @property
    def is_told_first(self) -> bool:
        """Whether the status must be written before the actions are carried out.

        The grid and the revision must be known to whoever comes after, before any worker exists; and that workers are
        taken away, since nobody could tell later why there are fewer.
        """
        starts = any(isinstance(action, StartWorkers) for action in self.actions)
        return starts or self.status.replans != self.job.status.replans


def decide_jobs(
    jobs: Sequence[JobSnapshot], snapshot: ClusterSnapshot, shared: Shared, *, has_time: Callable[[], bool]
) -> tuple[tuple[JobDecision, ...], Shared]:
    """Return what to do about these jobs, in their order, and what is left of what they share.

    Jobs that are too many for one pass, or for which it has no time, are left as they are, with what they have and
    what is promised to them.
    """
    decided: dict[JobKey, JobDecision] = {}
    ready_jobs: list[PolicyInput] = []
    waiting = without_turn(jobs)
    later = beyond_a_pass(jobs, waiting)
    # Those that most passes in a row have left out come first, so that each has its turn.
    for job in sorted(jobs, key=lambda job: -job.memory.left_out):
        if job.key in later or not has_time():
            decided[job.key] = _left_out(job)
            continue
        prepared, shared = _prepare(job, snapshot, shared, has_turn=job.key not in waiting)
        if isinstance(prepared, JobDecision):
            decided[job.key] = prepared
        else:
            ready_jobs.append(prepared)
    promised, accounts = _promised(snapshot, decided, shared), accounts_of(snapshot)
    planned, shared = schedule_jobs(ready_jobs, shared, promised=promised, accounts=accounts)
    for job in jobs:
        after = planned.get(job.key)
        if isinstance(after, Fault):
            decided[job.key] = suffer(_undecided(job), after, now_us=snapshot.now_us)
        elif after is not None:
            decided[job.key], shared = _finish(job, replace(after, shared=shared))
    return tuple(decided[job.key] for job in jobs), shared


def _promised(
    snapshot: ClusterSnapshot, decided: Mapping[JobKey, JobDecision], shared: Shared
) -> Iterator[PromisedJob]:
    """Yield what is promised to jobs that may go on in a later pass, whatever is decided about them in this one."""
    for job in snapshot.jobs:
        decision = decided.get(job.key)
        is_held = decision is not None and not _may_go_on(decision)
        if not is_held and (promised := promised_job(job, shared, now_us=snapshot.now_us)):
            yield promised


def _may_go_on(decision: JobDecision) -> bool:
    """Return whether what holds the job back may pass, such as a fault of the operator's, or a profile that is gone.

    Whoever takes a job's queue away means it to have no devices, as one does that suspends it.
    """
    return not is_over(decision.status) and not has_reason(decision.status, Reason.QUEUE_NOT_FOUND)


def _undecided(job: JobSnapshot) -> JobDecision:
    return JobDecision(job=job, manifest=job.manifest, status=job.status, memory=job.memory)


def _left_out(job: JobSnapshot) -> JobDecision:
    return replace(_undecided(job), memory=replace(job.memory, left_out=job.memory.left_out + 1))


def _prepare(
    job: JobSnapshot, snapshot: ClusterSnapshot, shared: Shared, *, has_turn: bool
) -> tuple[JobDecision | PolicyInput, Shared]:
    """Return the job as one that is ready for workers, or what to do about it before."""
    if job.memory.left_out:
        job = replace(job, memory=replace(job.memory, left_out=0))
    undecided = _undecided(job)
    if is_resting(job.memory, now_us=snapshot.now_us):
        return undecided, shared
    if job.forbidden:
        return refuse(undecided, Reason.FORBIDDEN, job.forbidden, now_us=snapshot.now_us), shared
    fault = job.fault
    if fault is None:
        try:
            return _through_policies(job, snapshot, shared, has_turn=has_turn)
        except Exception as error:  # whatever it is, it is this job's alone
            fault = Fault(stage="deciding", error=error)
    return suffer(undecided, fault, now_us=snapshot.now_us), shared


def _finish(job: JobSnapshot, inputs: PolicyInput) -> tuple[JobDecision, Shared]:
    """Return what to do about a job whose workers were decided on."""
    try:
        end, _ = run_chain(inputs, () if is_over(inputs.status) else (finish,))
        end = _with_observed(stop(end))
        return _decided(job, end), end.shared
    except Exception as error:  # whatever it is, it is this job's alone
        fault = Fault(stage="deciding", error=error)
    return suffer(_undecided(job), fault, now_us=inputs.now_us), inputs.shared


def suffer(decision: JobDecision, fault: Fault, *, now_us: int) -> JobDecision:
    """Return the decision about a job that the operator could not handle: another try, or the end."""
    job = decision.job
    memory = memory_with_fault(decision.memory, now_us=now_us)
    status = filled_in(
        job, status_with_fault(not_refused(job), job, fault, memory, now_us=now_us), decision.manifest, now_us
    )
    return replace(_decision(job, status, memory), manifest=decision.manifest, fault=fault)


def _through_policies(
    job: JobSnapshot, snapshot: ClusterSnapshot, shared: Shared, *, has_turn: bool
) -> tuple[JobDecision | PolicyInput, Shared]:
    parsed = parse(
        replace(job, status=_to_be_tried(job, snapshot.now_us)),
        shared=shared,
        now_us=snapshot.now_us,
        nodes=snapshot.nodes,
        worker_image=snapshot.worker_image,
    )
    if isinstance(parsed, Outcome):
        before = not_refused(job)
        conditions = merge_conditions(
            before.conditions, parsed.conditions, generation=job.generation, now_us=snapshot.now_us
        )
        status = filled_in(job, before.replace(conditions=conditions), job.manifest, snapshot.now_us)
        return _decision(job, status, job.memory), shared
    end, has_ended = run_chain(replace(parsed, has_turn=has_turn), POLICIES)
    if not has_ended:
        return end, end.shared
    end = _with_observed(stop(end))
    return _decided(job, end), end.shared


def _with_observed(end: PolicyInput) -> PolicyInput:
    """Return the same with what a job that is over has shown of its devices, for the jobs after it."""
    if is_over(end.status):
        ready_us = end.shared.devices.ready_us
        for observed in observed_profiles(end.job, end.shared.profiles, ready_us=ready_us, now_us=end.now_us):
            end = replace(end, shared=end.shared.with_profile(observed))
    return end


def _decided(job: JobSnapshot, end: PolicyInput) -> JobDecision:
    status = filled_in(job, end.status, end.manifest, end.now_us, actions=end.actions)
    # Those that wait in a queue have no device yet.
    begun = [action for action in end.actions if isinstance(action, StartWorkers) and not end.spec.queue_name]
    started = [assignment.device_class for action in begun for assignment in action.assignments]
    status = with_spent(status, job.workers, end.shared.tariff, now_us=end.now_us, started=started)
    decision = _decision(job, status, end.memory)
    return replace(decision, manifest=end.manifest, actions=end.actions, scheduled=end.scheduled, work=end.work)


def refuse(decision: JobDecision, reason: Reason, message: str, *, now_us: int) -> JobDecision:
    """Return the decision about a job of which an object can't be made: for now, or ever."""
    job, new = decision.job, NewCondition(reason=reason, message=message)
    # What the decision has taken back of the condition is put in its place again, so that it is as old as it was.
    seen = without_reasons(job.status, Reason.OPERATOR_RETRYING).conditions
    before = {earlier.type: earlier for earlier in (*seen, *decision.status.conditions)}
    conditions = merge_conditions(before.values(), [new], generation=job.generation, now_us=now_us)
    status = filled_in(job, decision.status.replace(conditions=conditions), decision.manifest, now_us)
    memory = replace(decision.memory, refused_until_us=now_us + TRIED_AGAIN_US.get(reason, 0))
    return replace(decision, status=status, events=events_between(job.status, status), memory=memory)


def _to_be_tried(job: JobSnapshot, now_us: int) -> JobStatus:
    """Return the status without what is about to be tried again: the job itself, or an object that can't be made."""
    tried = () if now_us < job.memory.refused_until_us else tuple(TRIED_AGAIN_US)
    return without_reasons(not_refused(job), Reason.OPERATOR_RETRYING, *tried)


def _decision(job: JobSnapshot, status: JobStatus, memory: JobMemory) -> JobDecision:
    events = events_between(job.status, status)
    return JobDecision(job=job, manifest=job.manifest, status=status, events=events, memory=memory)

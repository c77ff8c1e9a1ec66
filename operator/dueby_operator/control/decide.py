"""decide(snapshot) -> Decisions: the one decision over all jobs and profiles. Pure.

    profiles      classes' are made of their nodes', slow nodes set apart, and what was measured on demand is stored
    jobs          in the order of their deadlines, each through the chain of policies (chain.py), on what the jobs
                  before it have left
    jobs over     their devices are freed, and they are deleted once their time to live is over
    profiling     measurements are stored, CronJobs follow nodes, what has drifted is measured again

It has no clock, no client and no memory of its own: what is remembered is in the snapshot and in what it returns.
What raises while one job is decided on is a fault of that job (faults.py), and the others don't notice: what is left
is a value, so it is for them as if the job weren't there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from dueby_api.conditions import ConditionType, Reason
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob
from dueby_api.status import JobStatus
from dueby_operator import paths
from dueby_operator.cluster.nodes import set_apart
from dueby_operator.control.chain import Outcome, Policy, run_chain
from dueby_operator.control.clear import clear
from dueby_operator.control.conditions import JobStage, is_over, is_true, message_of, phase_of, without_reasons
from dueby_operator.control.events import NewEvent, events_between
from dueby_operator.control.faults import is_resting, memory_with_fault, status_with_fault
from dueby_operator.control.policies.complete import complete
from dueby_operator.control.policies.finish import finish
from dueby_operator.control.policies.index import index
from dueby_operator.control.policies.parse import parse
from dueby_operator.control.policies.plan import plan
from dueby_operator.control.policies.profile import profile
from dueby_operator.control.policies.queue import queue
from dueby_operator.control.policies.recover import recover
from dueby_operator.control.policies.regrid import regrid
from dueby_operator.control.policies.stop import stop
from dueby_operator.control.policies.suspend import suspend
from dueby_operator.control.shared import Shared
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.control.work.decision import WorkDecision
from dueby_operator.model.actions import Action, StartWorkers
from dueby_operator.model.conditions import NewCondition, merge_conditions
from dueby_operator.model.fault import Fault, Stage
from dueby_operator.model.job_model import JobModel
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.memory import JobMemory
from dueby_operator.model.writes import Delete, Write
from dueby_operator.profiling.attempts import shared_attempts
from dueby_operator.profiling.class_profiles import KeptProfiles, keep_profiles
from dueby_operator.profiling.observations import observed_profiles
from dueby_operator.profiling.on_demand import store_attempts
from dueby_operator.profiling.rates import rates
from dueby_operator.profiling.upkeep import decide_upkeep
from dueby_operator.profiling.used_models import jobs_to_measure_for

Found = TypeVar("Found")
# Parse makes the input of these, in this order.
POLICIES: tuple[Policy, ...] = (index, suspend, regrid, complete, queue, profile, recover, plan, finish)
# What can't be made for now is tried again after this long: another manifest would mend neither a full quota nor a name
# that isn't free.
TRIED_AGAIN_US = {Reason.FORBIDDEN: 30_000_000, Reason.NAME_TAKEN: 30_000_000, Reason.WAITING_FOR_CLEANUP: 0}


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
    model: JobModel | None = None
    """What the workers were decided on; None if it did not come to that."""
    work: WorkDecision | None = None
    """What was decided about the workers."""
    fault: Fault | None = None
    """What the operator itself did wrong; nothing is done about the job then."""

    @property
    def starts_workers(self) -> bool:
        """Whether the status must be written before the actions are carried out.

        The grid and the revision must be known to whoever comes after, before any worker exists.
        """
        return any(isinstance(action, StartWorkers) for action in self.actions)


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What to do about everything."""

    jobs: tuple[JobDecision, ...]
    """In the order of their deadlines; jobs that are over are not among them."""
    left: Shared
    """What is left after all jobs."""
    new_profiles: tuple[GPUProfile, ...] = ()
    """Profiles to write, before anything else."""
    gone_profiles: tuple[str, ...] = ()
    """Names of profiles to delete."""
    clearing: tuple[Write, ...] = ()
    """What frees the devices of jobs that are over, and of what is measured for nobody any more."""
    upkeep: tuple[Write, ...] = ()
    """What keeps profiles and the CronJobs that measure them up to date."""
    faults: tuple[Fault, ...] = ()
    """What went wrong besides, with what no open job waits for."""


def decide(snapshot: ClusterSnapshot) -> Decisions:
    """Return what to do about all jobs and profiles."""
    faults: list[Fault] = []
    kept = KeptProfiles(profiles=snapshot.profiles)
    if snapshot.keeps_profiles:
        kept = _guarded(lambda: keep_profiles(snapshot.profiles), kept, stage="profiling", faults=faults)
    snapshot = replace(snapshot, nodes=set_apart(snapshot.nodes, kept.slow))
    shared = Shared(
        devices=snapshot.devices.with_slow_nodes(kept.slow),
        profiles=kept.profiles,
        attempts=None if snapshot.on_demand is None else {},
    )
    shared = _guarded(lambda: _with_measured(shared, snapshot), shared, stage="profiling", faults=faults)
    decided = []
    for job in jobs_to_decide(snapshot):
        decision, shared = decide_job(job, snapshot, shared)
        decided.append(decision)
    made = {profile.name: profile for profile in (*kept.new, *shared.new_profiles)}
    return Decisions(
        jobs=tuple(decided),
        left=shared,
        new_profiles=tuple(made.values()),
        gone_profiles=kept.gone,
        clearing=(*_clearing(snapshot, faults), *_unawaited(shared)),
        upkeep=_guarded(lambda: _upkeep(snapshot, shared, kept), (), stage="profiling", faults=faults),
        faults=tuple(faults),
    )


def jobs_to_decide(snapshot: ClusterSnapshot) -> list[JobSnapshot]:
    """Return the observed jobs that aren't over, in the order in which they are served: by deadline, then by age."""
    there = [job for job in snapshot.jobs if not job.is_deleting and not job.unreadable and not is_over(job.status)]
    return sorted(there, key=_service_order)


def decide_job(job: JobSnapshot, snapshot: ClusterSnapshot, shared: Shared) -> tuple[JobDecision, Shared]:
    """Return what to do about the job, and what it leaves for the jobs after it."""
    undecided = JobDecision(job=job, manifest=job.manifest, status=job.status, memory=job.memory)
    if is_resting(job.memory, now_us=snapshot.now_us):
        return undecided, shared
    if job.forbidden:
        return refuse(undecided, Reason.FORBIDDEN, job.forbidden, now_us=snapshot.now_us), shared
    fault = job.fault
    if fault is None:
        try:
            return _decide_job(job, snapshot, shared)
        except Exception as error:  # whatever it is, it is this job's alone
            fault = Fault(stage="deciding", error=error)
    return suffer(undecided, fault, now_us=snapshot.now_us), shared


def suffer(decision: JobDecision, fault: Fault, *, now_us: int) -> JobDecision:
    """Return the decision about a job that the operator could not handle: another try, or the end."""
    job = decision.job
    memory = memory_with_fault(decision.memory, now_us=now_us)
    status = _completed(job, status_with_fault(job.status, job, fault, memory, now_us=now_us), decision.manifest)
    return replace(_decision(job, status, memory), manifest=decision.manifest, fault=fault)


def _decide_job(job: JobSnapshot, snapshot: ClusterSnapshot, shared: Shared) -> tuple[JobDecision, Shared]:
    parsed = parse(
        replace(job, status=_to_be_tried(job, snapshot.now_us)),
        shared=shared,
        now_us=snapshot.now_us,
        nodes=snapshot.nodes,
        worker_image=snapshot.worker_image,
    )
    if isinstance(parsed, Outcome):
        found = merge_conditions(
            job.status.conditions, parsed.conditions, generation=job.generation, now_us=snapshot.now_us
        )
        status = _completed(job, job.status.replace(conditions=found), job.manifest)
        return _decision(job, status, job.memory), shared
    end = stop(run_chain(parsed, POLICIES))
    if is_over(end.status):
        for observed in observed_profiles(job, end.shared.profiles, now_us=snapshot.now_us):
            end = replace(end, shared=end.shared.with_profile(observed))
    decision = _decision(job, _completed(job, end.status, end.manifest), end.memory)
    return replace(decision, manifest=end.manifest, actions=end.actions, model=end.model, work=end.work), end.shared


def refuse(decision: JobDecision, reason: Reason, message: str, *, now_us: int) -> JobDecision:
    """Return the decision about a job of which an object can't be made: for now, or ever."""
    job, new = decision.job, NewCondition(reason=reason, message=message)
    # What the decision has taken back of the condition is put in its place again, so that it is as old as it was.
    seen = without_reasons(job.status, Reason.OPERATOR_RETRYING).conditions
    before = {found.type: found for found in (*seen, *decision.status.conditions)}
    conditions = merge_conditions(before.values(), [new], generation=job.generation, now_us=now_us)
    status = _completed(job, decision.status.replace(conditions=conditions), decision.manifest)
    memory = replace(decision.memory, refused_until_us=now_us + TRIED_AGAIN_US.get(reason, 0))
    return replace(decision, status=status, events=events_between(job.status, status), memory=memory)


def _to_be_tried(job: JobSnapshot, now_us: int) -> JobStatus:
    """Return the status without what is about to be tried again: the job itself, or an object that can't be made."""
    tried = () if now_us < job.memory.refused_until_us else tuple(TRIED_AGAIN_US)
    return without_reasons(job.status, Reason.OPERATOR_RETRYING, *tried)


def _decision(job: JobSnapshot, status: JobStatus, memory: JobMemory) -> JobDecision:
    events = events_between(job.status, status)
    return JobDecision(job=job, manifest=job.manifest, status=status, events=events, memory=memory)


def _completed(job: JobSnapshot, status: JobStatus, manifest: InferenceJob | Invalid) -> JobStatus:
    """Return the status with what follows from the rest of it."""
    stage = JobStage(
        is_suspended=isinstance(manifest, InferenceJob) and manifest.spec.suspend,
        has_started=bool(job.workers) or status.plan is not None,
        is_running=any(worker.state == "running" for worker in job.workers),
        is_finishing="finish" in job.steps,
    )
    status = status.replace(observed_generation=job.generation)
    return status.replace(phase=phase_of(status, stage), message=message_of(status))


def _service_order(job: JobSnapshot) -> tuple[int, int]:
    if isinstance(job.manifest, Invalid) or job.fault:  # it takes nothing
        return 0, job.created_us
    return job.manifest.spec.deadline_us(accepted_us=job.accepted_us), job.created_us


def _guarded(make: Callable[[], Found], otherwise: Found, *, stage: Stage, faults: list[Fault]) -> Found:
    """Return what `make` does; if it raises, something else, and note the fault: jobs go on without it."""
    try:
        return make()
    except Exception as error:  # whatever it is, jobs don't wait for it
        faults.append(Fault(stage=stage, error=error))
        return otherwise


def _clearing(snapshot: ClusterSnapshot, faults: list[Fault]) -> tuple[Write, ...]:
    found: list[Write] = []
    for job in snapshot.jobs:
        clear_job = partial(clear, job, now_us=snapshot.now_us, time_to_live_us=snapshot.time_to_live_us)
        found += _guarded(clear_job, (), stage="clearing", faults=faults)
    return tuple(found)


def _with_measured(shared: Shared, snapshot: ClusterSnapshot) -> Shared:
    """Return the same with what is measured on demand for everybody, and the profiles that have come of it."""
    if snapshot.on_demand is None:
        return shared
    found = shared_attempts(snapshot.on_demand, now_us=snapshot.now_us)
    new, attempts = store_attempts(found, snapshot.nodes, shared.profiles)
    for measured in new:
        shared = shared.with_profile(measured)
    return replace(shared, attempts=attempts)


def _unawaited(left: Shared) -> list[Delete]:
    return [
        Delete(path=paths.batch_path(attempt.namespace, name), uid=attempt.uid)
        for name, attempt in (left.attempts or {}).items()
        if attempt.uid and attempt.is_open and name not in left.awaited
    ]


def _upkeep(snapshot: ClusterSnapshot, shared: Shared, kept: KeptProfiles) -> tuple[Write, ...]:
    if not snapshot.keeps_profiles:
        return ()
    scheduled: tuple[Write, ...] = ()
    if snapshot.profiling is not None:
        scheduled = decide_upkeep(
            snapshot.profiling,
            profiles=shared.profiles,
            nodes=snapshot.nodes,
            jobs=_jobs_to_measure_for(snapshot),
            now_us=snapshot.now_us,
        )
    return (*rates(kept.profiles), *scheduled)


def _jobs_to_measure_for(snapshot: ClusterSnapshot) -> list[InferenceJob]:
    there = [job for job in snapshot.jobs if not job.is_deleting]
    return jobs_to_measure_for(
        [job for job in there if not is_over(job.status)],
        [job for job in there if is_true(job.status, ConditionType.COMPLETE)],
    )

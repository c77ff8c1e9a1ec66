"""decide(snapshot) -> Decisions: the one decision over all jobs and profiles. Pure.

    profiles      classes' are made of their nodes', slow nodes set apart, and what was measured on demand is stored
    jobs          each through the chain of policies (chain.py); those that are ready for workers then get their devices
                  from one calendar (schedule.py)
    jobs over     their devices are freed, and they are deleted once their time to live is over
    profiling     measurements are stored, CronJobs follow nodes, what has drifted is measured again

It has no clock, no client and no memory of its own: what is remembered is in the snapshot and in what it returns.
What raises while one job is decided on is a fault of that job (faults.py), and the others don't notice: what is left
is a value, so it is for them as if the job weren't there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from dueby_api.conditions import ConditionType
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob
from dueby_operator import paths
from dueby_operator.cluster.nodes import set_apart
from dueby_operator.control.clear import clear
from dueby_operator.control.conditions import is_done_with, is_true
from dueby_operator.control.job_decision import JobDecision, decide_jobs
from dueby_operator.control.shared import Shared
from dueby_operator.control.sinks import sink_holders
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.control.work.stores import observed_by_store, readers_by_store
from dueby_operator.model.job_snapshot import Fault, JobSnapshot, Stage
from dueby_operator.model.writes import Delete, Write
from dueby_operator.profiling.attempts import shared_attempts
from dueby_operator.profiling.class_profiles import KeptProfiles, keep_profiles, without_foreign
from dueby_operator.profiling.known_profiles import KnownProfiles
from dueby_operator.profiling.on_demand import store_attempts
from dueby_operator.profiling.upkeep import decide_upkeep, jobs_to_measure_for, profile_columns

Found = TypeVar("Found")


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


def decide(snapshot: ClusterSnapshot, *, has_time: Callable[[], bool] = lambda: True) -> Decisions:
    """Return what to do about all jobs and profiles.

    Jobs for which there is no time any more are left as they are, and come first in the next pass.
    """
    faults: list[Fault] = []
    kept = KeptProfiles(profiles=without_foreign(snapshot.profiles, snapshot.nodes))
    if snapshot.keeps_profiles:
        keep = partial(keep_profiles, snapshot.profiles, snapshot.nodes)
        kept = _guarded(keep, kept, stage="profiling", faults=faults)
    snapshot = replace(snapshot, nodes=set_apart(snapshot.nodes, kept.slow))
    shared = Shared(
        devices=snapshot.devices.with_slow_nodes(kept.slow),
        known=KnownProfiles(kept.profiles),
        attempts=None if snapshot.on_demand is None else {},
        promises=snapshot.promises,
        stores=snapshot.stores,
        tariff=snapshot.tariff,
        observed_stores=observed_by_store(snapshot.jobs, now_us=snapshot.now_us),
        store_readers=readers_by_store(snapshot.jobs),
        sink_holders=sink_holders(snapshot.jobs),
    )
    shared = _guarded(lambda: _with_measured(shared, snapshot), shared, stage="profiling", faults=faults)
    decided, shared = decide_jobs(jobs_to_decide(snapshot), snapshot, shared, has_time=has_time)
    new_profiles = {profile.name: profile for profile in (*kept.new, *shared.new_profiles)}
    return Decisions(
        jobs=decided,
        left=shared,
        new_profiles=tuple(new_profiles.values()),
        gone_profiles=kept.gone,
        clearing=(*_clearing(snapshot, faults), *_unawaited(shared, decided)),
        upkeep=_guarded(lambda: _upkeep(snapshot, shared, kept), (), stage="profiling", faults=faults),
        faults=tuple(faults),
    )


def jobs_to_decide(snapshot: ClusterSnapshot) -> list[JobSnapshot]:
    """Return the observed jobs that aren't over, in the order in which they are served: by deadline, then by age."""
    undeleted = [job for job in snapshot.jobs if not (job.is_deleting or job.unreadable or job.is_under_way)]
    return sorted((job for job in undeleted if not is_done_with(job)), key=_service_order)


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
    writes: list[Write] = []
    for job in snapshot.jobs:
        window_us = snapshot.budget_window_us(job.namespace)
        clear_job = partial(
            clear, job, now_us=snapshot.now_us, time_to_live_us=snapshot.time_to_live_us, window_us=window_us
        )
        writes += _guarded(clear_job, (), stage="clearing", faults=faults)
    return tuple(writes)


def _with_measured(shared: Shared, snapshot: ClusterSnapshot) -> Shared:
    """Return the same with what is measured on demand for everybody, and the profiles that have come of it."""
    if snapshot.on_demand is None:
        return shared
    finished = shared_attempts(snapshot.on_demand, snapshot.nodes, now_us=snapshot.now_us)
    new, attempts = store_attempts(finished, snapshot.nodes, shared.profiles)
    for measured in new:
        shared = shared.with_profile(measured)
    return replace(shared, attempts=attempts)


def _unawaited(shared: Shared, decided: Iterable[JobDecision]) -> list[Delete]:
    if any(decision.memory.left_out for decision in decided):  # nobody has asked what these wait for
        return []
    return [
        Delete(path=paths.batch_path(attempt.namespace, name), uid=attempt.uid)
        for name, attempt in (shared.attempts or {}).items()
        if attempt.uid and attempt.is_open and name not in shared.awaited
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
    return (*profile_columns(kept.profiles, snapshot.nodes.values()), *scheduled)


def _jobs_to_measure_for(snapshot: ClusterSnapshot) -> list[InferenceJob]:
    undeleted = [job for job in snapshot.jobs if not job.is_deleting]
    return jobs_to_measure_for(
        [job for job in undeleted if not is_done_with(job)],
        [job for job in undeleted if is_true(job.status, ConditionType.COMPLETE)],
    )

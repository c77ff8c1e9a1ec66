"""What a job's workers have shown of their device classes, for the classes' profiles, once the job is over. Pure.

A worker reports how long its steps were on average, what the model took of them, and when it began its first
mini-batch; its pod says when it was put on a node. A worker whose steps were short of input says nothing about the
device, and one with few steps not enough. Each job is one row in the profile that its workers were planned with, by its
uid, so that an operator which was killed over it writes it once. Profiles that the operator didn't make are left alone.

All of this is the word of whoever runs the job. A job with an image or variables of its own shows how fast those are
and leaves no row; credentials (`envFrom`) change no time. What a worker says of more time than has passed isn't
counted. How far plans believe the rest is the planner's affair (observed.py there).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean, stdev

from dueby_api.gpu_profile import GPUProfile, ObservedJob
from dueby_api.inference_job import InferenceJob
from dueby_api.step_messages import WorkerProgress
from dueby_api.units import from_micros
from dueby_operator.jobs.pod_state import latest_pods
from dueby_operator.model.job_model import Assignment
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.parse import micros_of
from dueby_operator.objects.pods import Pod
from dueby_operator.profiling.managed import is_managed
from dueby_planner.profiles.observed import thin_out_starts, with_job

# A worker's steps count from this many on, and if the model took this share of them: below it, it waited for input.
MIN_STEPS, MIN_SHARE = 20, 0.8
# The API server's clock and the operator's may be so far apart.
CLOCKS_US = 60_000_000
# A spread must stay below 1.
_MAX_SPREAD = 0.99


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one worker has shown."""

    profile: str
    """The profile that it was planned with."""
    steps: int = 0
    ratio: float | None = None
    """Its mean step over the L of the profile; None if it says nothing about the device."""
    startup_us: int | None = None


def observed_profiles(job: JobSnapshot, profiles: Iterable[GPUProfile], *, now_us: int) -> list[GPUProfile]:
    """Return the profiles that the job's workers were planned with, with the job's row, if they don't have it yet."""
    by_profile: dict[str, list[Observation]] = defaultdict(list)
    for observation in observations_of(job, now_us=now_us) if _is_plain(job) else ():
        by_profile[observation.profile].append(observation)
    found = []
    for profile in profiles:
        if profile.name in by_profile and is_managed(profile) and not profile.spec.device.node:
            row = row_of(job.uid, by_profile[profile.name], namespace=job.namespace, now_us=now_us)
            # A clock that was ahead has left rows that would stay the newest.
            known = tuple(old for old in profile.spec.observed if old.time <= row.time)
            spec = with_job(profile.spec.replace(observed=known), row)
            if spec != profile.spec:
                found.append(profile.replace(spec=spec))
    return found


def row_of(job: str, workers: list[Observation], *, namespace: str = "", now_us: int) -> ObservedJob:
    """Return the row of a job with these workers."""
    counted = [(worker.steps, worker.ratio) for worker in workers if worker.ratio is not None]
    ratios = [ratio for _, ratio in counted]
    spread = stdev(ratios) / fmean(ratios) if len(ratios) > 1 else None
    return ObservedJob(
        job=job,
        namespace=namespace,
        time=from_micros(now_us).replace(microsecond=0),
        workers=len(workers),
        steps=sum(steps for steps, _ in counted),
        step_ratio=round(fmean(ratios), 4) if ratios else None,
        step_spread=None if spread is None else round(min(spread, _MAX_SPREAD), 4),
        startup_micros=thin_out_starts([worker.startup_us for worker in workers if worker.startup_us is not None]),
    )


def observations_of(job: JobSnapshot, *, now_us: int) -> Iterator[Observation]:
    """Return what each worker has shown that has done a mini-batch and of which there is still a pod."""
    pods = latest_pods(job.pods)
    for worker_job in job.worker_jobs:
        for index, assignment in enumerate(worker_job.assignments):
            pod = pods.get((worker_job.name, index))
            progress = job.progress.get(pod.name) if pod else None
            if pod and progress and progress.batches:
                yield _observation(assignment, pod, progress, now_us=now_us)


def _is_plain(job: JobSnapshot) -> bool:
    """Return whether the job's workers have the operator's image, and no variables of its own."""
    return isinstance(job.manifest, InferenceJob) and not job.manifest.spec.worker.has_own_software


def _observation(assignment: Assignment, pod: Pod, progress: WorkerProgress, *, now_us: int) -> Observation:
    choice, steps = assignment.choice, progress.batches - 1
    step_us, model_us = progress.mean_step_us, progress.mean_model_us
    age_us = now_us - (pod.metadata.created_us or now_us) + CLOCKS_US
    ratio = None
    if steps >= MIN_STEPS and step_us and model_us and model_us >= MIN_SHARE * step_us and steps * step_us <= age_us:
        # The ratio is to what was measured, whatever a plan made of that.
        ratio = step_us * choice.step_ratio / choice.latency_us
    startup_us = _startup_us(pod, progress)
    is_possible = startup_us is not None and startup_us <= age_us
    return Observation(profile=choice.profile, steps=steps, ratio=ratio, startup_us=startup_us if is_possible else None)


def _startup_us(pod: Pod, progress: WorkerProgress) -> int | None:
    """Return the time from the pod's scheduling to its first mini-batch: pulling, starting, and what it reports."""
    scheduled = (c.last_transition_time for c in pod.status.conditions if c.type == "PodScheduled")
    began_us = micros_of(next(scheduled, None)) or pod.metadata.created_us
    started_us = micros_of(pod.container.state.started_at) if pod.container else None
    if progress.startup_us is None or began_us is None or started_us is None:
        return None
    return max(0, started_us - began_us) + progress.startup_us

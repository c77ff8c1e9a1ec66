"""What a job's workers have shown of their device classes, for the classes' profiles, once the job is over. Pure.

What counts of a worker's steps is said in model/observations.py; its pod says when it was put on a node. Each job is
one row in the profile that its workers were planned with, by its uid, so that an operator which was killed over it
writes it once. Profiles that the operator didn't make are left alone.

All of this is the word of whoever runs the job. A job with an image or variables of its own shows how fast those are
and leaves no row; credentials (`envFrom`) change no time. How far plans believe the rest is the planner's affair
(observed.py there).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob
from dueby_api.step_messages import WorkerProgress
from dueby_operator.jobs.pod_state import asked_us, latest_pods
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.observations import NodeWait, Observation, observation_of, row_of
from dueby_operator.objects.parse import micros_of
from dueby_operator.objects.pods import SCHEDULED, Pod
from dueby_operator.profiling.known_profiles import is_managed
from dueby_planner.profiles.observed import moderated, with_job
from dueby_planner.schedule.job import Assignment

# The API server's clock and the operator's may be so far apart.
CLOCKS_US = 60_000_000
ReadyTimes = Callable[[str], int | None]
"""From a node's name to since when it is ready, in microseconds since 1970; None if that isn't known."""


def observed_profiles(
    job: JobSnapshot, profiles: Iterable[GPUProfile], *, ready_us: ReadyTimes = lambda node: None, now_us: int
) -> list[GPUProfile]:
    """Return the profiles that the job's workers were planned with, with the job's row, if they don't have it yet."""
    by_profile: dict[str, list[Observation]] = defaultdict(list)
    for observation in observations_of(job, ready_us, now_us=now_us) if _is_plain(job) else ():
        by_profile[observation.profile].append(observation)
    observed = []
    for profile in profiles:
        if profile.name in by_profile and is_managed(profile) and not profile.spec.device.node:
            row = row_of(job.uid, by_profile[profile.name], namespace=job.namespace, now_us=now_us)
            # A clock that was ahead has left rows that would stay the newest.
            earlier = tuple(old for old in profile.spec.observed if old.time <= row.time)
            before = profile.spec.replace(observed=earlier)
            spec = with_job(before, moderated(before, row))
            if spec != profile.spec:
                observed.append(profile.replace(spec=spec))
    return observed


def observations_of(job: JobSnapshot, ready_us: ReadyTimes, *, now_us: int) -> Iterator[Observation]:
    """Return what each worker has shown that has done a mini-batch and of which there is still a pod."""
    pods = latest_pods(job.pods)
    for worker_job in job.worker_jobs:
        for index, assignment in enumerate(worker_job.assignments):
            pod = pods.get((worker_job.name, index))
            progress = job.progress.get(pod.name) if pod else None
            if pod and progress and progress.batches:
                yield _observation(
                    assignment,
                    pod,
                    progress,
                    since_us=asked_us(worker_job.job, pod),
                    ready_us=ready_us(pod.spec.node_name) if assignment.pool else None,
                    now_us=now_us,
                )


def _is_plain(job: JobSnapshot) -> bool:
    """Return whether the job's workers run the whole of a known model in the operator's image, without variables of its
    own. Two jobs' own networks may have one name.
    """
    if not isinstance(job.manifest, InferenceJob):
        return False
    spec = job.manifest.spec
    return not (spec.has_own_times or spec.is_measured_alone)


def _observation(
    assignment: Assignment,
    pod: Pod,
    progress: WorkerProgress,
    *,
    since_us: int | None,
    ready_us: int | None,
    now_us: int,
) -> Observation:
    age_us = now_us - (since_us or now_us) + CLOCKS_US
    before = _parts_before(pod, since_us=since_us, ready_us=ready_us)
    is_known = progress.startup_us is not None and "pull" in before
    parts = progress.start_parts | before
    if progress.warmup_us is not None:
        parts["firstBatch"] = progress.warmup_us
    return observation_of(
        assignment,
        progress,
        age_us=age_us,
        # From the pod's scheduling to its first mini-batch: pulling, starting, and what it reports.
        startup_us=before["pull"] + (progress.startup_us or 0) if is_known else None,
        start_parts=parts,
        node_wait=NodeWait(assignment.pool, pod.spec.node_name, before["node"] + before["schedule"])
        if "node" in before
        else None,
    )


def _parts_before(pod: Pod, *, since_us: int | None, ready_us: int | None) -> dict[str, int]:
    """Return how long the worker waited for its node and then for its container, as far as its pod says so.

    `since_us` is since when its device was asked for, `ready_us` since when its node is ready, if it asked for one. One
    that was ready before, others had asked for.
    """
    scheduled = (c.last_transition_time for c in pod.status.conditions if c.type == SCHEDULED)
    scheduled_us = micros_of(next(scheduled, None))
    started_us = micros_of(pod.container.state.started_at) if pod.container else None
    parts = {}
    if since_us is not None and scheduled_us is not None:
        if ready_us is not None and since_us < ready_us <= scheduled_us + CLOCKS_US:
            parts["node"] = min(ready_us, scheduled_us) - since_us
        parts["schedule"] = max(0, scheduled_us - since_us - parts.get("node", 0))
    if (began_us := scheduled_us or pod.metadata.created_us) is not None and started_us is not None:
        parts["pull"] = max(0, started_us - began_us)
    return parts

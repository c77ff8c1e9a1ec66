"""What a job's workers have shown of their device classes, for the classes' profiles, once the job is over. Pure.

A worker says how long its steps were on average, what the model took of them, and when it began its first mini-batch;
its pod says when it was put on a node. A worker whose steps were short of input says nothing about the device, and one
with few steps not enough. Each job is one row in the profile that its workers were planned with, by its uid, so that an
operator which was killed over it writes it once. Profiles that the operator didn't make are left alone.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, stdev

from dueby_api.gpu_profile import ObservedJob
from dueby_api.units import from_micros
from dueby_operator.control.model import Assignment
from dueby_operator.control.world import World
from dueby_operator.jobs.pod_state import Document, Seen, latest_pods, micros_of
from dueby_operator.profiling.class_profiles import is_managed
from dueby_planner.profiles.observed import thin_out_starts, with_job

# A worker's steps count from so many on, and if the model took so much of them: below that it waited for its input.
MIN_STEPS, MIN_SHARE = 20, 0.8


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What one worker has shown."""

    profile: str
    """Which it was planned with."""
    steps: int = 0
    ratio: float | None = None
    """Its mean step over the L of the profile; None where it says nothing about the device."""
    startup_us: int | None = None


def note_job(seen: Seen, world: World) -> None:
    """Have the job's row written into each profile that its workers were planned with."""
    by_profile: dict[str, list[Shown]] = defaultdict(list)
    for shown in shown_by(seen):
        by_profile[shown.profile].append(shown)
    for profile in world.profiles:
        if profile.name in by_profile and is_managed(profile) and not profile.spec.device.node:
            row = row_of(str(seen.document["metadata"]["uid"]), by_profile[profile.name], now_us=world.now_us)
            noted = with_job(profile.spec, row)
            if noted != profile.spec:
                world.keep_profile(profile.replace(spec=noted, status=None))


def row_of(job: str, workers: list[Shown], *, now_us: int) -> ObservedJob:
    """The row of a job with these workers."""
    telling = [(worker, worker.ratio) for worker in workers if worker.ratio is not None]
    ratios = [ratio for _, ratio in telling]
    spread = stdev(ratios) / fmean(ratios) if len(ratios) > 1 else None
    return ObservedJob(
        job=job,
        time=from_micros(now_us).replace(microsecond=0),
        workers=len(workers),
        steps=sum(worker.steps for worker, _ in telling),
        step_ratio=round(fmean(ratios), 4) if ratios else None,
        step_spread=None if spread is None else round(min(spread, 0.99), 4),
        startup_micros=thin_out_starts([worker.startup_us for worker in workers if worker.startup_us is not None]),
    )


def shown_by(seen: Seen) -> Iterator[Shown]:
    """What each worker of which there is still a pod has shown, if it has done a mini-batch."""
    pods = latest_pods(seen.pods)
    for crew in seen.crews:
        for index, assignment in enumerate(crew.assignments):
            pod = pods.get((crew.name, index))
            progress = seen.progress.get(pod["metadata"]["name"], {}) if pod else {}
            if pod and progress.get("batches"):
                yield _shown(assignment, pod, progress)


def _shown(assignment: Assignment, pod: Document, progress: Document) -> Shown:
    steps, step_us = int(progress["batches"]) - 1, progress.get("stepMicrosMean")
    model_us = progress.get("modelMicrosMean")
    choice = assignment.choice
    is_telling = steps >= MIN_STEPS and step_us and model_us and model_us >= MIN_SHARE * step_us
    return Shown(
        profile=choice.profile,
        steps=steps,
        ratio=step_us * choice.step_ratio / choice.latency_us if step_us and is_telling else None,
        startup_us=_startup_us(pod, progress),
    )


def _startup_us(pod: Document, progress: Document) -> int | None:
    """From the pod's node to the first mini-batch: pulling, starting, and what the process says of itself."""
    placed = (c.get("lastTransitionTime") for c in pod["status"].get("conditions", ()) if c["type"] == "PodScheduled")
    began = next(placed, None) or pod["metadata"]["creationTimestamp"]
    states = [found.get("state", {}) for found in pod["status"].get("containerStatuses", ())]
    started = [(state.get("running") or state.get("terminated") or {}).get("startedAt") for state in states]
    if progress.get("startupMicros") is None or not started or started[0] is None:
        return None
    pulled_us = (micros_of(started[0]) or 0) - (micros_of(began) or 0)
    return max(0, pulled_us) + int(progress["startupMicros"])

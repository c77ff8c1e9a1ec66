"""What workers have shown of their devices, by what they reported. Pure, and the same in a cluster and on one machine.

A worker reports how long its steps were on average and what the model took of them. A worker whose steps were short of
input says nothing about the device, and one with few steps not enough. What it says of more time than has passed isn't
counted. Everything that the workers of a job have shown of one profile becomes one row in it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from types import MappingProxyType
from typing import NamedTuple

from dueby_api.gpu_profile import ObservedJob
from dueby_api.start_parts import mean_parts
from dueby_api.step_messages import WorkerProgress
from dueby_api.units import from_micros
from dueby_planner.profiles.observed import MAX_SPREAD, bounded_ratio, thin_out_starts
from dueby_planner.schedule.job import Assignment

# A worker's steps count from this many on, and if the model took this share of what a plan gives it of them: below it,
# the worker waited for input.
MIN_STEPS, MIN_SHARE = 20, 0.8
# Pools of nodes that a row has times of.
MAX_POOLS = 8


class NodeWait(NamedTuple):
    """What a worker has shown of a pool of which it has asked for a node."""

    pool: str
    node: str
    """The node that came."""
    wait_us: int
    """From the request until the node took the worker's pod."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one worker has shown."""

    profile: str
    """The profile that it was planned with."""
    steps: int = 0
    ratio: float | None = None
    """Its mean step over the L of the profile; None if it says nothing about the device."""
    startup_us: int | None = None
    start_parts: Mapping[str, int] = field(default_factory=dict)
    """What that and the first mini-batch consisted of, in microseconds (dueby_api/start_parts.py)."""
    node_wait: NodeWait | None = None
    """The node that it waited for; None if there was one already."""


def observation_of(
    assignment: Assignment,
    progress: WorkerProgress,
    *,
    age_us: int,
    startup_us: int | None = None,
    start_parts: Mapping[str, int] = MappingProxyType({}),
    input_us: int = 0,
    node_wait: NodeWait | None = None,
) -> Observation:
    """Return what a worker has shown that has existed for `age_us` and has done a mini-batch.

    `input_us` is what L contains for input that the device itself prepares.
    """
    choice, steps = assignment.choice, progress.batches - 1
    step_us, model_us = progress.mean_step_us, progress.mean_model_us
    ratio = None
    if steps >= MIN_STEPS and step_us and model_us:
        waited = model_us / step_us < MIN_SHARE * (1 - input_us / choice.latency_us)
        if not waited and steps * step_us <= age_us:
            # The ratio is to what was measured, whatever a plan made of that.
            ratio = step_us * choice.step_ratio / choice.latency_us
    is_possible = startup_us is not None and startup_us <= age_us
    return Observation(
        profile=choice.profile,
        steps=steps,
        ratio=ratio,
        startup_us=startup_us if is_possible else None,
        start_parts=start_parts if sum(start_parts.values()) <= age_us else {},
        node_wait=node_wait,
    )


def row_of(job: str, workers: Sequence[Observation], *, namespace: str = "", now_us: int) -> ObservedJob:
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
        step_ratio=bounded_ratio(fmean(ratios)) if ratios else None,
        step_spread=None if spread is None else round(min(spread, MAX_SPREAD), 4),
        startup_micros=thin_out_starts([worker.startup_us for worker in workers if worker.startup_us is not None]),
        provision_micros=_provisions(worker.node_wait for worker in workers if worker.node_wait),
        start_parts=mean_parts(worker.start_parts for worker in workers) or None,
    )


def _provisions(waits: Iterable[NodeWait]) -> dict[str, tuple[int, ...]]:
    """Return by pool how long its nodes took to come: each as long as the worker waited that asked first."""
    by_pool: dict[str, dict[str, int]] = defaultdict(dict)
    for pool, node, wait_us in waits:
        by_pool[pool][node] = max(wait_us, by_pool[pool].get(node, 0))
    return {pool: thin_out_starts(list(nodes.values())) for pool, nodes in sorted(by_pool.items())[:MAX_POOLS]}

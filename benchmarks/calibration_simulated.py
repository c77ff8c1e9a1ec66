"""The simulated jobs of calibration.py: planned by the product on a profile, and run by what traces say.

A profile is made of a few traces that follow each other; the job's workers live through the others. Nothing that a plan
knows is what happens to it, as in life. A job is as large as the devices are accepted for at 0.95, where a promise is
tight, and nothing is planned again meanwhile, so that it is the first plan's promise that is tried.

Other processes run `edge_run` and `cost_run`, which is why these are at the top of a module that can be imported.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.progress import track

from calibration_promises import SECOND, SEED, promises_s, reliability
from calibration_real import traced_model
from dueby_api.gpu_profile import GPUProfile, ObservedJob, ProfileSpec
from dueby_api.inference_job import parse_job
from dueby_operator.model.observations import MIN_STEPS, Observation, row_of
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.pool import build_pool
from dueby_planner.schedule.job import ScheduledJob
from dueby_profiler.presets import ENOUGH_GROUPS
from end_to_end import manifest
from simulation import Simulation, processes
from traces import Member, Trace, TracedFates, profile_of

# Groups that make a profile: as many as `dueby profile` starts.
PROFILED = ENOUGH_GROUPS
# About as long as a trace: a worker that went through one again and again would have one moment for ever.
SHORT_S = 18
# A simulated hour takes most of a second, where one of 18 s takes 30 ms: of so many profiles and runs one is done.
ONE_OF_LONG = 4
# By how much runs differ in what all their workers have in common, where that is made up, too.
COMMON_STARTS, COMMON_STEPS = 0.05, 0.02


@dataclass(frozen=True, kw_only=True)
class World:
    """Which jobs are simulated."""

    devices: int
    jobs: int = 0
    """Jobs that were run before."""
    seconds: int = SHORT_S
    has_common: bool = False
    """Whether what all workers of a run have in common is made up; groups of other moments have nothing."""

    @property
    def is_long(self) -> bool:
        """Whether jobs outlast a trace, so that their workers go from one moment to the next."""
        return self.seconds > SHORT_S


@dataclass(frozen=True, kw_only=True)
class Split:
    """What is known when a job is planned, and what is to come: process groups of other moments."""

    profile: GPUProfile
    groups: tuple[tuple[Member, ...], ...]
    world: World
    seed: int

    def fates(self) -> TracedFates:
        """Return a fate for each worker: groups drawn at random, each as a whole."""
        chance = random.Random(self.seed)
        needed = math.ceil(self.world.devices / len(self.groups[0]))
        drawn = chance.sample(self.groups, needed)
        if self.world.is_long:
            drawn = [self._gone_on(group, chance) for group in drawn]
        if self.world.has_common:
            start, step = chance.lognormvariate(0, COMMON_STARTS), max(0.5, chance.gauss(1, COMMON_STEPS))
            drawn = [tuple(member.longer(start, step) for member in group) for group in drawn]
        return TracedFates([member for group in drawn for member in group], self.seed)

    def _gone_on(self, group: Sequence[Member], chance: random.Random) -> tuple[Member, ...]:
        """Return the group with moments after its first that are drawn from all groups, for all of the job's time."""
        moment_us = sum(group[0].steps_us)
        moments = [group, *chance.choices(self.groups, k=math.ceil(self.world.seconds * SECOND / moment_us))]
        return tuple(
            replace(member, steps_us=tuple(step for moment in moments for step in moment[place].steps_us))
            for place, member in enumerate(group)
        )


def make_splits(traces: Sequence[Trace], like: ProfileSpec, world: World) -> list[Split]:
    """One for each profile, with what so many jobs have shown in it."""
    model = traced_model()
    splits = []
    for start in range(len(traces) - PROFILED + 1):
        others = [*traces[:start], *traces[start + PROFILED :]]
        groups = tuple(trace.members for trace in others)
        profile = profile_of(traces[start : start + PROFILED], model, like)
        splits.append(Split(profile=profile, groups=groups, world=world, seed=SEED + start))
    if world.is_long:
        splits = splits[::ONE_OF_LONG]
    if not world.jobs:
        return splits
    with processes() as pool:
        return list(pool.map(experienced, splits))


def experienced(split: Split) -> Split:
    """Return the class after so many jobs that half of the groups have worked on; the other half is still to come."""
    mixed = random.Random(split.seed).sample(split.groups, len(split.groups))
    half = len(mixed) // 2
    before, to_come = replace(split, groups=tuple(mixed[:half])), replace(split, groups=tuple(mixed[half:]))
    rows = [job_row(replace(before, seed=split.seed + 1000 * job), job) for job in range(split.world.jobs)]
    spec = split.profile.spec.replace(observed=tuple(rows))
    return replace(to_come, profile=split.profile.replace(spec=spec))


def job_row(split: Split, job: int) -> ObservedJob:
    """What the operator would note of a job once it is over."""
    simulation = Simulation(edge_model(split), split.fates(), replanning=False)
    simulation.run()
    shown = [
        Observation(
            profile=split.profile.name,
            steps=worker.steps,
            ratio=worker.step_total_us / worker.steps / worker.assignment.choice.latency_us,
            startup_us=round(worker.fate.startup_us),
        )
        for worker in simulation.workers
        if worker.steps >= MIN_STEPS
    ]
    return row_of(f"job-{job}", shown, now_us=job)


def simulate(name: str, splits: Sequence[Split], runs: int, console: Console) -> dict[str, Any]:
    """Runs of jobs at the edge of what the devices are accepted for; then what the margin costs."""
    world = splits[0].world
    runs = runs // ONE_OF_LONG if world.is_long else runs
    each = [replace(splits[number % len(splits)], seed=10_000 * SEED + number) for number in range(runs)]
    with processes() as pool:
        told = f"Simulating, {name}"
        rows = list(track(pool.map(edge_run, each, chunksize=16), told, total=runs, console=console))
        some = each[: runs // (2 if world.is_long else 4)] if world.devices > len(splits[0].groups[0]) else []
        cost = list(track(pool.map(cost_run, some, chunksize=8), "What it costs", total=len(some), console=console))
    # Runs that share a profile aren't independent: a group is those that were planned on the same.
    groups = [rows[first :: len(splits)] for first in range(len(splits))]
    return {"reliability": reliability(groups), "cost": cost}


def edge_run(split: Split) -> dict[str, Any]:
    """How long the plan takes, left to itself, and by when it was promised at each confidence."""
    model = edge_model(split)
    simulation = Simulation(model, split.fates(), replanning=False)
    story = simulation.run()
    pool = build_pool(model.spec, model.profiles, model.counts)
    asked = Problem(
        pool=pool,
        images=model.images,
        time_us=model.deadline_us,
        confidence=0.95,
        max_gpus=story.planned_gpus,
        part_size=simulation.model.part_size,
    )
    return {
        "actual": story.finish_us / SECOND,
        "expected": story.expected_us / SECOND,
        "finishes": promises_s(asked),
    }


def edge_model(split: Split, *, images: int | None = None, most: int | None = None) -> ScheduledJob:
    """The largest job that the devices are accepted for, or a smaller one; `most` is gpus.max."""
    device_class = split.profile.spec.device_class
    devices, time_us = split.world.devices, split.world.seconds * SECOND
    spec = parse_job(
        manifest(images=1, deadline=f"{split.world.seconds}s", sink="rows", gpus={"max": most or devices})
    ).spec
    counts = {device_class: devices}
    pool = build_pool(spec, [split.profile], counts)
    problem = Problem(pool=pool, images=1, time_us=time_us, confidence=0.95, max_gpus=devices)
    return ScheduledJob(
        spec=spec,
        now_us=0,
        deadline_us=time_us,
        images=images or problem.largest_images(),
        profiles=(split.profile,),
        counts=counts,
    )


def cost_run(split: Split) -> dict[str, Any]:
    """The devices planned for a job of some size, and the least that would have been in time with what was to come."""
    chance = random.Random(split.seed)
    images = round(edge_model(split).images * chance.uniform(0.3, 1.0))
    story = Simulation(edge_model(split, images=images), split.fates(), replanning=False).run()
    planned = story.planned_gpus
    enough = planned if story.in_time else None
    while enough and enough > 1:
        fewer = edge_model(split, images=images, most=enough - 1)
        if not Simulation(fewer, split.fates(), replanning=False).run().in_time:
            break
        enough -= 1
    return {"images": images, "planned": planned, "enough": enough}

"""Does a deadline hold as often as the plan says? Stated probability against observed frequency.

Traces: fresh processes on all of this machine's slices, measured again and again (traces.py). Profiles are made by the
profiler's own code from a few of them that follow each other, as a profile is; simulated jobs are planned on that
profile by the product's planner and live through what the other processes took. Real: short `dueby run`s on all of the
machine, a new profile every few of them.

For every run the planner says by when it would be done at each confidence q, with the devices that it has. The share of
runs that were done by then is to be q. A share below q is a broken promise. A share above it has a price, which is
counted as well: the devices planned at 0.95 over the least that would have done, had one known what was to come.

A profile can't tell what differs between machines from what differs between moments; jobs can, and what they have shown
is part of later plans (planner/observed.py). So the last of the simulated worlds has had ten jobs before.

What was measured is kept in --folder and not measured again, so that a run that was stopped goes on.

    python benchmarks/calibration.py [--folder build/calibration] [--traces 60] [--real 60] [--simulated 4000]
"""

import argparse
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import track

from calibration_chart import draw, print_tables
from dueby.cli.files import read_profiles
from dueby_api.gpu_profile import GPUProfile, ObservedJob, ProfileSpec
from dueby_api.inference_job import parse_job
from dueby_operator.model.job_model import JobModel
from dueby_operator.profiling.observations import MIN_STEPS, Observation, row_of
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.pool import build_pool
from dueby_profiler.machine.machine import this_machine
from dueby_profiler.presets import ENOUGH_GROUPS
from end_to_end import MODEL, fastest, manifest
from simulation import Simulation, processes
from traces import Member, Trace, TracedFates, measure_traces, profile_of, read_traces

RESULTS = Path(__file__).parent / "results"
CONFIDENCES = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99)
SECOND = 1_000_000
# Steady steps of a trace.
TRACE_S = 6.0
# Groups that make a profile: as many as `dueby profile` starts.
PROFILED = ENOUGH_GROUPS
# Simulated jobs: on as many devices as this machine has, and on more, which are then other moments of it. They work
# about as long as a trace is: a worker that went through it again and again would have one moment for ever. Beside the
# devices the jobs that were run before.
WORLDS = {"2 devices": (2, 0), "12 devices": (12, 0), "12 devices after 10 jobs": (12, 10)}
SIMULATED_S = 18
# Real runs: seconds of work, and runs for which a profile is measured anew.
WORK_S = (10, 18)
RUNS_A_PROFILE = 10
SEED = 6
console = Console(width=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/calibration"), help="keeps what was measured")
    parser.add_argument("--traces", type=int, default=60, help="process groups to measure")
    parser.add_argument("--real", type=int, default=60, help="real runs")
    parser.add_argument("--simulated", type=int, default=4000, help="simulated runs for each number of devices")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    like = fastest(profile_machine(options.folder / "profiles")).spec
    traces = keep_traces(options.folder / "traces.jsonl", like, options.traces)
    real = [promised(row, options.folder) for row in keep_real_runs(options.folder, options.real)]
    worlds = {
        f"simulated, {name}": simulate(name, make_splits(traces, like, devices, jobs), options.simulated)
        for name, (devices, jobs) in WORLDS.items()
    }
    result = {
        "real": real,
        "reliability": {
            **{name: world["reliability"] for name, world in worlds.items()},
            **({f"real, {len(real)} runs": reliability(chunks(real, RUNS_A_PROFILE))} if real else {}),
        },
        "cost": {name: world["cost"] for name, world in worlds.items() if world["cost"]},
        "traces": len(traces),
    }
    (RESULTS / "calibration.json").write_text(json.dumps(result, indent=1))
    print_tables(console, result)
    draw(result, RESULTS / "calibration.png")
    console.print(f"Written: {RESULTS / 'calibration.json'} and .png")


# ---- what is measured, once


def profile_machine(folder: Path) -> Sequence[GPUProfile]:
    """This machine's profiles, measured unless they are there."""
    if not folder.is_dir():
        console.print("MeasuringGroup this machine (a minute) ...")
        command = ["profile", "--quick", "--model", str(MODEL["name"]), "-o", str(folder)]
        subprocess.run([sys.executable, "-m", "dueby.cli.main", *command], check=True)
    return read_profiles([str(folder)])


def keep_traces(path: Path, like: ProfileSpec, wanted: int) -> list[Trace]:
    """As many traces as wanted: those of the file, and new ones added to it."""
    found = read_traces(path)
    size = found[0].size if found else max(like.steps, key=lambda s: s.mini_batch_size / s.latency_micros.mean)
    size = size if isinstance(size, int) else size.mini_batch_size
    model = parse_job(manifest(images=1, deadline="1m", sink="rows")).spec.model
    fresh = measure_traces(this_machine(), model, like, size=size, seconds=TRACE_S)
    with path.open("a") as file:
        for _ in track(range(wanted - len(found)), "MeasuringGroup traces", console=console):
            trace = next(fresh)
            file.write(json.dumps(trace.document()) + "\n")
            file.flush()
            found.append(trace)
    return found[:wanted]


# ---- real runs


def keep_real_runs(folder: Path, wanted: int) -> list[dict[str, Any]]:
    """As many real runs as wanted: those of the file, and new ones added to it."""
    path = folder / "real.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    with path.open("a") as file:
        for number in range(len(rows), wanted):
            row = real_run(folder, number)
            file.write(json.dumps(row) + "\n")
            file.flush()
            rows.append(row)
    return rows[:wanted]


def real_run(folder: Path, number: int) -> dict[str, Any]:
    """A job for all of the machine, with a deadline at which the plan isn't sure."""
    chance = random.Random(SEED + number)
    profiles = folder / f"profiles-{number // RUNS_A_PROFILE}"
    spec = fastest(profile_machine(profiles)).spec
    rate = max(s.mini_batch_size * 1e6 / s.latency_micros.mean for s in spec.steps)
    images = round(rate * (spec.device.slices or 1) * chance.uniform(*WORK_S))
    problem = whole_machine(profiles, images)
    deadline_us = finish_us(problem, chance.uniform(0.6, 0.995)) + began_us(folder, number)
    sink = folder / "rows" / f"{number}-{time.time_ns()}"
    job = manifest(images=images, deadline=f"{deadline_us / SECOND:.1f}s", sink=str(sink))
    path = folder / f"job-{number}.yaml"
    path.write_text(yaml.safe_dump(job))
    command = [sys.executable, "-m", "dueby.cli.main", "run", "-f", str(path), "--profiles", str(profiles)]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
    run = next((sink / "_dueby" / "runs").iterdir())
    summary = json.loads((run / "summary.json").read_text())
    (first, *_) = json.loads((run / "plan.json").read_text())["revisions"]
    plan = first["plan"]
    row = {
        "profiles": profiles.name,
        "images": images,
        "gpus": plan["gpus"],
        "partSize": plan["partSize"],
        "stated": plan["probability"],
        "inTime": summary["inTime"],
        "beganSeconds": first["atSeconds"],
        "expected": plan["expectedSeconds"],
        "actual": summary["actualSeconds"] - first["atSeconds"],
    }
    console.print(
        f"run {number + 1:2}: {images:6,} images on {row['gpus']}, stated {row['stated']:.3f}: expected "
        f"{row['expected']:5.1f} s, took {row['actual']:5.1f} s, {'in time' if row['inTime'] else 'late'}"
    )
    return row


def promised(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A real run with when it was promised to be done at each confidence."""
    problem = replace(whole_machine(folder / row["profiles"], row["images"]), part_size=row["partSize"])
    return row | {"finishes": [finish_us(problem, q) / SECOND for q in CONFIDENCES]}


def whole_machine(folder: Path, images: int) -> Problem:
    """The planner's question about all slices of the fastest layout."""
    profiles = read_profiles([str(folder)])
    spec = fastest(profiles).spec
    job = parse_job(manifest(images=images, deadline="1h", sink="rows")).spec
    same = [profile for profile in profiles if profile.spec.device_class == spec.device_class]
    count = spec.device.slices or 1
    pool = build_pool(job, same, {spec.device_class: count})
    return Problem(pool=pool, images=images, time_us=3600 * SECOND, confidence=0.95, max_gpus=count)


def finish_us(problem: Problem, confidence: float) -> int:
    """By when all devices of the problem's pool are done, at this confidence."""
    found = replace(problem, confidence=confidence).earliest_us(problem.most)
    if found is None:
        raise SystemExit(f"{problem.images} images are never done at {confidence}")
    return found


def began_us(folder: Path, number: int) -> int:
    """What passes from a run's start to its plan, by the run before."""
    path = folder / "real.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if number else []
    return round(rows[-1]["beganSeconds"] * SECOND) if rows else SECOND


# ---- simulated runs


@dataclass(frozen=True, kw_only=True)
class Split:
    """What is known when a job is planned, and what is to come: process groups of other moments."""

    profile: GPUProfile
    groups: tuple[tuple[Member, ...], ...]
    devices: int
    seed: int

    def fates(self) -> TracedFates:
        """Return a fate for each worker: groups drawn at random, each as a whole."""
        chance = random.Random(self.seed)
        needed = math.ceil(self.devices / len(self.groups[0]))
        drawn = chance.sample(self.groups, needed)
        return TracedFates([member for group in drawn for member in group], self.seed)


def make_splits(traces: Sequence[Trace], like: ProfileSpec, devices: int, jobs: int) -> list[Split]:
    """One for each profile, with what so many jobs have shown in it."""
    model = parse_job(manifest(images=1, deadline="1m", sink="rows")).spec.model
    splits = []
    for start in range(len(traces) - PROFILED + 1):
        others = [*traces[:start], *traces[start + PROFILED :]]
        groups = tuple(trace.members for trace in others)
        profile = profile_of(traces[start : start + PROFILED], model, like)
        splits.append(Split(profile=profile, groups=groups, devices=devices, seed=SEED + start))
    return [experienced(split, jobs) for split in splits] if jobs else splits


def experienced(split: Split, jobs: int) -> Split:
    """Return the class after so many jobs that half of the groups have worked on; the other half is still to come."""
    mixed = random.Random(split.seed).sample(split.groups, len(split.groups))
    half = len(mixed) // 2
    before, to_come = replace(split, groups=tuple(mixed[:half])), replace(split, groups=tuple(mixed[half:]))
    rows = [job_row(replace(before, seed=split.seed + 1000 * job), job) for job in range(jobs)]
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


def simulate(name: str, splits: Sequence[Split], runs: int) -> dict[str, Any]:
    """Runs of jobs at the edge of what the devices are accepted for; then what the margin costs."""
    each = [replace(splits[number % len(splits)], seed=10_000 * SEED + number) for number in range(runs)]
    with processes() as pool:
        told = f"Simulating, {name}"
        rows = list(track(pool.map(edge_run, each, chunksize=16), told, total=runs, console=console))
        some = each[: runs // 4] if splits[0].devices > len(splits[0].groups[0]) else []
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
        "finishes": [finish_us(asked, q) / SECOND for q in CONFIDENCES],
    }


def edge_model(split: Split, *, images: int | None = None, most: int | None = None) -> JobModel:
    """The largest job that the devices are accepted for, or a smaller one; `most` is gpus.max."""
    device_class = split.profile.spec.device_class
    gpus = {"max": most or split.devices}
    spec = parse_job(manifest(images=1, deadline=f"{SIMULATED_S}s", sink="rows", gpus=gpus)).spec
    counts = {device_class: split.devices}
    pool = build_pool(spec, [split.profile], counts)
    problem = Problem(pool=pool, images=1, time_us=SIMULATED_S * SECOND, confidence=0.95, max_gpus=split.devices)
    return JobModel(
        spec=spec,
        now_us=0,
        deadline_us=SIMULATED_S * SECOND,
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


# ---- what comes of it


def chunks(rows: Sequence[dict[str, Any]], size: int) -> list[Sequence[dict[str, Any]]]:
    """So many rows at a time, which were planned on the same profile."""
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def reliability(groups: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, float]]:
    """At each confidence the share of runs that were done by then, with the 95 % interval over resampled groups."""
    chance = random.Random(SEED)
    counts = [
        [sum(row["actual"] <= row["finishes"][i] for row in group) for group in groups] for i in range(len(CONFIDENCES))
    ]
    sizes = [len(group) for group in groups]
    answers = []
    for confidence, hits in zip(CONFIDENCES, counts, strict=True):
        shares = sorted(_resampled(hits, sizes, chance) for _ in range(1000))
        answers.append(
            {
                "stated": confidence,
                "observed": sum(hits) / sum(sizes),
                "low": shares[25],
                "high": shares[974],
            }
        )
    return answers


def _resampled(hits: Sequence[int], sizes: Sequence[int], chance: random.Random) -> float:
    drawn = chance.choices(range(len(hits)), k=len(hits))
    return sum(hits[i] for i in drawn) / sum(sizes[i] for i in drawn)


if __name__ == "__main__":
    main()

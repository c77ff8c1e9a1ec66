"""What calibration.py measures on this machine: its profiles, traces of it, and real runs of jobs.

It takes an hour, so everything is written to a folder as soon as it is measured, and read from there the next time.
A real run is a `dueby run` on all of the machine. Its deadline is one that the plan isn't sure to meet: where every run
is in time, nothing can be counted. Its profile is measured again every few runs, because the machine changes.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import track

from calibration_promises import SECOND, SEED, finish_us, promises_s
from dueby.inputs.files import read_profiles
from dueby_api.gpu_profile import GPUProfile, ProfileSpec
from dueby_api.inference_job import Model, parse_job
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.pool import build_pool
from dueby_profiler.machine.machine import this_machine
from end_to_end import MODEL, fastest, manifest
from traces import Trace, measure_traces, read_traces

# Steady steps of a trace.
TRACE_S = 6.0
# Real runs: seconds of work, and runs for which a profile is measured again.
WORK_S = (10, 18)
RUNS_A_PROFILE = 10


def profile_machine(folder: Path, console: Console) -> Sequence[GPUProfile]:
    """This machine's profiles, measured unless they are there."""
    if not folder.is_dir():
        console.print("Measuring this machine (a minute) ...")
        command = ["profile", "--quick", "--model", str(MODEL["name"]), "-o", str(folder)]
        subprocess.run([sys.executable, "-m", "dueby.cli.main", *command], check=True)
    return read_profiles([str(folder)])


def traced_model() -> Model:
    """The model of all traces and jobs."""
    return parse_job(manifest(images=1, deadline="1m", sink="rows")).spec.model


def keep_traces(path: Path, like: ProfileSpec, wanted: int, console: Console) -> list[Trace]:
    """As many traces as wanted: those of the file, and new ones added to it."""
    found = read_traces(path)
    size = found[0].size if found else max(like.steps, key=lambda s: s.mini_batch_size / s.latency_micros.mean)
    size = size if isinstance(size, int) else size.mini_batch_size
    fresh = measure_traces(this_machine(), traced_model(), like, size=size, seconds=TRACE_S)
    with path.open("a") as file:
        for _ in track(range(wanted - len(found)), "Measuring traces", console=console):
            trace = next(fresh)
            file.write(json.dumps(trace.document()) + "\n")
            file.flush()
            found.append(trace)
    return found[:wanted]


# ---- real runs


def keep_real_runs(folder: Path, wanted: int, console: Console) -> list[dict[str, Any]]:
    """As many real runs as wanted: those of the file, and new ones added to it."""
    path = folder / "real.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    with path.open("a") as file:
        for number in range(len(rows), wanted):
            row = real_run(folder, number, console)
            file.write(json.dumps(row) + "\n")
            file.flush()
            rows.append(row)
    return rows[:wanted]


def real_run(folder: Path, number: int, console: Console) -> dict[str, Any]:
    """A job for all of the machine, with a deadline at which the plan isn't sure."""
    chance = random.Random(SEED + number)
    profiles = folder / f"profiles-{number // RUNS_A_PROFILE}"
    spec = fastest(profile_machine(profiles, console)).spec
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
    return row | {"finishes": promises_s(problem)}


def whole_machine(folder: Path, images: int) -> Problem:
    """The planner's question about all slices of the fastest layout."""
    profiles = read_profiles([str(folder)])
    spec = fastest(profiles).spec
    job = parse_job(manifest(images=images, deadline="1h", sink="rows")).spec
    same = [profile for profile in profiles if profile.spec.device_class == spec.device_class]
    count = spec.device.slices or 1
    pool = build_pool(job, same, {spec.device_class: count})
    return Problem(pool=pool, images=images, time_us=3600 * SECOND, confidence=0.95, max_gpus=count)


def began_us(folder: Path, number: int) -> int:
    """What passes from a run's start to its plan, by the run before."""
    path = folder / "real.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if number else []
    return round(rows[-1]["beganSeconds"] * SECOND) if rows else SECOND

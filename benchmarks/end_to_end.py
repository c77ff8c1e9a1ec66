"""Does a job finish when the plan says? Real runs on this machine, and simulated ones by the thousand.

Real: `dueby run` on jobs of varied N and T, planned from this machine's profile. For each the expected finish against
the actual one, as a share of the time that the plan gave to the work (the index step is over when the plan is made).

Simulated: the product's planner and decide_workers() with made-up workers (simulation.py) whose noise is the profile's
own. N is the largest that the plan accepts, so that there is no slack by luck: of the plan alone, left to itself, the
share of runs in time should be at least the stated confidence, and not far above it. Beside it is what re-planning
makes of the same jobs, and of slow nodes and losses, which no profile knows of.

    python benchmarks/end_to_end.py [--profiles DIR] [--real 20] [--simulated 1000]
"""

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist, median
from typing import Any

import matplotlib as mpl
import yaml
from rich.console import Console
from rich.table import Table

from dueby.inputs.files import read_profiles
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import JobSpec, parse_job
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.pool import build_pool
from dueby_planner.schedule.job import ScheduledJob
from simulation import NaturalFates, Nature, Simulation, Story, processes

mpl.use("Agg")
import matplotlib.pyplot as plt

MODEL = {"name": "efficientnet_b0", "weights": "none", "imageSize": 224, "precision": "fp32"}
RESULTS = Path(__file__).parent / "results"
SEED = 20
# Real runs: the work of a plan, in seconds, between these.
WORK_S = (8, 35)
# Simulated runs: many workers of the profiled class, for jobs of some minutes.
POOL = 32
DEVICES = 12
DEADLINE_S = 120
# Not 0.5: that is the study's model, which promises nothing about noise.
CONFIDENCES = (0.8, 0.9, 0.95, 0.99)
SECOND = 1_000_000
console = Console(width=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=Path, help="profiles of this machine for the model (default: measured now)")
    parser.add_argument("--real", type=int, default=20, help="0 keeps those of the last results")
    parser.add_argument(
        "--simulated", type=int, default=1000, help="runs of each world; a quarter of it with nodes slow or lost"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        profiles = options.profiles or measure(Path(folder) / "profiles")
        real = [real_run(Path(folder), profiles, number) for number in range(options.real)] or kept()
        profile = fastest(read_profiles([str(profiles)]))
    simulated = simulate(profile, options.simulated)
    report(real, simulated)


# ---- real runs


def kept() -> list[dict[str, Any]]:
    """The real runs of the last results."""
    found: list[dict[str, Any]] = json.loads((RESULTS / "end_to_end.json").read_text())["real"]
    return found


def measure(folder: Path) -> Path:
    console.print("Measuring this machine (up to 3 minutes) ...")
    command = ["profile", "--model", str(MODEL["name"]), "-o", str(folder)]
    subprocess.run([sys.executable, "-m", "dueby.cli.main", *command], check=True)
    return folder


def fastest(profiles: Sequence[GPUProfile]) -> GPUProfile:
    def rate(profile: GPUProfile) -> float:
        slices = profile.spec.device.slices or 1
        return slices * max(s.mini_batch_size / s.latency_micros.mean for s in profile.spec.steps)

    return max(profiles, key=rate)


def real_run(folder: Path, profiles: Path, number: int) -> dict[str, Any]:
    """One job: N for some seconds of work on one or two devices, T with more or less room."""
    draw = random.Random(SEED + number)
    spec = fastest(read_profiles([str(profiles)])).spec
    rate = max(s.mini_batch_size * 1e6 / s.latency_micros.mean for s in spec.steps)
    devices = draw.randint(1, spec.device.slices or 1)
    work_s = draw.uniform(*WORK_S)
    images = round(rate * devices * work_s)
    startup_s = spec.startup_micros.p95 / SECOND if spec.startup_micros else 0
    deadline_s = round(startup_s + work_s * draw.uniform(1.1, 1.6) + 15)
    sink = folder / f"rows-{number}"
    job = manifest(images=images, deadline=f"{deadline_s}s", sink=str(sink))
    path = folder / f"job-{number}.yaml"
    path.write_text(yaml.safe_dump(job))
    command = ["run", "-f", str(path), "--profiles", str(profiles)]
    started = time.monotonic()
    code = subprocess.run(
        [sys.executable, "-m", "dueby.cli.main", *command], stderr=subprocess.DEVNULL, check=False
    ).returncode
    run = next((sink / "_dueby" / "runs").iterdir())
    summary = json.loads((run / "summary.json").read_text())
    began_s = json.loads((run / "plan.json").read_text())["revisions"][0]["atSeconds"]
    expected_s, actual_s = summary["expectedSeconds"] - began_s, summary["actualSeconds"] - began_s
    row = {
        "images": images,
        "deadlineSeconds": deadline_s,
        "gpus": summary["gpus"],
        "expectedSeconds": expected_s,
        "actualSeconds": actual_s,
        "error": actual_s / expected_s - 1,
        "inTime": summary["inTime"],
        "exitCode": code,
        "wallSeconds": time.monotonic() - started,
    }
    console.print(
        f"run {number + 1:2}: {images:6,} images by {deadline_s:3} s on {row['gpus']}: "
        f"expected {expected_s:5.1f} s, actual {actual_s:5.1f} s ({row['error']:+.1%})"
    )
    return row


def manifest(*, images: int, deadline: str, sink: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {"name": "end-to-end"},
        "spec": {
            "images": images,
            "deadline": deadline,
            "model": MODEL,
            "source": {"synthetic": {}},
            "sink": {"uri": sink},
            **spec,
        },
    }


# ---- simulated runs


def simulate(profile: GPUProfile, runs: int) -> dict[str, Any]:
    """Calibration of the plan alone under the profile's noise; then with re-planning, and what no profile knows of."""
    spread, step = profile.spec.spread, profile.spec.steps[-1]
    run, node = spread.run or 0.02, spread.node or 0.03
    p95, p50 = step.latency_micros.p95 or step.latency_micros.mean, step.latency_micros.p50 or step.latency_micros.mean
    own = Nature(
        step_cv=max(0.01, (p95 / p50 - 1) / NormalDist().inv_cdf(0.95)),
        run=run,
        node=node,
        startup_sigma=startup_sigma(profile),
    )
    worlds = {f"the plan alone, confidence {q}": (q, own, False) for q in CONFIDENCES} | {
        "with re-planning, confidence 0.8": (0.8, own, True),
        "with re-planning, confidence 0.95": (0.95, own, True),
        "every tenth node 25 % slow, confidence 0.95": (0.95, replace(own, slow_share=0.1), True),
        "every twentieth worker lost, confidence 0.95": (0.95, replace(own, loss_per_worker=0.05), True),
    }
    answers = {}
    for name, (q, nature, replanning) in worlds.items():
        console.print(f"Simulating: {name} ...")
        count = runs if nature == own else runs // 4
        answers[name] = simulate_world(profile, q, nature, count, replanning=replanning)
    return answers


def startup_sigma(profile: GPUProfile) -> float:
    startup = profile.spec.startup_micros
    return math.log(startup.p95 / startup.p50) / NormalDist().inv_cdf(0.95) if startup and startup.p50 else 0.0


def simulate_world(
    profile: GPUProfile, confidence: float, nature: Nature, runs: int, *, replanning: bool
) -> dict[str, Any]:
    spec = parse_job(manifest(images=1, deadline=f"{DEADLINE_S}s", sink="rows", confidence=confidence)).spec
    model = edge_model(spec, profile, confidence)
    with processes() as pool:
        worlds = [(model, nature, replanning, seed) for seed in range(runs)]
        stories = list(pool.map(simulated_run, worlds, chunksize=8))
    in_time = sum(story.in_time for story in stories) / runs
    low, high = wilson(in_time, runs)
    return {
        "confidence": confidence,
        "images": model.images,
        "planned": stories[0].planned_gpus,
        "inTime": in_time,
        "interval": [low, high],
        "mostGPUs": max(story.max_gpus for story in stories),
        "changes": sum(story.changes for story in stories) / runs,
        "medianError": median(abs(story.finish_us / story.expected_us - 1) for story in stories),
        "doubled": sum(story.doubled_images for story in stories) / runs / model.images,
    }


def edge_model(spec: JobSpec, profile: GPUProfile, confidence: float) -> ScheduledJob:
    """The largest job that a certain number of devices is accepted for."""
    counts = {profile.spec.device_class: POOL}
    pool = build_pool(spec, [profile], counts)
    problem = Problem(pool=pool, images=1, time_us=DEADLINE_S * SECOND, confidence=confidence, max_gpus=DEVICES)
    return ScheduledJob(
        spec=spec,
        now_us=0,
        deadline_us=DEADLINE_S * SECOND,
        images=problem.largest_images(),
        profiles=(profile,),
        counts=counts,
    )


def simulated_run(world: tuple[ScheduledJob, Nature, bool, int]) -> Story:
    model, nature, replanning, seed = world
    return Simulation(model, NaturalFates(nature, seed), replanning=replanning).run()


def wilson(share: float, runs: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    z = NormalDist().inv_cdf(0.975)
    middle = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z * math.sqrt(share * (1 - share) / runs + z * z / (4 * runs * runs)) / (1 + z * z / runs)
    return middle - half, middle + half


# ---- what comes of it


def report(real: list[dict[str, Any]], simulated: dict[str, Any]) -> None:
    errors = [abs(row["error"]) for row in real]
    if real:
        console.print(
            f"\n{len(real)} real runs: median absolute error {median(errors):.1%} (from {min(errors):.1%} to "
            f"{max(errors):.1%}), {sum(row['inTime'] for row in real)} in time"
        )
    table = Table(title="Simulated runs: stated confidence and share in time", title_justify="left")
    for heading in ("world", "GPUs", "in time", "95 % interval", "changes", "median error", "done twice"):
        table.add_column(heading, justify="left" if heading == "world" else "right")
    for name, row in simulated.items():
        low, high = row["interval"]
        table.add_row(
            name,
            f"{row['planned']} (most {row['mostGPUs']})",
            f"{row['inTime']:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{row['changes']:.2f}",
            f"{row['medianError']:.1%}",
            f"{row['doubled']:.2%}",
        )
    console.print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "end_to_end.json").write_text(json.dumps({"real": real, "simulated": simulated}, indent=1))
    draw(real, simulated)
    console.print(f"Written: {RESULTS / 'end_to_end.json'} and .png")


def draw(real: list[dict[str, Any]], simulated: dict[str, Any]) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
    most = max([row["actualSeconds"] for row in real] + [row["expectedSeconds"] for row in real], default=1) * 1.08
    left.fill_between([0, most], [0, 0.95 * most], [0, 1.05 * most], color="#4c78a8", alpha=0.15, lw=0)
    left.plot([0, most], [0, most], color="#4c78a8", lw=1)
    left.scatter(
        [r["expectedSeconds"] for r in real], [r["actualSeconds"] for r in real], color="#1f3b57", s=22, zorder=3
    )
    left.set(xlim=(0, most), ylim=(0, most), xlabel="expected finish (s)", ylabel="actual finish (s)")
    left.set_title(f"{len(real)} real runs; the band is ±5 %", loc="left")
    rows = [row for name, row in simulated.items() if name.startswith("the plan alone")]
    stated, seen = [row["confidence"] for row in rows], [row["inTime"] for row in rows]
    spans = [
        [s - row["interval"][0] for s, row in zip(seen, rows)],
        [row["interval"][1] - s for s, row in zip(seen, rows)],
    ]
    right.plot([0.75, 1], [0.75, 1], color="#4c78a8", lw=1)
    right.errorbar(stated, seen, yerr=spans, fmt="o", color="#1f3b57", capsize=3)
    right.set(xlim=(0.75, 1.01), ylim=(0.75, 1.01), xlabel="stated confidence", ylabel="share of runs in time")
    right.set_title("Simulated runs at the edge of the plan, never re-planned", loc="left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.savefig(RESULTS / "end_to_end.png", dpi=150)


if __name__ == "__main__":
    main()

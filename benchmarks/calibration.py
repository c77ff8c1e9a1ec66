"""Does a deadline hold as often as the plan says? Stated probability against observed frequency.

Traces: fresh processes on all of this machine's slices, measured again and again (traces.py). Profiles are made by the
profiler's own code from a few of them that follow each other, as a profile is; simulated jobs are planned on that
profile by the product's planner and live through what the other processes took. Real: short `dueby run`s on all of the
machine, a new profile every few of them.

For every run the planner says by when it would be done at each confidence q, with the devices that it has. The share of
runs that were done by then is to be q. A share below q is a broken promise. A share above it has a price, which is
counted as well: the devices planned at 0.95 over the least that would have done, had one known what was to come.

A profile can't tell what differs between machines from what differs between moments; jobs can, and what they have shown
is part of later plans (dueby_planner/profiles/observed.py). So the last simulated world has had ten jobs before.

What was measured is kept in --folder and not measured again, so that a run that was stopped goes on.

    python benchmarks/calibration.py [--folder build/calibration] [--traces 60] [--real 60] [--simulated 4000]
"""

import argparse
import json
from pathlib import Path

from rich.console import Console

from calibration_chart import draw, print_tables
from calibration_promises import chunks, reliability
from calibration_real import RUNS_A_PROFILE, keep_real_runs, keep_traces, profile_machine, promised
from calibration_simulated import make_splits, simulate
from end_to_end import fastest

RESULTS = Path(__file__).parent / "results"
# Simulated jobs: on as many devices as this machine has, and on more, which are then other moments of it. They work
# about as long as a trace is: a worker that went through it again and again would have one moment for ever. Beside the
# devices the jobs that were run before.
WORLDS = {"2 devices": (2, 0), "12 devices": (12, 0), "12 devices after 10 jobs": (12, 10)}
console = Console(width=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/calibration"), help="keeps what was measured")
    parser.add_argument("--traces", type=int, default=60, help="process groups to measure")
    parser.add_argument("--real", type=int, default=60, help="real runs")
    parser.add_argument("--simulated", type=int, default=4000, help="simulated runs for each number of devices")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    like = fastest(profile_machine(options.folder / "profiles", console)).spec
    traces = keep_traces(options.folder / "traces.jsonl", like, options.traces, console)
    real = [promised(row, options.folder) for row in keep_real_runs(options.folder, options.real, console)]
    worlds = {
        f"simulated, {name}": simulate(name, make_splits(traces, like, devices, jobs), options.simulated, console)
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


if __name__ == "__main__":
    main()

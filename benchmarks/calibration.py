"""Does a deadline hold as often as the plan says? Stated probability against observed frequency.

Traces: fresh processes on all of this machine's slices, measured again and again (traces.py). Profiles are made by the
profiler's own code from a few of them that follow each other, as a profile is; simulated jobs are planned on that
profile by the product's planner and live through what the other processes took. Real: short `dueby run`s on all of the
machine, a new profile every few of them.

For every run the planner says by when it would be done at each confidence q, with the devices that it has. The share of
runs that were done by then is to be q. A share below q is a broken promise. A share above it has a price, which is
counted as well: the devices planned at 0.95 over the least that would have done, had one known what was to come.

A profile can't tell what differs between machines from what differs between moments; jobs can, and what they have shown
is part of later plans (dueby_planner/profiles/observed.py). So the last simulated worlds have had ten jobs before.

What was measured is kept in --folder and not measured again, so that a run that was stopped goes on.

    python benchmarks/calibration.py [--folder build/calibration] [--traces 60] [--real 60] [--simulated 4000]
    python benchmarks/calibration.py --made-up --traces 200        # a machine that doesn't exist
"""

import argparse
import json
from pathlib import Path

from rich.console import Console

from calibration_chart import draw, print_tables
from calibration_promises import SEED, chunks, reliability
from calibration_real import RUNS_A_PROFILE, keep_real_runs, keep_traces, profile_machine, promised, traced_model
from calibration_simulated import World, make_splits, simulate
from end_to_end import fastest
from traces import made_up_spec, made_up_traces

RESULTS = Path(__file__).parent / "results"
# Simulated jobs: on as many devices as this machine has, and on more, which are then other moments of it.
WORLDS = {
    "2 devices": World(devices=2),
    "12 devices": World(devices=12),
    "12 devices after 10 jobs": World(devices=12, jobs=10),
    "12 devices for an hour after 10 jobs": World(devices=12, jobs=10, seconds=3600),
}
COMMON = {"12 devices with much in common after 10 jobs": World(devices=12, jobs=10, has_common=True)}
"""Simulated only where everything is made up."""
console = Console(width=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/calibration"), help="keeps what was measured")
    parser.add_argument("--traces", type=int, default=60, help="process groups to measure")
    parser.add_argument("--real", type=int, default=60, help="real runs")
    parser.add_argument("--simulated", type=int, default=4000, help="simulated runs for each number of devices")
    parser.add_argument("--made-up", action="store_true", help="simulate a made-up machine; measure and run nothing")
    options = parser.parse_args()
    written = RESULTS / ("calibration_made_up" if options.made_up else "calibration")
    if options.made_up:
        like, real = made_up_spec(traced_model()), []
        traces = made_up_traces(options.traces, seed=SEED)
    else:
        options.folder.mkdir(parents=True, exist_ok=True)
        like = fastest(profile_machine(options.folder / "profiles", console)).spec
        traces = keep_traces(options.folder / "traces.jsonl", like, options.traces, console)
        real = [promised(row, options.folder) for row in keep_real_runs(options.folder, options.real, console)]
    worlds = {
        f"simulated, {name}": simulate(name, make_splits(traces, like, world), options.simulated, console)
        for name, world in (WORLDS | (COMMON if options.made_up else {})).items()
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
    written.with_suffix(".json").write_text(json.dumps(result, indent=1))
    print_tables(console, result)
    draw(result, written.with_suffix(".png"))
    console.print(f"Written: {written}.json and .png")


if __name__ == "__main__":
    main()

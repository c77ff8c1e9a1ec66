"""Give the demo's job a deadline for which this machine needs some of its devices, but not all.

    python examples/demo/choose_deadline.py JOB.yaml PROFILES OUT.yaml

It prints how soon k devices can finish the job. Then it writes the job with a deadline that just over half of the
devices can meet, and one device fewer can't. It asks the planner what `dueby plan` asks it, but in Python.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import yaml

from dueby.inputs.files import read_profiles
from dueby.inputs.manifests import read_job
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.machine_pool import machine_pool
from dueby_planner.profiles.pool import build_pool

# Two things that the profile doesn't contain: decoding the photos takes a quarter of the model's time on top of it, and
# the index step comes first.
_DECODING = 1.25
_INDEX_S = 4.0


def main() -> None:
    """Print the table and write the job."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("manifest", metavar="JOB.yaml", help="the job, whose deadline makes no difference")
    parser.add_argument("folder", metavar="PROFILES", help="folder of this machine's profiles")
    parser.add_argument("out", metavar="OUT.yaml", help="file for the job with its deadline")
    parsed = parser.parse_args()
    manifest, folder, out = parsed.manifest, parsed.folder, parsed.out
    spec, profiles = read_job(manifest).spec, read_profiles([folder])
    counts = machine_pool(profiles, spec.model)
    problem = Problem(
        pool=build_pool(spec, profiles, counts),
        images=spec.images or 0,
        time_us=1,  # any time would do: earliest_us() looks for one itself
        confidence=spec.planned_confidence,
    )
    devices = sum(counts.values())
    wanted = devices // 2 + 1
    seconds = {count: earliest(problem, count) for count in range(1, devices + 1)}
    for count in sorted({1, wanted - 1, wanted, devices} - {0}):
        print(f"  {count} device{'s' * (count > 1)}: {seconds[count]:.0f} s at the earliest")
    # A machine with a single device has no fewer; its deadline gets as much room as a second one would give.
    fewer = seconds.get(wanted - 1, 2 * seconds[wanted])
    deadline = f"{_INDEX_S + (_DECODING * seconds[wanted] + fewer) / 2:.0f}s"
    print(f"The demo's deadline is {deadline}.")
    job = yaml.safe_load(Path(manifest).read_text())
    job["spec"]["deadline"] = deadline
    Path(out).write_text(yaml.safe_dump(job, sort_keys=False))


def earliest(problem: Problem, devices: int) -> float:
    """Return the seconds in which this number of devices can finish, at the job's confidence."""
    earliest_us = replace(problem, max_gpus=devices).earliest_us()
    if earliest_us is None:
        sys.exit("choose_deadline: this machine's devices can't do the job by any deadline")
    return earliest_us / MICROS_PER_SECOND


if __name__ == "__main__":
    main()

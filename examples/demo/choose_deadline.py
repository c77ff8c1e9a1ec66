"""Gives the demo's job a deadline that means something on this machine: its devices but a few are needed for it.

    python examples/demo/choose_deadline.py JOB.yaml PROFILES OUT.yaml

Prints how soon k devices can be done, and writes the job with a deadline between what that takes with just over half
of the devices and with one fewer. It asks the planner as `dueby plan` does, but in Python.
"""

import sys
from dataclasses import replace
from pathlib import Path

import yaml

from dueby.cli.files import read_job, read_profiles
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.machine_pool import machine_pool
from dueby_planner.profiles.pool import build_pool

# What is not in the profile: the photos' decoding, as a share of the model's time, and the index step.
_DECODING = 1.25
_INDEX_S = 4.0


def main() -> None:
    """The table, the job."""
    manifest, folder, out = sys.argv[1:]
    spec, profiles = read_job(manifest).spec, read_profiles([folder])
    counts = machine_pool(profiles, spec.model)
    problem = Problem(
        pool=build_pool(spec, profiles, counts),
        images=spec.images or 0,
        time_us=1,
        confidence=spec.planned_confidence,
    )
    devices = sum(counts.values())
    wanted = devices // 2 + 1
    seconds = {count: earliest(problem, count) for count in range(1, devices + 1)}
    for count in sorted({1, wanted - 1, wanted, devices} - {0}):
        print(f"  {count} device{'s' * (count > 1)}: {seconds[count]:.0f} s at the soonest")
    fewer = seconds.get(wanted - 1, 2 * seconds[wanted])
    deadline = f"{_INDEX_S + (_DECODING * seconds[wanted] + fewer) / 2:.0f}s"
    print(f"The deadline shall be {deadline}.")
    job = yaml.safe_load(Path(manifest).read_text())
    job["spec"]["deadline"] = deadline
    Path(out).write_text(yaml.safe_dump(job, sort_keys=False))


def earliest(problem: Problem, devices: int) -> float:
    """Seconds in which so many of them can do it, at the job's confidence."""
    earliest_us = replace(problem, max_gpus=devices).earliest_us()
    if earliest_us is None:
        sys.exit("choose_deadline: this machine's devices can never do the job")
    return earliest_us / MICROS_PER_SECOND


if __name__ == "__main__":
    main()

"""`dueby plan`: what would run, without running it and without reading the source.

Answers in well under half a second, so nothing heavy is imported here: no torch, no kopf, no numpy.
"""

import argparse
import json
import re
import sys
import time

from dueby.cli.files import profile_home, read_job, read_profiles, to_yaml
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob, JobSpec
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.answer import answer_document
from dueby_planner.deadline_classes import Verdict, judge
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.machine_pool import machine_pool
from dueby_planner.profiles.pool import build_pool
from dueby_planner.profiles.size_prediction import predictions

EXIT_INFEASIBLE = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dueby plan`."""
    parser.add_argument("-f", "--file", required=True, metavar="JOB", help="the InferenceJob; - is standard input")
    parser.add_argument(
        "--profiles",
        action="append",
        default=[],
        metavar="PATH",
        help="a GPUProfile or a folder of them; may be repeated (default: where `dueby run` keeps this machine's)",
    )
    parser.add_argument(
        "--pool",
        action="append",
        default=[],
        metavar="CLASS=COUNT",
        help="devices that there are of a class; may be repeated (default: what was profiled on this machine)",
    )
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table", help="what to print")


def run(arguments: argparse.Namespace) -> int:
    """Plan and print; 0, or 3 where the deadline can't be met."""
    job = read_job(arguments.file)
    profiles = read_profiles(arguments.profiles or default_profiles())
    profiles += predictions(profiles, job.spec.model)
    counts = parse_pool(arguments.pool) or machine_pool(profiles, job.spec.model, classes=job.spec.gpus.classes)
    verdict = plan_job(job, profiles, counts, now_us=time.time_ns() // 1000)
    print_answer(verdict, arguments.output)
    return EXIT_INFEASIBLE if verdict.infeasible else 0


def plan_job(job: InferenceJob, profiles: list[GPUProfile], counts: dict[str, int], *, now_us: int) -> Verdict:
    """What the job's class makes of it, were it created now."""
    if job.spec.images is None:
        raise Invalid("spec.images", "is missing: a plan needs N, since it doesn't read the source to count")
    time_us = job.spec.deadline_us(accepted_us=now_us) - now_us
    if time_us <= 0:
        raise Invalid("spec.deadlineTime", f"has passed {-time_us / MICROS_PER_SECOND:,.0f} s ago; give a time to come")
    return judge(
        problem_of(job.spec, profiles, counts, images=job.spec.images, time_us=time_us), job.spec.deadline_class
    )


def problem_of(
    spec: JobSpec, profiles: list[GPUProfile], counts: dict[str, int], *, images: int, time_us: int
) -> Problem:
    """The job as the planner takes it."""
    return Problem(
        pool=build_pool(spec, profiles, counts),
        images=images,
        time_us=time_us,
        confidence=spec.planned_confidence,
        max_gpus=spec.gpus.max,
        objective=spec.objective,
        reserve=spec.gpus.reserve,
        max_iterations=spec.gpus.max_iterations,
    )


def default_profiles() -> list[str]:
    """Where this machine's profiles are kept; Invalid where there are none."""
    home = profile_home()
    if not home.is_dir() or not any(home.iterdir()):
        raise Invalid(
            "--profiles", f"is missing, and {home} has no profiles; measure some with: dueby profile -o {home}"
        )
    return [str(home)]


def parse_pool(entries: list[str]) -> dict[str, int]:
    """Counts of `CLASS=COUNT` entries; Invalid for anything else."""
    counts: dict[str, int] = {}
    for entry in entries:
        name, equals, number = entry.rpartition("=")
        if not (name and equals and re.fullmatch(r"[0-9]{1,9}", number)):
            raise Invalid("--pool", f"{entry!r} is not CLASS=COUNT, such as NVIDIA-A100-SXM4-40GB=8")
        if name in counts:
            raise Invalid("--pool", f"names {name} twice; give one count")
        counts[name] = int(number)
    return counts


def print_answer(verdict: Verdict, output: str) -> None:
    """The answer on stdout as a machine's document alone, or as a table for people: on the terminal, or stderr."""
    if output == "table":
        from dueby.cli.tables import people_console, print_plan  # rich takes 50 ms

        print_plan(verdict, people_console(stderr=not sys.stdout.isatty()))
        return
    document = answer_document(verdict)
    sys.stdout.write(
        json.dumps(document, indent=2, ensure_ascii=False) + "\n" if output == "json" else to_yaml(document)
    )

"""`dueby plan`: show what would run, without running it and without reading the source.

It answers in well under half a second, so nothing that is slow to import is imported here: no torch, kopf or numpy.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dueby.cli.deadline_advice import advise_deadline
from dueby.cli.files import profile_home, read_profiles, to_yaml
from dueby.cli.manifests import read_manifests
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

# 1 and 2 are taken: a bug, and wrong input.
EXIT_INFEASIBLE = 3

EXAMPLES = """\
examples:
  dueby plan -f job.yaml                                                 on this machine
  dueby plan -f job.yaml --profiles profiles --pool NVIDIA-L4=8 -o json  on devices that you don't have
  dueby plan -f a.yaml -f b.yaml -o html > plan.html                     all jobs in them, on the same devices
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `dueby plan`."""
    parser.add_argument(
        "-f",
        "--file",
        action="append",
        required=True,
        metavar="JOB",
        help="a file of InferenceJobs; - is standard input; several jobs are planned together, on one pool",
    )
    parser.add_argument(
        "--profiles",
        action="append",
        default=[],
        metavar="PATH",
        help="a file or folder of GPUProfiles; may be repeated (default: the folder of this machine's profiles)",
    )
    parser.add_argument(
        "--pool",
        action="append",
        default=[],
        metavar="CLASS=COUNT",
        help="number of devices of a class; may be repeated (default: the devices that were profiled here)",
    )
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json", "yaml", "html"),
        default="table",
        help="format (default: %(default)s); html is a page with a chart of the devices over time",
    )


def run(arguments: argparse.Namespace) -> int:
    """Plan the jobs and print the plan; return 0, or 3 if a deadline can't be met."""
    jobs = [manifest.job for manifest in read_manifests(arguments.file)]
    if len(jobs) > 1 or arguments.output == "html":
        return _run_all(jobs, arguments)
    job = jobs[0]
    verdict = judge_job(job, paths=arguments.profiles, counts=parse_pool(arguments.pool))
    print_answer(verdict, arguments.output, spec=job.spec)
    return EXIT_INFEASIBLE if verdict.infeasible else 0


def _run_all(jobs: Sequence[InferenceJob], arguments: argparse.Namespace) -> int:
    # Imported here, since the plan of one job doesn't need it.
    from dueby.cli.plan_calendar import plan_all

    profiles = read_profiles(arguments.profiles or default_profiles())
    return plan_all(jobs, profiles, parse_pool(arguments.pool), output=arguments.output)


def judge_job(job: InferenceJob, *, paths: Sequence[str], counts: dict[str, int]) -> Verdict:
    """Return what would be done with the job now; without paths or counts, by this machine's profiles and devices."""
    profiles = read_profiles(paths or default_profiles())
    profiles += predictions(profiles, job.spec.model)
    counts = counts or machine_pool(profiles, job.spec.model, classes=job.spec.gpus.classes)
    return plan_job(job, profiles, counts, now_us=time.time_ns() // 1000)


def plan_job(job: InferenceJob, profiles: list[GPUProfile], counts: dict[str, int], *, now_us: int) -> Verdict:
    """Return what would be done with the job by its deadline class if it were created now."""
    return judge(plan_problem(job, profiles, counts, now_us=now_us), job.spec.deadline_class)


def plan_problem(job: InferenceJob, profiles: list[GPUProfile], counts: dict[str, int], *, now_us: int) -> Problem:
    """Return the job as the planner's problem if it were created now. Raise Invalid without N or time."""
    if job.spec.images is None:
        raise Invalid("spec.images", "is missing; a plan needs N, because it doesn't count the images of the source")
    time_us = job.spec.deadline_us(accepted_us=now_us) - now_us
    if time_us <= 0:
        raise Invalid(
            "spec.deadlineTime", f"is in the past, by {-time_us / MICROS_PER_SECOND:,.0f} s; give a time in the future"
        )
    return problem_of(job.spec, profiles, counts, images=job.spec.images, time_us=time_us)


def require_plannable(spec: JobSpec, profiles: Sequence[GPUProfile], counts: Mapping[str, int]) -> None:
    """Raise Invalid if no plan can be made, however many images there are and whenever the deadline is."""
    _ = problem_of(spec, profiles, counts, images=1, time_us=1).rule


def problem_of(
    spec: JobSpec, profiles: Sequence[GPUProfile], counts: Mapping[str, int], *, images: int, time_us: int
) -> Problem:
    """Return the job as the planner's problem."""
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
    """Return the folder of this machine's profiles; raise Invalid if it has none."""
    home = profile_home()
    if not home.is_dir() or not any(home.iterdir()):
        raise Invalid(
            "--profiles", f"is missing, and {home} has no profiles; measure this machine with: dueby profile -o {home}"
        )
    return [str(home)]


def parse_pool(entries: list[str]) -> dict[str, int]:
    """Return the counts by class of `CLASS=COUNT` entries; raise Invalid for anything else."""
    counts: dict[str, int] = {}
    for entry in entries:
        name, equals, number = entry.rpartition("=")
        if not (name and equals and re.fullmatch(r"[0-9]{1,9}", number)):
            raise Invalid("--pool", f"{entry!r} is not of the form CLASS=COUNT, such as NVIDIA-A100-SXM4-40GB=8")
        if name in counts:
            raise Invalid("--pool", f"names {name} twice; give one count")
        counts[name] = int(number)
    return counts


def print_answer(verdict: Verdict, output: str, *, spec: JobSpec) -> None:
    """Print the answer on stdout: a table for people, or a document for scripts. A table's warnings go to stderr."""
    if output == "table":
        # Imported here because rich takes 50 ms, which a script that plans many jobs shall not pay.
        from dueby.cli.console import people_console
        from dueby.cli.plan_table import print_plan

        now_us = time.time_ns() // 1000
        print_plan(
            verdict,
            people_console(),
            warnings_on=people_console(stderr=True),
            advise=lambda earliest_us: advise_deadline(spec, earliest_us, now_us=now_us, start_us=now_us),
        )
        return
    print_document(answer_document(verdict), output)


def print_document(document: dict[str, Any], output: str) -> None:
    """Print the document on stdout, as JSON or as YAML."""
    sys.stdout.write(
        json.dumps(document, indent=2, ensure_ascii=False) + "\n" if output == "json" else to_yaml(document)
    )

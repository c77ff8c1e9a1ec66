"""`dueby plan`: show what would run, without running it.

It reads no source, but counts the images of one on this machine if nobody says how many there are. Otherwise it answers
in well under half a second, so nothing that is slow to import is imported here: no torch, kopf or numpy.
"""

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dueby.cli.documents import add_output, print_document, print_page, require_curve
from dueby.cli.exit_codes import EXIT_INFEASIBLE
from dueby.inputs.counting import with_images
from dueby.inputs.manifests import add_jobs, naming, read_manifests
from dueby.inputs.pools import Fleet, read_pool
from dueby.inputs.prices import add_prices, read_prices
from dueby.plan_words import advise_deadline
from dueby.planning import judge_job, problem_now, profiled
from dueby_api.inference_job import InferenceJob
from dueby_planner.answer import answer_document
from dueby_planner.deadline_classes import Verdict

if TYPE_CHECKING:
    from dueby.fleet_calendar import Provisions
    from dueby_planner.schedule.calendar import Calendar

EXAMPLES = """\
examples:
  dueby plan -f job.yaml                                           on this machine
  dueby plan -f job.yaml --pool NVIDIA-L4=8 --prices prices.yaml   on devices that you don't have, with their cost
  dueby plan -f job.yaml --curve -o svg > curve.svg                how many devices over the deadline
  dueby plan -f a.yaml -f b.yaml -o html > plan.html               all jobs in them, on the same devices
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_jobs(
        parser, several="are planned together, on one pool", usual_profiles="the folder of this machine's profiles"
    )
    parser.add_argument(
        "--pool",
        action="append",
        default=[],
        metavar="CLASS=COUNT|FILE",
        help="number of devices of a class, or a YAML file with classes, capacity and nodePools; may be "
        "repeated (default: the devices that were profiled here)",
    )
    parser.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="number of images of jobs that don't say it (default: those of a source on this machine are counted)",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show the notes on the profiles, too, not only how many there are"
    )
    add_prices(parser)
    parser.add_argument(
        "--curve",
        nargs="?",
        const="time",
        choices=("time", "images"),
        help="show the devices, and with --prices the cost, over the deadline or over the number of images (default: "
        "%(const)s); -o svg is a picture",
    )
    add_output(parser, "svg")


def run(arguments: argparse.Namespace) -> int:
    """Plan the jobs and print the plan; return 0, or 3 if a deadline can't be met."""
    manifests = read_manifests(arguments.file)
    jobs = []
    for manifest in manifests:
        with naming(manifest.job, is_one=len(manifests) == 1):
            jobs.append(with_images(manifest.job, arguments.images))
    fleet = read_pool(arguments.pool)
    # What comes and goes is planned with on a calendar only.
    is_one = len(jobs) == 1 and not (fleet.capacity or fleet.node_pools)
    require_curve(arguments.curve, arguments.output, is_one_job=is_one)
    tariff = read_prices(arguments.prices, region=arguments.region, spot=arguments.spot, is_one_job=is_one)
    if not is_one:
        return _run_all(jobs, fleet, arguments)
    job = jobs[0]
    if arguments.curve:
        from dueby.cli.plan_curve import print_curve

        problem = problem_now(job, paths=arguments.profiles, counts=fleet.counts, tariff=tariff)
        has_points = print_curve(job, problem, over=arguments.curve, output=arguments.output)
        return 0 if has_points else EXIT_INFEASIBLE
    verdict = judge_job(job, paths=arguments.profiles, counts=fleet.counts, tariff=tariff)
    print_answer(verdict, arguments.output, job=job, is_verbose=arguments.verbose)
    return EXIT_INFEASIBLE if verdict.infeasible else 0


def _run_all(jobs: Sequence[InferenceJob], fleet: Fleet, arguments: argparse.Namespace) -> int:
    """Plan the jobs on one pool and print the calendar; return 3 if a Hard or a Soft job is late, else 0."""
    # Imported here, since the plan of one job on devices that are there doesn't need it.
    from dueby.fleet_calendar import calendar_of, machine_of, provision_of
    from dueby_planner.schedule.free_devices import PROMISED

    profiled_jobs = profiled(jobs, paths=arguments.profiles)
    now_us = time.time_ns() // 1000
    fleet = fleet if arguments.pool else Fleet(counts=machine_of(profiled_jobs))
    provision = provision_of(profiled_jobs, fleet)
    calendar = calendar_of(profiled_jobs, fleet, provision, now_us=now_us)
    _print_calendar(calendar, arguments.output, provision, now_us=now_us, is_verbose=arguments.verbose)
    urgent = [placement for placement in calendar.placements if placement.job.deadline_class in PROMISED]
    return 0 if all(placement.is_in_time for placement in urgent) else EXIT_INFEASIBLE


def _print_calendar(
    calendar: "Calendar", output: str, provision: "Provisions", *, now_us: int, is_verbose: bool
) -> None:
    """Print the calendar on stdout as `print_answer` does a plan."""
    from dueby.planned_calendar import calendar_answer, shown_plan

    answer = calendar_answer(calendar)
    if output in ("json", "yaml"):
        print_document(answer.complete_document(), output)
        return
    shown = shown_plan(calendar, answer, now_us=now_us, provision=provision)
    if output == "html":
        print_page(shown)
        return
    # Imported here because rich takes 50 ms, which a script shall not pay.
    from dueby.cli.calendar_table import print_table

    notes = {note for placed in calendar.placements for note in placed.job.problem.pool.notes}
    print_table(shown, notes=notes, is_verbose=is_verbose)


def print_answer(verdict: Verdict, output: str, *, job: InferenceJob, is_verbose: bool = False) -> None:
    """Print the answer on stdout: a table or a page for people, or a document for scripts.

    A table's warnings go to stderr; the notes on the profiles are shown in full if it is to be verbose.
    """
    now_us = time.time_ns() // 1000
    if output == "html":
        from dueby.planned_job import shown_verdict

        print_page(shown_verdict(job, verdict, now_us=now_us))
    elif output == "table":
        # Imported here because rich takes 50 ms, which a script that plans many jobs shall not pay.
        from dueby.terminal.console import people_console
        from dueby.terminal.plan_table import print_plan

        print_plan(
            verdict,
            people_console(),
            warnings_on=people_console(stderr=True),
            is_verbose=is_verbose,
            advise=lambda earliest_us: advise_deadline(job.spec, earliest_us, now_us=now_us, start_us=now_us),
        )
    else:
        print_document(answer_document(verdict), output)

"""`dueby plan`: show what would run, without running it.

It reads no source, but counts the images of one on this machine if nobody says how many there are. Otherwise it answers
in well under half a second, so nothing that is slow to import is imported here: no torch, kopf or numpy.
"""

import argparse
import time

from dueby.cli.documents import add_output, print_document, print_page, require_shown
from dueby.cli.exit_codes import EXIT_INFEASIBLE
from dueby.inputs.counting import with_images
from dueby.inputs.manifests import add_jobs, naming, read_manifests
from dueby.inputs.pools import COMPARE, read_fleet, read_pool
from dueby.inputs.prices import add_prices, read_prices
from dueby.plan_words import advise_deadline
from dueby.planning import problem_now
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob
from dueby_planner.answer import answer_document
from dueby_planner.deadline_classes import Verdict, judge

EXAMPLES = """\
examples:
  dueby plan -f job.yaml --pool NVIDIA-L4=8 --prices prices.yaml   on devices that you don't have, with their cost
  dueby plan -f job.yaml --curve -o svg > curve.svg                how many devices over the deadline
  dueby plan -f a.yaml -f b.yaml -o html > plan.html               all jobs in them, on the same devices
  dueby plan -f job.yaml --cluster                                 when and on what it would run in a cluster
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
        COMPARE,
        action="extend",
        nargs="+",
        default=[],
        metavar="CLASS=COUNT,...|FILE",
        help="fleets to compare, in a row each: what the job takes there, when it ends and, with --prices, what it "
        "costs; that of --pool goes first, if there is one",
    )
    parser.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="number of images of jobs that don't say it (default: those of a source on this machine are counted)",
    )
    parser.add_argument(
        "--cluster",
        action="store_true",
        help="show what the operator of the kubeconfig's cluster would do with the jobs now, beside those that are "
        "there; nothing is written",
    )
    parser.add_argument(
        "-n",
        "--namespace",
        metavar="NAMESPACE",
        help="with --cluster: where the jobs would be (default: the context's)",
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
            jobs.append(with_images(manifest.job, arguments.images, is_here=not arguments.cluster))
    if arguments.cluster:
        from dueby.cli.plan_cluster import plan_in_cluster

        return 0 if plan_in_cluster(jobs, arguments) else EXIT_INFEASIBLE
    if arguments.namespace:
        raise Invalid("--namespace", "is of a cluster; add --cluster")
    fleet = read_pool(arguments.pool)
    # What comes and goes is planned with on a calendar only.
    is_one = len(jobs) == 1 and not (fleet.capacity or fleet.node_pools)
    require_shown(arguments.output, curve=arguments.curve, compared=arguments.compare, is_one_job=is_one)
    tariff = read_prices(arguments.prices, region=arguments.region, spot=arguments.spot, is_one_job=is_one)
    if not is_one:
        # Imported here, since the plan of one job on devices that are there doesn't need it.
        from dueby.cli.plan_calendar import plan_together

        return 0 if plan_together(jobs, fleet, arguments) else EXIT_INFEASIBLE
    job = jobs[0]
    if arguments.compare:
        from dueby.cli.plan_fleets import print_fleets

        fleets = {" ".join(arguments.pool): fleet} if arguments.pool else {}
        fleets |= {text: read_fleet(text) for text in arguments.compare}
        is_possible = print_fleets(
            job,
            fleets,
            paths=arguments.profiles,
            tariff=tariff,
            output=arguments.output,
            is_verbose=arguments.verbose,
        )
        return 0 if is_possible else EXIT_INFEASIBLE
    problem = problem_now(job, paths=arguments.profiles, counts=fleet.counts, tariff=tariff)
    if arguments.curve:
        from dueby.cli.plan_curve import print_curve

        has_points = print_curve(job, problem, over=arguments.curve, output=arguments.output)
        return 0 if has_points else EXIT_INFEASIBLE
    verdict = judge(problem, job.spec.deadline_class)
    print_answer(verdict, arguments.output, job=job, is_verbose=arguments.verbose)
    return EXIT_INFEASIBLE if verdict.infeasible else 0


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

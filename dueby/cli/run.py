"""`dueby run`: index, plan and run jobs on this machine (runs/run_manifests.py)."""

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dueby.cli.exit_codes import EXIT_INFEASIBLE, EXIT_INVALID, EXIT_LATE
from dueby.inputs.manifests import add_jobs, read_manifests
from dueby.inputs.needs import require_linux
from dueby.inputs.prices import add_prices, read_prices
from dueby_api.errors import Invalid

if TYPE_CHECKING:
    from dueby.runs.session import End

# From what is worst: a failure, wrong input, a refusal, a late job.
_WORST_FIRST = (1, EXIT_INVALID, EXIT_INFEASIBLE, EXIT_LATE, 0)
EXAMPLES = """\
examples:
  dueby run -f job.yaml                   run the job, or continue it where it was stopped
  dueby run -f a.yaml -f b.yaml           run all jobs in them, on the same devices; each as its deadline class promises
  dueby run -f job.yaml --prices p.yaml   the same, and say what it costs
  dueby run -f job.yaml --retry-failed    afterwards, try the unreadable images again
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_jobs(
        parser, several="share this machine's devices", usual_profiles="this machine's, which is measured if needed"
    )
    add_prices(parser)
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="once every part is there, classify the images again whose row has an error; of one job at a time",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the jobs and return the exit code; of several jobs the worst."""
    require_linux("run")
    # The small installation has --help without these.
    from dueby.runs.run_manifests import run_manifests
    from dueby.runs.screen import Screen

    manifests = read_manifests(arguments.file)
    is_one = len(manifests) == 1
    if arguments.retry_failed and not is_one:
        raise Invalid("--retry-failed", "takes one job at a time; name a --file with one job")
    tariff = read_prices(arguments.prices, region=arguments.region, spot=arguments.spot)
    screen = Screen(is_of_one=is_one)
    ends = run_manifests(
        manifests, screen, paths=arguments.profiles, retry_failed=arguments.retry_failed, tariff=tariff
    )
    return worst(ends.values())


def worst(ends: "Iterable[End]") -> int:
    """Return the exit code of jobs that ended so."""
    return min(map(_code, ends), key=_WORST_FIRST.index, default=0)


def _code(end: "End") -> int:
    if end.summary:
        return 0 if end.summary.verdict == "Succeeded" else EXIT_LATE
    if end.error is None:
        return EXIT_INFEASIBLE
    return EXIT_INVALID if isinstance(end.error, Invalid) else 1

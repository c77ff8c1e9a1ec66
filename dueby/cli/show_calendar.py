"""`dueby calendar`: show which job of a cluster has which devices when, from what the jobs' statuses say."""

import argparse
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from dueby.cli.calendar_table import lines_of
from dueby.cli.documents import add_output, print_calendar
from dueby.cluster import connect
from dueby.cluster.job_list import API_SERVER, MAX_LIST, read_jobs, read_sizes
from dueby.cluster.refusals import Absent, Forbidden
from dueby.inputs.files import read_text
from dueby.terminal.console import can_redraw, people_console
from dueby_api.errors import DueByError, Invalid
from dueby_api.units import format_time
from dueby_pages.calendar import ShownCalendar
from dueby_pages.cluster_calendar import ClassSize, shown_cluster, within_sizes
from dueby_pages.cluster_jobs import ClusterJobs

if TYPE_CHECKING:
    from dueby.cluster.api_server import APIServer

# The operator looks at running jobs every two seconds.
WATCH_EVERY_S = 2.0

EXAMPLES = """\
examples:
  dueby calendar -n team --watch                         a namespace's jobs, again and again
  dueby calendar -o html > calendar.html                 all jobs of the cluster, as a page
  kubectl get infj -A -o json | dueby calendar -f -      what kubectl has listed, from wherever it was
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--namespace", metavar="NAMESPACE", help="show this namespace's jobs (default: all)")
    parser.add_argument(
        "-f",
        "--file",
        metavar="LIST",
        help="read what `kubectl get infj -A -o json` has printed instead of asking the cluster; - is standard input",
    )
    parser.add_argument("--watch", action="store_true", help="show it again every two seconds, until Ctrl-C")
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show the calendar and return 0."""
    if arguments.watch and (arguments.file is not None or arguments.output != "table"):
        raise Invalid("--watch", "shows a table of the cluster's jobs; leave out --file and --output")
    api_server = connect("calendar") if arguments.file is None else None

    def read() -> tuple[ClusterJobs, Mapping[str, ClassSize]]:
        if api_server is not None:
            listed = api_server.list_jobs(arguments.namespace)
            return read_jobs(listed, origin=API_SERVER, namespace=arguments.namespace), _sizes(api_server)
        text = read_text(arguments.file, most=MAX_LIST)
        try:
            jobs = read_jobs(text, origin=arguments.file, namespace=arguments.namespace)
        except Invalid as error:
            raise Invalid(error.field, f"{error.message}; give what `kubectl get infj -A -o json` prints") from None
        return jobs, read_sizes(text, origin=arguments.file)

    def show() -> ShownCalendar:
        jobs, sizes = read()
        named = arguments.namespace is None
        return within_sizes(shown_cluster(jobs, now_us=_now_us(), with_namespaces=named, sizes=sizes))

    if arguments.watch:
        watch(show, people_console(), pause=lambda: time.sleep(WATCH_EVERY_S))
    else:
        print_calendar(lambda: read()[0].document(now_us=_now_us()), show, arguments.output)
    return 0


def _sizes(api_server: "APIServer") -> Mapping[str, ClassSize]:
    """Return how many devices of each class there are; nothing if that isn't told."""
    try:
        return read_sizes(api_server.list_profiles(), origin=API_SERVER)
    except (Absent, Forbidden):
        return {}


def watch(show: Callable[[], ShownCalendar], console: Console, *, pause: Callable[[], None]) -> None:
    """Draw the calendar over and over, until `pause` raises; where nothing can be drawn over, print one after another.

    An error of the first look is raised. Later ones are shown beside what was seen last.
    """
    shown, error = show(), ""
    with Live(console=console, auto_refresh=False) if can_redraw(console) else nullcontext() as live:
        while True:
            lines = [*lines_of(shown, console), Text(f"As of {format_time(shown.now_us)}.")]
            lines += [Text(f"{error}.", style="red")] if error else []
            if live:
                live.update(Group(*lines), refresh=True)
            else:
                console.print(Group(*lines))
            pause()
            try:
                shown, error = show(), ""
            except DueByError as failure:
                error = str(failure)


def _now_us() -> int:
    return time.time_ns() // 1000

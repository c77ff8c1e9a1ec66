"""`python -m dueby_operator`: the operator, in a pod or, for development, beside a cluster.

A line of its log is text for people, or JSON for what collects logs. Tenants' words are in messages, so a message never
begins a line of its own and never commands a terminal. A traceback keeps its lines, indented; in JSON it is a field.
"""

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, Final

from pythonjsonlogger.json import JsonFormatter

from dueby_api.errors import Invalid
from dueby_api.quantities import quantity
from dueby_api.step_config import MAX_GRACE_S
from dueby_api.units import parse_duration_us
from dueby_api.untrusted import indented, one_line
from dueby_operator.cluster.nodes import MAX_SLICE_CPUS
from dueby_operator.handlers import operate
from dueby_operator.kube.lease import claim
from dueby_operator.settings import (
    CLASS_LABELS,
    OperatorSettings,
    read_budgets,
    read_cache,
    read_capacity,
    read_maintenance,
    read_node_pools,
    read_prices,
    read_profiler,
    read_promises,
    read_spot,
    read_stores,
    require_prices_of_budgets,
)
from dueby_operator.web import metrics
from dueby_operator.web.calendar_page import CalendarPage
from dueby_operator.web.page_server import serve_page

FORMATS: Final = ("text", "json")
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

# Of other people's loggers. Our own client tells of an outage, in two lines, and who starts Kopf again of its end.
_OTHERS = {
    "kopf": logging.WARNING,  # a line for each wake
    "kopf._cogs.clients": logging.CRITICAL,  # a line for each attempt at a request
    "kopf._core.reactor": logging.CRITICAL,  # a traceback for each watch that ends with the others
    "kopf.activities.probe": logging.CRITICAL,  # a line, and in aiohttp a traceback, for each probe that fails
    "aiohttp.access": logging.WARNING,  # a line for each probe
    "aiohttp.server": logging.CRITICAL,
}
# Objects that are made before Python looks for cycles among them. Nodes, pods and jobs are a hundred thousand that
# stay, and Python's own number, 700, has it look through all of them in most passes.
OBJECTS_BEFORE_COLLECTION = 20_000


def configure_logging(*, level: str, layout: str) -> None:
    """Log to stderr from this level on, one of LEVELS, in one of FORMATS; of others, what we don't say ourselves."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSON if layout == "json" else _TEXT)
    logging.basicConfig(level=level, handlers=[handler])
    for name, least in _OTHERS.items():
        logging.getLogger(name).setLevel(max(least, logging.getLevelNamesMapping()[level]))


class _LogLines(logging.Formatter):
    """A line for each message; below it the traceback, if there is one."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        return one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        return indented(super().formatException(ei))


_TEXT = _LogLines("%(asctime)s %(levelname)s %(message)s")
_JSON = JsonFormatter(
    "%(asctime)s %(levelname)s %(name)s %(message)s",
    datefmt="%Y-%m-%dT%H:%M:%S%z",
    rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the operator until it is told to stop. By default the arguments are those of the command line."""
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
        settings = _settings(options)
        page = _serve_page(options.calendar_page) if options.calendar_page else None
    except Invalid as error:
        parser.error(str(error))
    configure_logging(level=options.log_level, layout=options.log_format)
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
    if options.metrics_port is not None:
        metrics.serve(options.metrics_port)
    lease = claim(options.lease, pod_uid=options.pod_uid) if options.lease else None
    asyncio.run(operate(settings, liveness=options.liveness, claim=lease, page=page))


def _serve_page(address: str) -> CalendarPage:
    """Return the page, which is served at this address from now on. Raise Invalid if it can't be."""
    page = CalendarPage()
    serve_page(page.draw, address)
    return page


def _parser() -> argparse.ArgumentParser:
    """Return the parser. What is not said is absent, and as OperatorSettings has it."""
    parser = argparse.ArgumentParser(
        prog="python -m dueby_operator",
        description="The operator of InferenceJobs.",
        argument_default=argparse.SUPPRESS,
    )
    _add_worker_options(parser)
    _add_watch_options(parser)
    parser.add_argument("--log-level", choices=LEVELS, default="INFO", help="what is logged (default: INFO)")
    parser.add_argument("--log-format", choices=FORMATS, default="text", help="what a line is (default: text)")
    parser.add_argument("--ttl-after-finished", help="how long a finished job is kept (default: permanently)")
    parser.add_argument(
        "--liveness", default=None, metavar="URL", help="where to answer probes, such as http://:8081/healthz"
    )
    parser.add_argument("--metrics-port", type=int, default=None, metavar="PORT", help="where to answer Prometheus")
    parser.add_argument(
        "--calendar-page",
        default=None,
        metavar="ADDRESS:PORT",
        help="where to show the calendar to whoever reaches it, such as 127.0.0.1:8082 (default: nowhere)",
    )
    parser.add_argument(
        "--lease", default=None, metavar="NAMESPACE/NAME", help="the Lease to hold, so that there is one operator"
    )
    parser.add_argument(
        "--pod-uid", default="", metavar="UID", help="of the operator's pod: its next container takes the Lease at once"
    )
    parser.add_argument(
        "--class-label",
        action="append",
        dest="class_labels",
        metavar="LABEL",
        help=f"node label that says which GPU a node has; may be repeated (default: {', '.join(CLASS_LABELS)})",
    )
    for option, read, what in (
        ("--profiler", read_profiler, "profiling on nodes, as the chart's values say it"),
        ("--maintenance", read_maintenance, "when which nodes are not there, as the chart's values say it"),
        ("--capacity", read_capacity, "which devices come and go, and when, as the values say it"),
        ("--node-pools", read_node_pools, "which pools make nodes once they are asked for, as the values say it"),
        ("--spot", read_spot, "how often spot nodes are taken away, as the values say it"),
        ("--promises", read_promises, "what may be promised, as the values say it"),
        ("--stores", read_stores, "what stores serve, as the values say it"),
        ("--budgets", read_budgets, "what the jobs of each namespace may use, as the values say it"),
    ):
        parser.add_argument(option, type=read, metavar="JSON", help=what)
    parser.add_argument(
        "--prices", type=read_prices, dest="tariff", metavar="JSON", help="what devices cost, as the values say it"
    )
    return parser


def _add_worker_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--worker-image", required=True, dest="image", help="the image of steps and workers")
    parser.add_argument("--pull-policy", help="of that image")
    parser.add_argument("--gpu-worker-cpus", type=int, help="cores of a GPU's worker, at least")
    parser.add_argument("--slice-cpus", type=int, help="cores of a CPU slice, where a node's label is silent")
    parser.add_argument("--worker-memory", help="memory of a worker")
    parser.add_argument(
        "--memory-limit-factor", type=float, help="how many times the memory that it asks for a pod may use"
    )
    parser.add_argument("--scratch-size", help="what a pod may keep on its node's disk")
    parser.add_argument(
        "--cache-volume",
        type=read_cache,
        dest="cache",
        metavar="JSON",
        help="a volume, as in a pod, for compiled models of workers and profilers",
    )
    parser.add_argument(
        "--worker-grace-seconds",
        type=int,
        dest="worker_grace_s",
        help="how long a worker that is told to stop may take to finish its open part",
    )
    parser.add_argument("--best-effort-priority", metavar="NAME", help="the PriorityClass of BestEffort jobs' workers")
    parser.add_argument("--runtime-class", metavar="NAME", help="the RuntimeClass of pods with a GPU")


def _add_watch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--watch-namespace",
        action="append",
        dest="watch_namespaces",
        metavar="NAMESPACE",
        help="watch the jobs of this namespace only; may be repeated (default: all namespaces)",
    )
    parser.add_argument(
        "--ignore-other-pods",
        action="store_true",
        dest="ignores_other_pods",
        help="read no pods of other namespaces than those; devices that they use count as free",
    )
    parser.add_argument(
        "--name-nodes",
        action="store_true",
        dest="names_nodes",
        help="name nodes in jobs' messages, and say what is free on each, to whoever may read the jobs",
    )


def _settings(options: argparse.Namespace) -> OperatorSettings:
    """Return the settings that the options say. Raise Invalid with the option that is wrong."""
    names = {field.name for field in fields(OperatorSettings)}
    said: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(options).items()
        if name in names
    }
    settings = OperatorSettings(**said)
    if settings.ignores_other_pods and not settings.watch_namespaces:
        raise Invalid("--ignore-other-pods", "needs --watch-namespace: without it, there are no other namespaces")
    require_prices_of_budgets(settings.budgets, settings.tariff)
    _require("--worker-memory", settings.worker_memory, quantity)
    _require("--scratch-size", settings.scratch_size, quantity)
    if not 1 <= settings.slice_cpus <= MAX_SLICE_CPUS:
        raise Invalid("--slice-cpus", f"must be from 1 to {MAX_SLICE_CPUS}")
    if not 0 <= settings.worker_grace_s <= MAX_GRACE_S:
        raise Invalid("--worker-grace-seconds", f"must be from 0 to {MAX_GRACE_S}")
    if settings.ttl_after_finished:
        _require("--ttl-after-finished", settings.ttl_after_finished, parse_duration_us)
    return replace(settings, memory_limit_factor=max(1.0, settings.memory_limit_factor))


def _require(option: str, text: str, read: Callable[[str], float]) -> None:
    """Raise Invalid with the option unless its text can be read, before every job finds that it can't."""
    try:
        read(text)
    except ValueError as error:
        raise Invalid(option, str(error)) from None


if __name__ == "__main__":
    main()

"""The operator's options, as the chart's Deployment gives them: `python -m dueby_operator --help` lists them.

Who previews jobs reads them of that Deployment, so that a preview has the operator's own settings.
"""

import argparse
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final

from dueby_api.errors import Invalid
from dueby_api.quantities import quantity
from dueby_api.step_config import MAX_GRACE_S
from dueby_api.units import parse_duration_us
from dueby_operator.cluster.nodes import MAX_SLICE_CPUS
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

FORMATS: Final = ("text", "json")
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the operator's options. What is not said stays absent, and is as OperatorSettings has it."""
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


def settings_of(options: argparse.Namespace) -> OperatorSettings:
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

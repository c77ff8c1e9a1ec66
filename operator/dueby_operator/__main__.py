"""`python -m dueby_operator`: the operator, in a pod or, for development, beside a cluster.

A line of its log is text for people, or JSON for what collects logs. Tenants' words are in messages, so a message never
begins a line of its own and never commands a terminal. A traceback keeps its lines, indented; in JSON it is a field.
"""

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Sequence
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from dueby_api.errors import Invalid
from dueby_api.untrusted import indented, one_line
from dueby_operator.handlers import operate
from dueby_operator.kube.lease import claim
from dueby_operator.options import add_options, settings_of
from dueby_operator.web import metrics
from dueby_operator.web.calendar_page import CalendarPage
from dueby_operator.web.page_server import serve_page

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
        settings = settings_of(options)
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
    parser = argparse.ArgumentParser(
        prog="python -m dueby_operator",
        description="The operator of InferenceJobs.",
        argument_default=argparse.SUPPRESS,
    )
    add_options(parser)
    return parser


if __name__ == "__main__":
    main()

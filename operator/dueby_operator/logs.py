"""What the operator logs, and how a line looks: text for people, or JSON for what collects logs.

Tenants' words are in messages, so a message never begins a line of its own and never commands a terminal. A traceback
keeps its lines, indented; in JSON it is a field.
"""

import logging
import sys
from typing import Any, Final

from pythonjsonlogger.json import JsonFormatter

from dueby_api.untrusted import indented, one_line

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
        """Return the line."""
        return one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """Return the traceback."""
        return indented(super().formatException(ei))


_TEXT = _LogLines("%(asctime)s %(levelname)s %(message)s")
_JSON = JsonFormatter(
    "%(asctime)s %(levelname)s %(name)s %(message)s",
    datefmt="%Y-%m-%dT%H:%M:%S%z",
    rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
)

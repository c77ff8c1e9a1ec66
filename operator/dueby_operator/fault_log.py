"""Where faults of the operator itself are reported: each is counted, and its traceback is logged once.

A job that fails in every pass would otherwise fill the log with the same thirty lines.
"""

import logging
from collections.abc import Callable

from dueby_operator.model.fault import Fault

# Kinds of faults that are remembered. More of them than this at once are no use to anybody.
MAX_SEEN = 1000
EVERYBODY = "all jobs"
log = logging.getLogger(__name__)


class FaultLog:
    """The faults of one process."""

    def __init__(self, *, count: Callable[[str], None] = lambda stage: None) -> None:
        """`count` is called with the stage of each fault."""
        self._count = count
        self._seen: set[tuple[str, str, str, str]] = set()

    def record(self, fault: Fault, *, about: str) -> None:
        """Count and log the fault; `about` is the job's namespace/name or EVERYBODY, empty where no job waits."""
        self._count(fault.stage)
        whom = about or "what no job waits for"
        kind = (about, fault.stage, type(fault.error).__name__, fault.place)
        if kind in self._seen:
            log.warning("%s: again %s", whom, fault.sentence)
            return
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        self._seen.add(kind)
        log.error("%s: %s", whom, fault.sentence, exc_info=fault.error)

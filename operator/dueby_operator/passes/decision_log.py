"""A line in the log for each start and stop, so that the log alone tells what the operator has done and why.

What a decision says again in the next pass, such as that a suspended job has no workers, is told once.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from dueby_api.words import counted
from dueby_operator.control.events import NewEvent
from dueby_operator.model.actions import (
    Action,
    AskForNodes,
    LetStart,
    MeasureClass,
    StartStep,
    StartWorkers,
    StopEverything,
    StopJobs,
    StopMeasuring,
    StopWorkers,
)
from dueby_operator.model.job_snapshot import Fault, JobSnapshot

log = logging.getLogger(__name__)
# Kinds of faults that are remembered. More of them than this at once are no use to anybody.
MAX_SEEN = 1000
EVERYBODY = "all jobs"


class DecisionLog:
    """Tells of all jobs."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, ...]] = {}
        """What was said of the actions of the last pass, by the job's uid."""

    def forget_all_but(self, uids: Collection[str]) -> None:
        """Forget what was said of other jobs."""
        self._told = {uid: told for uid, told in self._told.items() if uid in uids}

    def tell(self, job: JobSnapshot, actions: Sequence[Action], events: Sequence[NewEvent]) -> None:
        """Log what was done about a job, and what its status says that it didn't say before."""
        before, now = self._told.pop(job.uid, ()), tuple(map(describe, actions))
        if now:
            self._told[job.uid] = now
        new = (line for line in now if line not in before)
        for line in (*new, *(f"{event.reason}: {event.message}" for event in events)):
            log.info("%s/%s: %s", job.namespace, job.name, line)


def describe(action: Action) -> str:
    match action:
        case StartStep():
            return f"starts the {action.step} step"
        case StartWorkers():
            classes = Counter(assignment.device_class for assignment in action.assignments)
            of_classes = ", ".join(f"{count} on {name}" for name, count in sorted(classes.items()))
            workers = counted(len(action.assignments), "worker")
            return f"starts {workers} of revision {action.revision} ({action.reason}): {of_classes}"
        case AskForNodes():
            return f"asks for the nodes of {counted(len(action.jobs), 'Job')}"
        case LetStart():
            return f"lets {counted(len(action.jobs), 'Job')} start whose nodes have come"
        case StopWorkers():
            return f"stops {counted(len(action.workers), 'worker')} ({action.reason})"
        case StopEverything():
            return "stops its workers and what is measured for it"
        case StopJobs():
            return f"stops {counted(len(action.jobs), 'Job')} of which nothing will come"
        case MeasureClass():
            return f"measures its model on {action.device_class}"
        case StopMeasuring():
            return f"stops {counted(len(action.jobs), 'Job')} that measure for it"


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

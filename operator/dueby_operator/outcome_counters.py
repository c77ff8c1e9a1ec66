"""What is counted of what became of jobs, and of their workers: names and words of the counters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from dueby_api.inference_job import DeadlineClass
from dueby_operator.control.outcomes import BREAK_REASONS, REFUSAL_REASONS, Counted
from dueby_operator.model.fault import Stage
from dueby_operator.model.job_model import StartReason


@dataclass(frozen=True, kw_only=True)
class OutcomeCounter:
    """A counter of what became of jobs, or of their workers."""

    name: str
    help: str
    label: str = ""
    values: Sequence[str] = ()
    """Of the label: each is 0 and not nothing at first, since increase() doesn't see a series begin."""


OUTCOME_COUNTERS: Mapping[Counted, OutcomeCounter] = {
    "made": OutcomeCounter(name="dueby_promises_made", help="Hard jobs to which their deadline was promised."),
    "kept": OutcomeCounter(name="dueby_promises_kept", help="Of those, jobs that ended by their deadline."),
    "broken": OutcomeCounter(
        name="dueby_promises_broken",
        help="Of those, jobs that were late or failed, by what their status says of it last. While the operator is "
        "away none is counted.",
        label="reason",
        values=sorted(BREAK_REASONS),
    ),
    "refused": OutcomeCounter(
        name="dueby_refusals",
        help="Hard jobs that were refused: proved impossible alone or beside other promises, or waited for in vain.",
        label="reason",
        values=REFUSAL_REASONS,
    ),
    "started": OutcomeCounter(
        name="dueby_workers_started",
        help="Workers that were started, by their job's deadline class.",
        label="deadline_class",
        values=get_args(DeadlineClass),
    ),
    "gave way": OutcomeCounter(
        name="dueby_workers_gave_way",
        help="Workers that were stopped because others needed their devices, by their job's deadline class.",
        label="deadline_class",
        values=get_args(DeadlineClass),
    ),
}
MISSES = OutcomeCounter(name="dueby_deadline_misses", help="Jobs whose deadline passed before they were done.")
REPLANS = OutcomeCounter(
    name="dueby_replans", help="Changes of a job's number of workers.", label="reason", values=get_args(StartReason)
)
FAULTS = OutcomeCounter(
    name="dueby_faults",
    help="Times that the operator itself could not handle a job, by what it was doing.",
    label="stage",
    values=get_args(Stage),
)

"""Which workers a running job keeps although it could do without: nobody would gain by what they give back. Pure.

Either there are idle devices, or what is given back would go to a job that has it reserved for a later time and is in
time with that: the one job would lose a part, and the other gain nothing. Where none waits, a pod that isn't ours may.
"""

from collections.abc import Iterable, Mapping

from dueby_api.units import parse_time_us
from dueby_operator.control.calendar.entries import Entry
from dueby_operator.control.calendar.ledger import Hold
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Stacks


def find_in_time(entries: Iterable[Entry], stacks: Stacks) -> Mapping[str, frozenset[JobKey]]:
    """Return the jobs that wait for each stack, where all of them are in time with what is reserved for them."""
    in_time: set[JobKey] = set()
    in_need: set[JobKey] = set()
    for entry in entries:
        model = entry.model
        if not entry.could_use_devices:
            continue
        if model.lag.low_readings or not (model.alive or entry.windows):
            in_need.add(entry.key)
        elif entry.windows:
            (in_time if _is_in_time(entry) else in_need).add(entry.key)
    return {stack.name: stack.users & in_time for stack in stacks.all if not stack.users & in_need}


def find_unwanted(
    own: Iterable[Hold], idle: Mapping[str, int], in_time: Mapping[str, frozenset[JobKey]]
) -> frozenset[str]:
    """Return the names of a job's workers that it keeps. `idle` are devices by stack; `in_time` is of find_in_time."""
    return frozenset(
        hold.worker for hold in own if idle.get(hold.stack) or in_time.get(hold.stack, frozenset()) - {hold.key}
    )


def _is_in_time(entry: Entry) -> bool:
    """Return whether the job is in time, at its confidence, with what is reserved for it."""
    plan = entry.given.status.plan
    return plan is not None and parse_time_us(plan.finish_at_confidence) <= entry.model.deadline_us

"""Place the jobs that wait and those that lag in one calendar. What is wrong with one is its fault alone. Pure.

If no calendar of all of them can be made, they are placed one by one, and those first that others may not move.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dueby_operator.control.calendar.ledger import Ledger
from dueby_operator.control.calendar.reserved import taken_by_placements
from dueby_operator.model.fault import Fault
from dueby_operator.model.job_snapshot import JobKey
from dueby_planner.calendar.calendar import Calendar, Placement, make_calendar
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.pool import CLASSES
from dueby_planner.calendar.running import RunningJob
from dueby_planner.calendar.verify import verify_calendar

Placed = Mapping[JobKey, tuple[Placement, Calendar]]
"""Each job's placement, and the calendar that it is from."""


@dataclass(frozen=True, kw_only=True)
class Placing:
    """What came of placing."""

    placed: Placed = field(default_factory=dict)
    handing_over: Mapping[JobKey, Sequence[str]] = field(default_factory=dict)
    """Workers that are to stop, so that Hard jobs that have no place otherwise get their devices."""
    faults: tuple[Fault, ...] = ()
    """Why they were placed one by one, where none of them alone is the reason."""


def place_all(
    wanted: Mapping[JobKey, CalendarJob],
    ledger: Ledger,
    *,
    running: Callable[[], Mapping[JobKey, RunningJob]],
    blame: Callable[[JobKey, Exception], None],
) -> Placing:
    """Return each job's placement beside what is free; `running` are the Hard jobs that run.

    A job without which the others can be placed is told to `blame`, with its fault.
    """
    if not wanted:
        return Placing()
    try:
        return _place(wanted, ledger, running())
    except Exception as error:  # if one of them is the reason, it shows which without the others
        placed, raised = _place_one_by_one(wanted, ledger)
        for key, own in raised.items():
            blame(key, own)
        return Placing(placed=placed, faults=() if raised else (Fault(stage="deciding", error=error),))


def _place_one_by_one(
    wanted: Mapping[JobKey, CalendarJob], ledger: Ledger
) -> tuple[Placed, Mapping[JobKey, Exception]]:
    """Place each beside those before it; return what has raised for one, too.

    None hands devices over: what it would do later moves others.
    """
    found: dict[JobKey, tuple[Placement, Calendar]] = {}
    raised: dict[JobKey, Exception] = {}
    for key, job in sorted(wanted.items(), key=lambda item: _precedence(item[1])):
        left = ledger.take(taken_by_placements({key: placement for key, (placement, _) in found.items()}))
        try:
            found |= _place({key: job}, left, {}).placed
        except Exception as error:  # whatever it is, it is this job's alone
            raised[key] = error
    return found, raised


def _precedence(job: CalendarJob) -> tuple[int, bool, int]:
    """Return what jobs are sorted by that are placed one by one."""
    is_new = not (job.goes_on or job.stored)
    return CLASSES.index(job.deadline_class), is_new, job.problem.time_us


def _place(wanted: Mapping[JobKey, CalendarJob], ledger: Ledger, running: Mapping[JobKey, RunningJob]) -> Placing:
    calendar = make_calendar(list(wanted.values()), ledger.pool(), running=list(running.values()))
    verify_calendar(calendar)
    keys = {each.job.name: key for key, each in running.items()} | {job.name: key for key, job in wanted.items()}
    return Placing(
        placed={keys[found.job.name]: (found, calendar) for found in calendar.placements},
        handing_over={keys[name]: workers for name, workers in calendar.handing_over.items()},
    )

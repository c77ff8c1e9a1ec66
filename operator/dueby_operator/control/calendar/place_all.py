"""Place the jobs that wait and those that lag in one calendar. What is wrong with one is its fault alone. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dueby_operator.control.calendar.ledger import Ledger
from dueby_operator.control.calendar.reserved import taken_by_placements
from dueby_operator.model.job_snapshot import JobKey
from dueby_planner.calendar.calendar import Calendar, Placement, make_calendar
from dueby_planner.calendar.jobs import CalendarJob
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
    except Exception:  # one of them is the reason: without the others it shows which
        return _place_one_by_one(wanted, ledger, running, blame)


def _place_one_by_one(
    wanted: Mapping[JobKey, CalendarJob],
    ledger: Ledger,
    running: Callable[[], Mapping[JobKey, RunningJob]],
    blame: Callable[[JobKey, Exception], None],
) -> Placing:
    found: dict[JobKey, tuple[Placement, Calendar]] = {}
    handing_over: dict[JobKey, Sequence[str]] = {}
    for key, job in wanted.items():
        left = ledger.take(taken_by_placements({key: placement for key, (placement, _) in found.items()}))
        try:
            # Once in a pass is enough: by the next one those devices are free.
            alone = _place({key: job}, left, {} if handing_over else running())
        except Exception as error:  # whatever it is, it is this job's alone
            blame(key, error)
        else:
            found |= alone.placed
            handing_over |= alone.handing_over
    return Placing(placed=found, handing_over=handing_over)


def _place(wanted: Mapping[JobKey, CalendarJob], ledger: Ledger, running: Mapping[JobKey, RunningJob]) -> Placing:
    calendar = make_calendar(list(wanted.values()), ledger.pool(), running=list(running.values()))
    verify_calendar(calendar)
    keys = {each.job.name: key for key, each in running.items()} | {job.name: key for key, job in wanted.items()}
    return Placing(
        placed={keys[found.job.name]: (found, calendar) for found in calendar.placements},
        handing_over={keys[name]: workers for name, workers in calendar.handing_over.items()},
    )

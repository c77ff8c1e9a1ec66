"""Running Hard jobs as the planner's calendar sees them, and what those do that hand devices over. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dueby_operator.control.calendar.entries import Entry
from dueby_operator.control.calendar.ledger import Hold
from dueby_operator.control.calendar.usable import Usable
from dueby_operator.control.calendar.windows import reserved_workers, window_statuses
from dueby_operator.control.work.decision import Stop, WorkDecision, without
from dueby_operator.control.work.watch import expect_finish_us, ongoing, pause_us
from dueby_operator.model.job_model import StartReason
from dueby_operator.model.stacks import Stacks
from dueby_planner.calendar.reservation import Reservation
from dueby_planner.calendar.running import RunningJob, RunningWorker


def running_job(usable: Usable, holds: Iterable[Hold], *, may_hand_over: bool) -> RunningJob:
    """Return the job with its workers, which have these devices; without them if it may not hand any over now."""
    entry = usable.entry
    if not may_hand_over:
        return RunningJob(job=usable.demand())
    pause = pause_us(worker.assignment.choice.start_us for worker in entry.model.alive)
    there = {worker.name: worker for worker in ongoing(entry.model, entry.model.alive)}
    workers = [
        RunningWorker(
            name=hold.worker,
            devices=hold.stack,
            images=there[hold.worker].images_within(max(0, entry.time_us)),
            ends_us=hold.surely_ends_us,
            may_stay_us=min(entry.time_us, hold.bound_us),
            # Who is done soon has little to hand over, and would have to start once more for it.
            gives_way_us=hold.hands_over_us if hold.done_us > hold.hands_over_us + pause else None,
            is_young=not hold.can_give_way,
        )
        for hold in holds
    ]
    return RunningJob(job=usable.demand(), workers=tuple(workers))


def stop(
    entry: Entry,
    workers: Sequence[str],
    reason: StartReason,
    reservation: Reservation | None,
    stacks: Stacks,
    *,
    before: WorkDecision | None = None,
) -> WorkDecision:
    """Return that these workers stop, and that this is reserved for the job; None: what was decided `before` of that.

    Without it, new jobs would be given that time in the next pass, before this job asks for a place again.
    """
    windows = None if reservation is None else window_statuses(reservation, stacks, now_us=entry.model.now_us)
    action = Stop(workers=tuple(workers), reason=reason, windows=windows)
    model = entry.model if reservation is None else replace(entry.model, reserved=reserved_workers(reservation))
    return WorkDecision(
        action=action,
        lag=model.lag,
        waits_for_windows=before is not None and before.waits_for_windows,
        expected_finish_us=expect_finish_us(without(model, action)),
    )

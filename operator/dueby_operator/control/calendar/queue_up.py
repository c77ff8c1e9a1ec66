"""Jobs that wait in their Kueue queue for quota that others use: nobody knows until when. Pure.

The calendar has no place for such a job, since what others use of a quota counts as taken permanently. But only what is
in the queue has its turn there. So the workers of a job that would begin now without these others are created, and
Kueue admits them as soon as it can. Jobs that take what is idle don't wait so.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from dueby_operator.control.calendar.beside_others import BesideOthers
from dueby_operator.control.calendar.ledger import Hold, Ledger, open_ledger, used_by_others, without_others
from dueby_operator.control.calendar.place_now import decide_placed
from dueby_operator.control.calendar.reserved import taken_by_placements
from dueby_operator.control.calendar.usable import Usable
from dueby_operator.control.calendar.windows import Room
from dueby_operator.control.work.decision import Start, WorkDecision
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Stacks
from dueby_planner.calendar.calendar import Placement, make_calendar
from dueby_planner.calendar.pool import YIELDING
from dueby_planner.calendar.verify import verify_calendar


class Turns:
    """What would be free if only these workers were there, while one job after the other is put into its queue."""

    def __init__(self, stacks: Stacks, holds: Sequence[Hold], placed: Mapping[JobKey, Placement]) -> None:
        """`placed`: all jobs of the calendar."""
        self._stacks, self._holds, self._placed = stacks, holds, placed

    def queue_up(self, usable: Usable, placement: Placement) -> WorkDecision | None:
        """Return the start of a job that has no place in the calendar, if it is to wait in its queue."""
        key = usable.entry.key
        if not self._waits_for_others(usable, placement):
            return None
        ledger = self._ledger
        calendar = make_calendar([placement.job], ledger.pool())
        verify_calendar(calendar)
        (found,) = calendar.placements
        there = {stack.name: stack.devices for stack in self._stacks.of(key)}
        room = Room(key=key, stacks=self._stacks, beside=BesideOthers(ledger, {}), idle=ledger.idle(key, there, 1))
        work = decide_placed(usable, found, calendar, room).work
        if not isinstance(work.action, Start):
            return None
        self._ledger = ledger.take(taken_by_placements({key: found}))
        return work

    def _waits_for_others(self, usable: Usable, placement: Placement) -> bool:
        entry = usable.entry
        takes_what_is_idle = entry.deadline_class in YIELDING and not placement.is_urgent
        if placement.reservation or placement.action == "Refuse" or entry.model.alive or takes_what_is_idle:
            return False
        quotas = [quota for quota in self._stacks.quotas if quota.has_queue and entry.key in quota.costs]
        return any(used_by_others(quota, self._holds) for quota in quotas)

    @cached_property
    def _ledger(self) -> Ledger:
        """What is left beside those that were put into their queues."""
        alone = open_ledger(without_others(self._stacks, self._holds), self._holds)
        return alone.take(taken_by_placements(self._placed))

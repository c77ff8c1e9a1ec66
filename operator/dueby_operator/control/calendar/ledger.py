"""What is free over time, for whom: what nobody has, and what running workers leave when they end or give way. Pure.

A deadline class finds free what workers of its own class and of those above it leave. Workers of the classes below give
way to it, at the end of the part that they are at.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dueby_api.inference_job import DeadlineClass
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Stacks
from dueby_planner.calendar.free_devices import FreeDevices, Taken, always_free, without
from dueby_planner.calendar.pool import CLASSES, CalendarPool
from dueby_planner.model.problem import NEVER_US


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A device that a running worker has. Times count from now."""

    key: JobKey
    worker: str
    stack: str
    deadline_class: DeadlineClass
    """Of its job."""
    ends_us: int
    """When it is expected to end."""
    surely_ends_us: int
    """The same with a margin."""
    done_us: int
    """When its work is expected to be done, whatever else its device is meant for."""
    bound_us: int = NEVER_US
    """It can't have its device for longer."""
    gives_way_us: int
    """How soon it could be gone."""
    can_give_way: bool = False
    """Whether it may be asked to now."""
    until_us: int | None = None
    """When its device is meant for others; None: it may be kept to the end."""
    is_on_its_way: bool = False
    """Whether its device counts as idle yet."""


Table = Mapping[DeadlineClass, Mapping[str, FreeDevices]]


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What is free of each stack over time, by deadline class."""

    stacks: Stacks
    free: Table
    """With a margin, for what is to be given out."""
    expected: Table
    """As expected, for what was given out before."""

    def pool(self) -> CalendarPool:
        """Return it as the planner's calendar takes it."""
        return CalendarPool(
            whole={stack.name: stack.devices for stack in self.stacks.all},
            free=self.free,
            expected=self.expected,
            rivals=self.stacks.rivals,
        )

    def take(self, taken: Iterable[tuple[str, Taken]]) -> "Ledger":
        """Return what is left beside what is taken of each stack, and of its rivals."""
        of_stack: dict[str, list[Taken]] = defaultdict(list)
        for name, each in taken:
            of_stack[name].append(each)
            for rival, lost in self.stacks.rivals.get(name, {}).items():
                of_stack[rival].append(each._replace(devices=each.devices * lost))
        if not of_stack:
            return self
        return replace(self, free=_less(self.free, of_stack), expected=_less(self.expected, of_stack))

    def idle(self, stack: str, within_us: int, *, beside: DeadlineClass = "BestEffort") -> int:
        """Return how many devices are free from now on for so long."""
        steps = self.free[beside].get(stack, ())
        return min((step.free for step in steps if step.from_us < max(1, within_us)), default=0)


def open_ledger(stacks: Stacks, holds: Sequence[Hold], *, leave_us: int = 1) -> Ledger:
    """Return what is free beside these workers. `leave_us` is how long pods may take that are being deleted."""
    held = Counter(hold.stack for hold in holds if not hold.is_on_its_way)
    there = {stack.name: stack.idle + stack.leaving + held[stack.name] for stack in stacks.all}
    leaving = {stack.name: stack.leaving for stack in stacks.all}
    away = {stack.name: [Taken(*absence, there[stack.name]) for absence in stack.away] for stack in stacks.all}

    def table(*, surely: bool) -> Table:
        return {
            kind: {
                name: without(
                    always_free(count),
                    [
                        *_held(holds, name, kind, surely=surely),
                        Taken(0, leave_us if surely else 1, leaving[name]),
                        *away[name],
                    ],
                )
                for name, count in there.items()
            }
            for kind in CLASSES
        }

    return Ledger(stacks=stacks, free=table(surely=True), expected=table(surely=False))


def _held(holds: Iterable[Hold], stack: str, kind: DeadlineClass, *, surely: bool) -> list[Taken]:
    ends: Counter[int] = Counter()
    for hold in holds:
        if hold.stack == stack:
            end_us = hold.surely_ends_us if surely else hold.ends_us
            if CLASSES.index(hold.deadline_class) > CLASSES.index(kind):
                # What was reserved before is kept, however long it takes until the worker is gone.
                end_us = min(end_us, hold.gives_way_us if surely else 1)
            ends[max(1, end_us)] += 1
    return [Taken(0, end_us, count) for end_us, count in ends.items()]


def _less(table: Table, taken: Mapping[str, Sequence[Taken]]) -> Table:
    return {
        kind: {**free, **{name: without(free[name], taken[name]) for name in taken if name in free}}
        for kind, free in table.items()
    }

"""A job of one device at a time, on spot and on demand: what policies make of it that are not DueBy's.

A device does a second of work in a second, after a changeover of d. What is done is kept when a spot device is taken
away. A policy is asked at each change of the trace and every five minutes, as DueBy is.

Uniform Progress ("Can't Be Late: Optimizing Spot Instance Savings under Deadlines", NSDI 2024), from its description:
with C0 the work, R0 the time, and C, R what is left of them, the line is t C0 / R0 of work done at t.

- idle and behind the line: on demand
- spot whenever it is there, and until it is taken away
- from on demand back to spot, or to nothing, only once as much is done as the line has at t + 2d
- idle with R <= C + 2d: on demand until the end; that moment isn't missed between two passes
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from spot_traces import Trace

Kind = Literal["spot", "on demand"]
# Everybody decides again after this time, if nothing has changed before.
PASS_S = 300
ROUNDING_S = 1e-6


@dataclass(frozen=True, kw_only=True)
class Task:
    """A job: what it is to do until when."""

    begins_s: float
    """In the trace's time."""
    work_s: float
    """C0: the time that one device takes, without any start."""
    time_s: float
    """R0: the time until the deadline."""
    changeover_s: float
    """d: the time from a device's start to its first work."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a job. Device time includes starts."""

    is_in_time: bool
    on_demand_s: float
    spot_s: float
    restarts: int
    """Workers that were started after the first one."""


@dataclass(kw_only=True)
class Going:
    """A job at one moment."""

    task: Task
    elapsed_s: float = 0.0
    left_s: float = 0.0
    """C: work that is left."""
    kind: Kind | None = None
    """What it runs on."""
    starts_s: float = 0.0
    """What is left of the changeover."""
    is_final: bool = False
    """Whether it stays on demand until the end."""

    @property
    def may_wait_s(self) -> float:
        """R - C - 2d: how long it may be idle until only a device that stays is sure to end it in time."""
        return self.task.time_s - self.elapsed_s - self.left_s - 2 * self.task.changeover_s

    @property
    def must_begin(self) -> bool:
        """Whether that time is over."""
        return self.may_wait_s <= ROUNDING_S

    def is_behind(self, ahead_s: float = 0.0) -> bool:
        """Return whether less is done than the line has, so much later."""
        task = self.task
        line_s = min(1.0, (self.elapsed_s + ahead_s) / task.time_s) * task.work_s
        return task.work_s - self.left_s < line_s


Policy = Callable[[Going, bool], Kind | None]
"""What to run on from now, by the job and whether there is a spot device."""


def uniform_progress(going: Going, is_there: bool) -> Kind | None:
    """Return what Uniform Progress runs on."""
    if going.kind == "spot" and is_there:
        return "spot"
    if going.kind == "on demand" and (going.is_final or going.is_behind(2 * going.task.changeover_s)):
        return "on demand"
    if going.kind != "on demand" and going.must_begin:
        going.is_final = True
        return "on demand"
    if is_there:
        return "spot"
    return "on demand" if going.is_behind() else None


def greedy(going: Going, is_there: bool) -> Kind | None:
    """Return spot while it is there, and on demand from the last moment at which that is sure to be in time."""
    if going.kind == "spot" and is_there:
        return "spot"
    going.is_final = going.is_final or going.must_begin
    return "on demand" if going.is_final else "spot" if is_there else None


def on_demand_only(_going: Going, _is_there: bool) -> Kind | None:
    """Return a device that stays."""
    return "on demand"


def run_policy(policy: Policy, trace: Trace, task: Task) -> Outcome:
    """Return what comes of the job."""
    going = Going(task=task, left_s=task.work_s)
    used_s: dict[Kind, float] = {"spot": 0.0, "on demand": 0.0}
    starts = 0
    while going.left_s > 0:
        now_s = task.begins_s + going.elapsed_s
        kind = policy(going, trace.is_there(now_s))
        if kind != going.kind:
            going.kind, going.starts_s = kind, task.changeover_s
            starts += kind is not None
        next_s = min(trace.next_change_s(now_s), now_s + PASS_S) - now_s
        if going.kind is None:
            next_s = min(next_s, going.may_wait_s)
        else:
            next_s = min(next_s, going.starts_s + going.left_s)
            used_s[going.kind] += next_s
            begun_s = max(0.0, next_s - going.starts_s)
            going.starts_s = max(0.0, going.starts_s - next_s)
            going.left_s -= begun_s
            if going.left_s < ROUNDING_S:
                going.left_s = 0.0
        going.elapsed_s += next_s
        if going.kind == "spot" and not trace.is_there(task.begins_s + going.elapsed_s):
            going.kind = None
    return Outcome(
        is_in_time=going.elapsed_s <= task.time_s + ROUNDING_S,
        on_demand_s=used_s["on demand"],
        spot_s=used_s["spot"],
        restarts=max(0, starts - 1),
    )

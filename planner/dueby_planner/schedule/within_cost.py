"""A job among others, and what it may cost, spec.maxCost: it is placed on what it can pay for, or it is refused.

If the fewest devices would cost too much, a new job is placed on those of its cheapest plan. If even these cost too
much, with all the devices that it may use, whoever has them now, then waiting doesn't help, and it is refused.

Where others have devices, a job's place may cost more than its plan alone. What it can't pay for is left to others.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from dueby_api.prices import MICRO_UNITS
from dueby_planner.deadline_classes import Verdict, make_plan
from dueby_planner.model.budget import Use
from dueby_planner.model.cost import micro_units
from dueby_planner.model.cost_words import over_cost_wait_sentence
from dueby_planner.model.max_cost import OverCost, require_prices
from dueby_planner.model.offers import crew_of, first_counts, offers_of
from dueby_planner.model.plan import Infeasible, Plan
from dueby_planner.model.problem import Problem
from dueby_planner.schedule.affordable import affords, expected_use
from dueby_planner.schedule.begin import reserved_workers
from dueby_planner.schedule.calendar_job import EARLY_US, CalendarJob, Placement
from dueby_planner.schedule.explain import with_classes
from dueby_planner.schedule.job import ScheduledJob
from dueby_planner.schedule.request import Refuse, Reserve, Start, WorkDecision
from dueby_planner.schedule.reservation import cost_of_windows, device_us
from dueby_planner.schedule.watch import expect_finish_us
from dueby_planner.schedule.within_budget import no_more, over_budget


def within_cost(wanted: CalendarJob, job: ScheduledJob, class_of: Callable[[str], str]) -> CalendarJob | Refuse:
    """Return the job with only such devices as it can pay for, or its refusal.

    `class_of` returns the device class of a group. A job that goes on is not refused: what it has is kept, and more is
    judged when it is to begin. Raise Invalid if the limit or the objective can't be judged by these prices.
    """
    if wanted.goes_on:
        return wanted
    classes = dict.fromkeys(class_of(group.device_class) for group in wanted.problem.pool.groups if group.count)
    require_prices(job.cost_limit, job.spec.objective, job.tariff, [*classes])
    problem = with_classes(wanted.problem, class_of)
    if job.cost_limit is None or problem.fewest() is None or _affords_fewest(problem):
        return wanted
    answer = make_plan(problem)
    if isinstance(answer, OverCost):
        return Refuse(verdict=Verdict(action="Refuse", infeasible=answer))
    if isinstance(answer, Infeasible):
        return wanted
    most = Counter[str]()
    for planned in answer.groups:
        most[planned.device_class] += planned.count
    pool = wanted.problem.pool
    groups = tuple(replace(group, count=min(group.count, most[class_of(group.device_class)])) for group in pool.groups)
    return replace(wanted, problem=replace(wanted.problem, pool=replace(pool, groups=groups)))


def _affords_fewest(problem: Problem) -> bool:
    """Return whether the job can pay for its fewest devices, without a plan of them: this is asked in every pass."""
    for way in problem.ways:
        fewest, offers = way.fewest(), offers_of(way)
        if fewest is None or problem.cost_limit is None:
            continue
        crew = crew_of(way, offers, first_counts([offer.group.count for offer in offers], fewest))
        if crew is not None and problem.cost_limit.allows(micro_units(crew.charge)):
            return True
    return False


def affords_place(job: ScheduledJob, placement: Placement, class_of: Callable[[str], str]) -> bool:
    """Return whether a job can pay for its place. Where a new job begins at once, affords_start() is asked instead."""
    reservation = placement.reservation
    begins_later = any(window.from_us > EARLY_US for lane in reservation for window in lane.windows)
    if not has_limit(job) or not reservation or not (placement.job.goes_on or begins_later):
        return True
    return affords(job, use_of_place(job, placement, class_of))


def has_limit(job: ScheduledJob) -> bool:
    """Return whether anything limits what the job may cost, or for how long it may have devices."""
    return job.cost_limit is not None or job.room is not None


def use_of_place(job: ScheduledJob, placement: Placement, class_of: Callable[[str], str]) -> Use:
    """Return what the job's workers and its place are expected to use."""
    reservation = placement.reservation
    cost = cost_of_windows(reservation, placement.job.problem, class_of)
    ends_us = expect_finish_us(replace(job, reserved=reserved_workers(reservation)))
    return expected_use(job, ends_us=ends_us, more=Use(cost.total if cost else None, device_us(reservation)))


def use_of_work(
    job: ScheduledJob, work: WorkDecision, placement: Placement, class_of: Callable[[str], str]
) -> Use | None:
    """Return what the job is expected to use with what is started or reserved now; None if that is nothing."""
    match work.action:
        case Start(verdict=Verdict(plan=Plan() as plan)):
            return Use(plan.cost.total if plan.cost else None, plan.device_us)
        case Start() | Reserve():
            return use_of_place(job, placement, class_of)
    return None


def affords_start(job: ScheduledJob, work: WorkDecision) -> bool:
    """Return whether a new job can pay for what begins now. What is started by a plan was judged with it."""
    by_windows = work.action.by_windows if isinstance(work.action, Start) else None
    if job.cost_limit is None or job.has_started or by_windows is None:
        return True
    return by_windows.cost is not None and job.cost_limit.allows(round(by_windows.cost.total * MICRO_UNITS))


def wait_for_cheaper(job: ScheduledJob, use: Use) -> WorkDecision:
    """Return what becomes of a job that can't pay for so much: by its budget, or else it waits for cheaper devices."""
    if job.room is not None and not job.room.allows(use):
        return over_budget(job, job.room, use)
    return no_more(job, over_cost_wait_sentence(job.cost_limit) if job.cost_limit else "")

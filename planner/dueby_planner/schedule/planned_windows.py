"""status.plan of a job that the calendar has given windows: as a document, with what is proved of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from dueby_api.plan import CostByCause, PlannedGroup
from dueby_api.status import MAX_WINDOWS, PlanStatus, WindowStatus
from dueby_api.units import format_duration, format_exact_time, format_time
from dueby_api.words import counted
from dueby_planner.answer import bound_sentence, cost_by_cause, device_word, planned_store, unpriced_warnings
from dueby_planner.model.cost import PlanCost, micro_units
from dueby_planner.schedule.calendar_job import Placement
from dueby_planner.schedule.devices import DeviceGroups
from dueby_planner.schedule.explain import missing_devices_sentence
from dueby_planner.schedule.place_by_cost import least_charge
from dueby_planner.schedule.reservation import (
    Reservation,
    Window,
    devices_at_most,
    expected_finish_us,
    finish_at_confidence_us,
    probability_by,
)


def plan_of_windows(
    placement: Placement,
    groups: DeviceGroups,
    counts: Sequence[int] = (),
    *,
    part_size: int,
    now_us: int,
    cost: PlanCost | None,
) -> PlanStatus:
    """Return the plan of a job's windows, of which so many devices of each lane begin now."""
    problem, reservation = placement.job.problem, placement.reservation
    finish_us, bound = finish_at_confidence_us(reservation, problem), _bound(placement, cost)
    return PlanStatus(
        revision=0,
        objective=problem.objective,
        gpus=devices_at_most(reservation),
        lower_bound=problem.fewest() or devices_at_most(reservation),
        proof="Calendar",
        proof_sentence=_proof(placement, cost, bound) + missing_devices_sentence(reservation, groups, now_us=now_us),
        confidence=problem.confidence,
        probability=round(probability_by(reservation, problem, problem.time_us), 6),
        part_size=part_size,
        expected_finish=format_time(now_us + expected_finish_us(reservation, problem)),
        finish_at_confidence=format_time(now_us + finish_us),
        slack=format_duration(problem.time_us - finish_us),
        warnings=(
            *problem.pool.warnings,
            *unpriced_warnings(problem.tariff, [groups.class_of(lane.group) for lane in reservation]),
        ),
        groups=tuple(
            PlannedGroup(
                device_class=groups.class_of(lane.group),
                engine=lane.windows[0].choice.engine,
                count=count,
                mini_batch_size=lane.windows[0].choice.mini_batch_size,
                iterations=max(0, lane.windows[0].images // lane.windows[0].choice.mini_batch_size - 1),
                profile=lane.windows[0].choice.profile,
                paced=True if lane.windows[0].choice.unpaced else None,
            )
            for lane, count in zip(reservation, counts, strict=False)
            if count
        ),
        store=planned_store(problem),
        cost=cost_by_cause(cost, CostByCause, bound=bound) if cost else None,
        windows=window_statuses(_still_reserved(reservation, counts), groups, now_us=now_us),
    )


def _bound(placement: Placement, cost: PlanCost | None) -> int | None:
    """Return what no windows in time cost less than, in millionths; None where they are not chosen by cost."""
    if cost is None or not (placement.job.problem.is_by_cost and placement.is_in_time):
        return None
    return min(cost.total, micro_units(least_charge(placement.job)))


def _proof(placement: Placement, cost: PlanCost | None, bound: int | None) -> str:
    """Return what is proved of the windows: by cost if there is a bound of it, or else by the number of devices."""
    problem, reservation = placement.job.problem, placement.reservation
    fewest, word = problem.fewest(), device_word(problem.pool)
    if cost is not None and bound is not None:
        return bound_sentence(f"No {word}s that the job may use, whoever has them, are in time for less", cost, bound)
    if fewest is None:
        return "All devices that the job may use would be too few to be in time."
    if fewest >= devices_at_most(reservation):
        return f"No fewer than {counted(fewest, word)} would be in time."
    if any(problem.pool.groups[0].is_fallback != group.is_fallback for group in problem.pool.groups):
        return f"Of any kind, {counted(fewest, word)} would be enough without other jobs; spot devices come first."
    return f"Without other jobs {counted(fewest, word)} would be enough."


def _still_reserved(reservation: Reservation, counts: Sequence[int]) -> Reservation:
    """Return the reservation without what begins now."""
    if not counts:
        return reservation
    kept = []
    for lane, count in zip(reservation, counts, strict=True):
        kept += [replace(lane, count=count, windows=lane.windows[1:]), replace(lane, count=lane.count - count)]
    return tuple(lane for lane in kept if lane.count and lane.windows)


def window_statuses(reservation: Reservation, groups: DeviceGroups, *, now_us: int) -> tuple[WindowStatus, ...]:
    """Return the windows as a status has them, by time; those of one class that are the same together."""
    counts: Counter[tuple[Window, str, bool, str, bool]] = Counter()
    for lane in reservation:
        group = groups.by_name[lane.group]
        kind = group.device_class, group.is_announced, group.asked_pool or "", group.is_spot
        for window in lane.windows:
            counts[window, *kind] += lane.count
    in_order = sorted(counts.items(), key=lambda item: (item[0][0].from_us, item[0][0].to_us, *item[0][1:]))
    return tuple(
        WindowStatus(
            device_class=device_class,
            engine=window.choice.engine,
            from_time=format_exact_time(now_us + window.from_us),
            to_time=format_exact_time(now_us + window.to_us),
            count=count,
            mini_batch_size=window.choice.mini_batch_size,
            images=count * window.images,
            announced=is_announced or None,
            pool=pool or None,
            spot=is_spot or None,
        )
        for (window, device_class, is_announced, pool, is_spot), count in in_order[:MAX_WINDOWS]
    )

"""The mapping from a calendar to its document, and to sentences for people."""

from dueby_api.calendar import CalendarAnswer, PlannedCut, PlannedJob, PlannedPool, PlannedWindow
from dueby_api.units import seconds
from dueby_planner.schedule.calendar import Calendar, Placement
from dueby_planner.schedule.cut import Cut
from dueby_planner.schedule.explain import cut_sentence
from dueby_planner.schedule.reservation import (
    Lane,
    Window,
    device_us,
    devices_at_most,
    expected_finish_us,
    finish_at_confidence_us,
    probability_by,
    starts,
)


def calendar_answer(calendar: Calendar) -> CalendarAnswer:
    """Return the calendar as a document. Its times count from now."""
    cut = calendar.cut
    warnings = [warning for found in calendar.placements for warning in found.job.problem.pool.warnings]
    return CalendarAnswer(
        feasible=calendar.is_feasible,
        proof="Calendar" if calendar.is_feasible else "Cut" if cut else "NoScheduleFound",
        jobs=tuple(_planned_job(found) for found in calendar.placements),
        pool=tuple(
            PlannedPool(device_class=name, devices=count, peak=_peak(calendar, name))
            for name, count in calendar.pool.whole.items()
        ),
        cut=_planned_cut(calendar, cut) if cut else None,
        # Jobs of one model have the same profiles, and the same warnings.
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _planned_job(found: Placement) -> PlannedJob:
    job, held, problem = found.job, found.reservation, found.job.problem
    answer = PlannedJob(
        name=job.name, deadline_class=job.deadline_class, action=found.action, lower_bound=problem.fewest()
    )
    if not held:
        return answer
    return answer.replace(
        gpus=devices_at_most(held),
        probability=probability_by(held, problem, problem.time_us),
        expected_seconds=seconds(expected_finish_us(held, problem)),
        slack_seconds=seconds(problem.time_us - finish_at_confidence_us(held, problem)),
        starts=starts(held),
        gpu_seconds=seconds(device_us(held)),
        windows=tuple(
            _planned_window(lane, window)
            for window, lane in sorted(
                ((window, lane) for lane in held for window in lane.windows),
                key=lambda pair: (pair[0].from_us, pair[1].group, pair[0].to_us),
            )
        ),
    )


def _planned_window(lane: Lane, window: Window) -> PlannedWindow:
    return PlannedWindow(
        device_class=lane.group,
        engine=window.choice.engine,
        from_seconds=seconds(window.from_us),
        to_seconds=seconds(window.to_us),
        count=lane.count,
        mini_batch_size=window.choice.mini_batch_size,
        images=lane.count * window.images,
    )


def _peak(calendar: Calendar, name: str) -> int:
    lanes = (lane for found in calendar.placements for lane in found.reservation if lane.group == name)
    return devices_at_most(tuple(lanes))


def _planned_cut(calendar: Calendar, cut: Cut) -> PlannedCut:
    return PlannedCut(
        jobs=tuple(job.name for job in cut.jobs),
        until=seconds(cut.until_us),
        needed_gpu_seconds=seconds(cut.needed_us),
        available_gpu_seconds=seconds(cut.available_us),
        sentence=cut_sentence(calendar, cut, str, str),
    )

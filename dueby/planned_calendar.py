"""The calendar of several jobs (fleet_calendar.py) as a document, and as it is shown."""

from types import MappingProxyType

from dueby.fleet_calendar import ASKED_FOR, Provisions, class_named, pool_named
from dueby.plan_words import ASSUMED
from dueby_api.calendar import CalendarAnswer, PlannedCut, PlannedJob, PlannedPool, PlannedWindow
from dueby_api.units import MICROS_PER_SECOND, seconds
from dueby_pages.calendar import ShownCalendar, ShownHold, ShownJob, ShownPool, work_words
from dueby_planner.answer import device_word
from dueby_planner.model.problem import Problem
from dueby_planner.schedule.calendar import Calendar
from dueby_planner.schedule.calendar_job import Placement
from dueby_planner.schedule.explain import cut_sentence, refusal_sentence
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

NO_POOLS: Provisions = MappingProxyType({})


def calendar_answer(calendar: Calendar) -> CalendarAnswer:
    """Return the calendar as a document. Its times count from now."""
    cut = calendar.cut
    warnings = [warning for found in calendar.placements for warning in found.job.problem.pool.warnings]
    return CalendarAnswer(
        feasible=calendar.is_feasible,
        proof="Calendar" if calendar.is_feasible else "Cut" if cut else "NoScheduleFound",
        jobs=tuple(_planned_job(found) for found in calendar.placements),
        pool=tuple(
            PlannedPool(
                device_class=class_named(name),
                devices=max(step.free for step in steps),
                peak=_peak(calendar, name),
                pool=pool_named(name),
            )
            for name, steps in calendar.pool.whole.items()
        ),
        cut=PlannedCut(
            jobs=tuple(job.name for job in cut.jobs),
            until=seconds(cut.until_us),
            needed_gpu_seconds=seconds(cut.needed_us),
            available_gpu_seconds=seconds(cut.available_us),
            sentence=cut_sentence(calendar, cut, str, class_named),
        )
        if cut
        else None,
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
        device_class=class_named(lane.group),
        pool=pool_named(lane.group),
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


def shown_plan(
    calendar: Calendar, answer: CalendarAnswer, *, now_us: int, provision: Provisions = NO_POOLS
) -> ShownCalendar:
    """Return the calendar as it is shown; `provision` is by pool that it may ask how long that takes."""
    peaks = {pool.pool: pool.peak for pool in answer.pool}
    notes = [ASSUMED] if any(placement.job.problem.pool.is_assumed for placement in calendar.placements) else []
    notes += [
        f"Devices of the pool {name} are asked for when their window begins, and are there after {times.words}."
        for name, times in provision.items()
        if peaks[name]
    ]
    return ShownCalendar(
        now_us=now_us,
        jobs=tuple(
            _shown_job(calendar, placement, planned)
            for placement, planned in zip(calendar.placements, answer.jobs, strict=True)
        ),
        pool=tuple(ShownPool(device_class=_name(pool), devices=pool.devices, peak=pool.peak) for pool in answer.pool),
        device=device_word(calendar.placements[0].job.problem.pool),
        notes=tuple(notes),
        warnings=answer.warnings,
    )


def _shown_job(calendar: Calendar, placement: Placement, planned: PlannedJob) -> ShownJob:
    deadline_s = placement.job.problem.time_us / MICROS_PER_SECOND
    is_refused = placement.action in ("Refuse", "Hold")
    sentence = ""
    if is_refused:
        sentence = f"{planned.name}: {refusal_sentence(calendar, placement, class_of=class_named)}"
    elif placement.action == "Wait":
        sentence = f"{planned.name} {_without_devices(placement.job.problem)}."
    return ShownJob(
        name=planned.name,
        deadline_class=planned.deadline_class,
        state=planned.action,
        deadline_s=deadline_s,
        starts_s=min((window.from_seconds for window in planned.windows), default=None),
        expected_s=planned.expected_seconds,
        sure_s=None if planned.slack_seconds is None else deadline_s - planned.slack_seconds,
        confidence=placement.job.problem.confidence,
        slack_s=planned.slack_seconds,
        gpus=planned.gpus,
        holds=tuple(_hold(window) for window in planned.windows),
        is_refused=is_refused,
        sentence=sentence,
    )


def _without_devices(problem: Problem) -> str:
    """Return what is said of a job that has no devices and that nobody promised any."""
    if problem.earliest_us() is not None:
        return "waits: no device is left for it now"
    limits = {
        "gpus.max": problem.max_gpus is not None,
        "gpus.reserve": problem.reserve > 0,
        "gpus.maxIterations": problem.max_iterations is not None,
    }
    named = " and ".join(name for name, is_set in limits.items() if is_set)
    return f"can't be done: on these devices no time is long enough{f' with its {named}' if named else ''}"


def _name(devices: PlannedWindow | PlannedPool) -> str:
    """Return what the devices are called for people."""
    return f"{devices.device_class}{ASKED_FOR}{devices.pool}" if devices.pool else devices.device_class


def _hold(window: PlannedWindow) -> ShownHold:
    return ShownHold(
        device_class=_name(window),
        from_s=window.from_seconds,
        to_s=window.to_seconds,
        count=window.count,
        work=work_words(images=window.images, mini_batch_size=window.mini_batch_size, engine=window.engine),
    )

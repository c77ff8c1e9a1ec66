"""Several jobs as one calendar: all of them on one pool, each as its deadline class promises."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dueby.inputs.manifests import naming
from dueby.plan_words import ASSUMED
from dueby.planning import shared_problem
from dueby_api.calendar import CalendarAnswer, PlannedCut, PlannedJob, PlannedPool, PlannedWindow
from dueby_api.capacity import AnnouncedDevices
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob
from dueby_api.units import MICROS_PER_SECOND, seconds
from dueby_pages.calendar import ShownCalendar, ShownHold, ShownJob, ShownPool, work_words
from dueby_planner.answer import device_word
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.machine_pool import machine_pool
from dueby_planner.schedule.calendar import Calendar, make_calendar
from dueby_planner.schedule.calendar_job import CalendarJob, Placement
from dueby_planner.schedule.explain import cut_sentence, refusal_sentence
from dueby_planner.schedule.free_devices import CHANGE_US, free_over_time, idle_pool, proven
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
from dueby_planner.schedule.stores import StoreUse, shared_units, store_uses
from dueby_planner.schedule.verify import verify_calendar

Known = Sequence[tuple[InferenceJob, list[GPUProfile]]]
"""Each job with the profiles that are known of its model, measured and predicted."""


def calendar_of(
    profiled_jobs: Known, counts: Mapping[str, int], *, now_us: int, capacity: Sequence[AnnouncedDevices] = ()
) -> Calendar:
    """Return the calendar of jobs that are created now, each with a name of its own.

    The devices are those that are there all the time, by class, and those that come and go. Raise Invalid if a job
    can't be planned.
    """
    free = free_over_time(counts, capacity, now_us=now_us)
    counts = {name: max(step.free for step in steps) for name, steps in free.items()}
    placed: list[CalendarJob] = []
    uses: dict[str, tuple[StoreUse, ...]] = {}
    for job, profiles in profiled_jobs:
        with naming(job):
            whole = shared_problem(job, profiles, dict(counts), now_us=now_us)
            uses[job.metadata.name] = store_uses(whole)
            problem = whole.within_feed()
            _ = problem.rule  # which refuses a confidence that is too high for the profiles
        placed.append(CalendarJob(name=job.metadata.name, deadline_class=job.spec.deadline_class, problem=problem))
    units = shared_units(uses.values())
    jobs = [
        replace(job, limits={use.limit: use.costs for use in uses[job.name] if use.limit in units}) for job in placed
    ]
    pool = idle_pool(counts, limits=units, change_us=CHANGE_US)
    tables = {kind: {**table, **free} for kind, table in pool.free.items()}
    proved = {name: proven(steps) for name, steps in free.items()}
    calendar = make_calendar(jobs, replace(pool, whole=proved, free=tables, expected=tables))
    verify_calendar(calendar)
    return calendar


def machine_of(profiled_jobs: Known) -> dict[str, int]:
    """Return this machine's devices, if all jobs take the same of them."""
    pools = {
        job.metadata.name: machine_pool(profiles, job.spec.model, classes=job.spec.gpus.classes)
        for job, profiles in profiled_jobs
    }
    first = profiled_jobs[0][0].metadata.name
    for name, pool in pools.items():
        if pool != pools[first]:
            one, other = (
                ", ".join(f"{device}={count}" for device, count in counts.items()) for counts in (pools[first], pool)
            )
            raise Invalid(
                "--pool",
                f"is missing: {first} is fastest on {one} of this machine and {name} on {other}, which are the same "
                "cores. Give the devices to plan with.",
            )
    return pools[first]


def calendar_answer(calendar: Calendar) -> CalendarAnswer:
    """Return the calendar as a document. Its times count from now."""
    cut = calendar.cut
    warnings = [warning for found in calendar.placements for warning in found.job.problem.pool.warnings]
    return CalendarAnswer(
        feasible=calendar.is_feasible,
        proof="Calendar" if calendar.is_feasible else "Cut" if cut else "NoScheduleFound",
        jobs=tuple(_planned_job(found) for found in calendar.placements),
        pool=tuple(
            PlannedPool(device_class=name, devices=max(step.free for step in steps), peak=_peak(calendar, name))
            for name, steps in calendar.pool.whole.items()
        ),
        cut=PlannedCut(
            jobs=tuple(job.name for job in cut.jobs),
            until=seconds(cut.until_us),
            needed_gpu_seconds=seconds(cut.needed_us),
            available_gpu_seconds=seconds(cut.available_us),
            sentence=cut_sentence(calendar, cut, str, str),
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


def shown_plan(calendar: Calendar, answer: CalendarAnswer, *, now_us: int) -> ShownCalendar:
    """Return the calendar as it is shown."""
    return ShownCalendar(
        now_us=now_us,
        jobs=tuple(
            _shown_job(calendar, placement, planned)
            for placement, planned in zip(calendar.placements, answer.jobs, strict=True)
        ),
        pool=tuple(
            ShownPool(device_class=pool.device_class, devices=pool.devices, peak=pool.peak) for pool in answer.pool
        ),
        device=device_word(calendar.placements[0].job.problem.pool),
        notes=(ASSUMED,) if any(placement.job.problem.pool.is_assumed for placement in calendar.placements) else (),
        warnings=answer.warnings,
    )


def _shown_job(calendar: Calendar, placement: Placement, planned: PlannedJob) -> ShownJob:
    deadline_s = placement.job.problem.time_us / MICROS_PER_SECOND
    is_refused = placement.action in ("Refuse", "Hold")
    sentence = ""
    if is_refused:
        sentence = f"{planned.name}: {refusal_sentence(calendar, placement)}"
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


def _hold(window: PlannedWindow) -> ShownHold:
    return ShownHold(
        device_class=window.device_class,
        from_s=window.from_seconds,
        to_s=window.to_seconds,
        count=window.count,
        work=work_words(images=window.images, mini_batch_size=window.mini_batch_size, engine=window.engine),
    )

"""Several jobs as one calendar: all of them on one pool, each as its deadline class promises."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dueby.inputs.manifests import naming
from dueby.plan_words import ASSUMED
from dueby.planning import plan_problem
from dueby_api.calendar import CalendarAnswer, PlannedJob, PlannedWindow
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob
from dueby_api.units import MICROS_PER_SECOND
from dueby_pages.calendar import ShownCalendar, ShownHold, ShownJob, ShownPool, work_words
from dueby_planner.answer import device_word
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.machine_pool import machine_pool
from dueby_planner.schedule.calendar import Calendar, Placement, make_calendar
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.explain import refusal_sentence
from dueby_planner.schedule.free_devices import CHANGE_US, idle_pool
from dueby_planner.schedule.stores import StoreUse, shared_units, store_uses
from dueby_planner.schedule.verify import verify_calendar

Known = Sequence[tuple[InferenceJob, list[GPUProfile]]]
"""Each job with the profiles that are known of its model, measured and predicted."""


def calendar_of(profiled_jobs: Known, counts: Mapping[str, int], *, now_us: int) -> Calendar:
    """Return the calendar of jobs that are created now, each with a name of its own.

    Raise Invalid if one of them can't be planned.
    """
    placed: list[CalendarJob] = []
    uses: dict[str, tuple[StoreUse, ...]] = {}
    for job, profiles in profiled_jobs:
        with naming(job):
            whole = plan_problem(job, profiles, dict(counts), now_us=now_us)
            uses[job.metadata.name] = store_uses(whole)
            problem = whole.within_feed()
            _ = problem.rule  # which refuses a confidence that is too high for the profiles
        placed.append(CalendarJob(name=job.metadata.name, deadline_class=job.spec.deadline_class, problem=problem))
    units = shared_units(uses.values())
    jobs = [
        replace(job, limits={use.limit: use.costs for use in uses[job.name] if use.limit in units}) for job in placed
    ]
    calendar = make_calendar(jobs, idle_pool(counts, limits=units, change_us=CHANGE_US))
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

"""Jobs and profiles as the planner's problem, for `dueby plan`, `dueby run` and `import dueby`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dueby.inputs.files import profile_home, read_profiles
from dueby.inputs.stores import stores_here
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob, JobSpec, Model
from dueby_api.objectives import OBJECTIVES
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.cost import Tariff, cost_limit_of
from dueby_planner.model.feed import feed_of
from dueby_planner.model.problem import Problem
from dueby_planner.other_precisions import cheaper_precisions
from dueby_planner.profiles.machine_pool import machine_pool
from dueby_planner.profiles.pool import build_pool
from dueby_planner.profiles.size_prediction import predictions


def problem_now(
    job: InferenceJob, *, paths: Sequence[str], counts: dict[str, int], tariff: Tariff | None = None
) -> Problem:
    """Return the problem of a job that is created now; without paths or counts, on this machine's profiled devices."""
    profiles, counts = devices_of(job, paths=paths, counts=counts)
    return whole_problem(job, profiles, counts, now_us=time.time_ns() // 1000, tariff=tariff)


def profiled(jobs: Sequence[InferenceJob], *, paths: Sequence[str]) -> list[tuple[InferenceJob, list[GPUProfile]]]:
    """Return each job with the profiles that are known of its model, measured and predicted."""
    profiles = read_profiles(paths or default_profiles(jobs[0].spec.model))
    return [(job, [*profiles, *predictions(profiles, job.spec.model)]) for job in jobs]


def devices_of(
    job: InferenceJob, *, paths: Sequence[str], counts: dict[str, int]
) -> tuple[list[GPUProfile], dict[str, int]]:
    """Return the profiles, measured and predicted, and the devices by class; by default this machine's."""
    profiles = read_profiles(paths or default_profiles(job.spec.model))
    profiles += predictions(profiles, job.spec.model)
    return profiles, counts or machine_pool(profiles, job.spec.model, classes=job.spec.gpus.classes)


def whole_problem(
    job: InferenceJob,
    profiles: list[GPUProfile],
    counts: dict[str, int],
    *,
    now_us: int,
    tariff: Tariff | None = None,
) -> Problem:
    """Return the job's problem if it were created now.

    Its warnings say at which other precisions fewer devices would be enough, and which prices aren't known.
    """
    problem = replace(
        plan_problem(job, profiles, counts, now_us=now_us), tariff=tariff, cost_limit=cost_limit_of(job.spec)
    )
    cheaper = tuple(cheaper_precisions(job.spec, profiles, problem, pool_of=build_pool))
    # Of a deadline that can't be met, what is told is the problem's.
    unpriced = () if tariff is None else unpriced_words(tariff, [group.device_class for group in problem.pool.groups])
    warnings = (*problem.pool.warnings, *cheaper, *unpriced)
    return replace(problem, pool=replace(problem.pool, warnings=warnings))


def plan_problem(job: InferenceJob, profiles: list[GPUProfile], counts: dict[str, int], *, now_us: int) -> Problem:
    """Return the job as the planner's problem if it were created now. Raise Invalid without N or time."""
    if job.spec.images is None:
        raise Invalid("spec.images", "is missing; a plan needs N")
    time_us = job.spec.deadline_us(accepted_us=now_us) - now_us
    if time_us <= 0:
        raise Invalid(
            "spec.deadlineTime", f"is in the past, by {-time_us / MICROS_PER_SECOND:,.0f} s; give a time in the future"
        )
    return problem_of(job.spec, profiles, counts, images=job.spec.images, time_us=time_us)


def shared_problem(job: InferenceJob, profiles: list[GPUProfile], counts: dict[str, int], *, now_us: int) -> Problem:
    """Return the problem of a job that is planned beside others. Raise Invalid, too, if that would need prices."""
    by_prices = {"spec.maxCost": job.spec.max_cost, "spec.objective": OBJECTIVES[job.spec.objective].needs_prices}
    for name in (name for name, needs_prices in by_prices.items() if needs_prices):
        raise Invalid(name, "needs prices, which are of one job at a time here; plan this one alone, or leave it out")
    return plan_problem(job, profiles, counts, now_us=now_us)


def require_plannable(spec: JobSpec, profiles: Sequence[GPUProfile], counts: Mapping[str, int]) -> None:
    """Raise Invalid if no plan can be made, however many images there are and whenever the deadline is."""
    _ = problem_of(spec, profiles, counts, images=1, time_us=1).rule


def problem_of(
    spec: JobSpec, profiles: Sequence[GPUProfile], counts: Mapping[str, int], *, images: int, time_us: int
) -> Problem:
    return Problem(
        pool=build_pool(spec, profiles, counts),
        images=images,
        time_us=time_us,
        confidence=spec.planned_confidence,
        max_gpus=spec.gpus.max,
        objective=spec.objective,
        reserve=spec.gpus.reserve,
        max_iterations=spec.gpus.max_iterations,
        max_part=spec.output.max_part,
        feed=feed_of(spec, stores=stores_here()),
    )


def unpriced_words(tariff: Tariff, classes: Sequence[str]) -> tuple[str, ...]:
    """Return that the prices of some of the classes aren't known, and what the files say of it; empty if all are."""
    unpriced = tariff.unpriced_clause(classes)
    return (f"{unpriced}; give it in a YAML file with --prices", *tariff.notes) if unpriced else ()


def default_profiles(model: Model) -> list[str]:
    """Return the folder of this machine's profiles; raise Invalid if it has none, with how to measure the model."""
    home = profile_home()
    if not home.is_dir() or not any(home.iterdir()):
        raise Invalid(
            "--profiles", f"is missing, and {home} has no profiles; measure this machine: {model.profile_command}"
        )
    return [str(home)]

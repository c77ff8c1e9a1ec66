"""On which devices a job's first plan will surely have workers, as far as that is known before its source is indexed.

Where N isn't known, one device is: the fastest, for the engine that is the fastest on it. The index step has a core to
itself, since workers that take it from the step only delay the plan that they wait for.
"""

import os.path

from dueby.local.slots import Slot
from dueby.local.this_machine import LocalPool, cache_folder, usable_cores
from dueby.planning import problem_of
from dueby_api.classifiers import source_of
from dueby_api.engines import EngineName
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob
from dueby_operator.model.step_configs import images_without_index
from dueby_planner.deadline_classes import judge
from dueby_planner.model.problem import Problem


def first_devices(
    job: InferenceJob, pool: LocalPool, *, images: int | None, time_us: int
) -> list[tuple[Slot, EngineName]]:
    """Return the slots, and the engine on each, for workers that load the model while the source is indexed.

    `images` are those that are to be done, as far as anybody knows; None if nobody does.
    """
    has_nothing_to_wait_for = images == 0 or images_without_index(job.spec) is not None
    if has_nothing_to_wait_for or time_us <= 0 or _may_download(job):
        return []
    try:
        problem = problem_of(job.spec, pool.profiles, pool.counts, images=images or 1, time_us=time_us)
        planned = _planned(problem, job) if images else _fastest(problem)
    except Invalid:  # which is reported where the job is planned
        return []
    devices = []
    for device_class, engine, count in planned:
        slots = [slot for slot in pool.slots if slot.device_class == device_class]
        devices += [(slot, engine) for slot in slots[:count]]
    return devices[: max(1, usable_cores() - 1)]


def _planned(problem: Problem, job: InferenceJob) -> list[tuple[str, EngineName, int]]:
    plan = judge(problem, job.spec.deadline_class).plan
    return [(group.device_class, group.choice.engine, group.count) for group in plan.groups] if plan else []


def _fastest(problem: Problem) -> list[tuple[str, EngineName, int]]:
    return [(best.group.device_class, best.choice.engine, 1) for best in problem.capacities()[:1]]


def _may_download(job: InferenceJob) -> bool:
    """Return whether the index step may have to fetch the weights: then workers would fetch them once more.

    It has fetched those of a model that is known here, and other libraries see to it that a file is fetched once.
    """
    model = job.spec.model
    if (
        source_of(model.name) is not None
        or model.weights == "none"
        or os.path.isfile(os.path.expanduser(model.weights))
    ):
        return False
    # It loads numpy, which this process needs for nothing else.
    from dueby_worker.models.known_model import is_known

    return not is_known(model, job.spec.output, cache_folder())

"""At which other precisions fewer devices would do a job, and how far their answers are from fp32's.

On GPUs fp16 takes about a third of fp32's time, and whoever left the precision as it is may not know. It is advice: a
job's precision is part of its results, and is never changed for it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import get_args

from dueby_api.engines import Precision
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import JobSpec
from dueby_api.words import counted
from dueby_planner.answer import device_word
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.class_profiles import plannable
from dueby_planner.profiles.pool import Pool

PoolOf = Callable[[JobSpec, Sequence[GPUProfile], Mapping[str, Sequence[tuple[int, int]]]], Pool]


def cheaper_precisions(
    spec: JobSpec, profiles: Sequence[GPUProfile], problem: Problem, *, pool_of: PoolOf
) -> Iterator[str]:
    """Yield at which precisions fewer devices of the problem would meet the deadline, of classes measured at both.

    `pool_of` makes the pool of a spec on some profiles and on (count, free in us) of each class.
    """
    fewest = problem.fewest()
    counts: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for group in problem.pool.groups:
        counts[group.device_class].append((group.count, group.available_us))
    for precision in get_args(Precision):
        if precision == spec.model.precision:
            continue
        other = spec.replace(model=spec.model.replace(precision=precision))
        usable = [profile for profile in plannable(profiles, other) if profile.spec.device_class in counts]
        measured = [profile for profile in usable if not profile.spec.assumed]
        shared = {profile.spec.device_class: counts[profile.spec.device_class] for profile in measured}
        # Without devices there is no pool, nor with steps that differ so much that no plan keeps enough spare.
        with suppress(Invalid):
            question = replace(problem, pool=pool_of(other, measured, shared))
            enough = question.fewest()
            if enough is not None and (fewest is None or enough < fewest):
                instead = "" if fewest is None else f" instead of {fewest:,}"
                said = f"at {precision}, {counted(enough, device_word(question.pool))} would be enough{instead}"
                yield f"{said}; {_cost_in_answers(measured)}" if precision != "fp32" else said


def _cost_in_answers(profiles: Iterable[GPUProfile]) -> str:
    """Return how far the profiles' precision is from fp32, by the one of them that is the furthest."""
    measured = [profile.spec.agreement for profile in profiles if profile.spec.agreement]
    if not measured:
        return "how far its results are from fp32's was not measured (`dueby profile --photos`)"
    return min(measured, key=lambda agreement: agreement.closeness).sentence_with_weights

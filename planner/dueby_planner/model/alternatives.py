"""What an infeasible job could ask for instead, exactly: each answer is the edge of what is accepted."""

from dataclasses import dataclass, replace

from dueby_api.errors import Invalid
from dueby_api.inference_job import MAX_CONFIDENCE, MIN_CONFIDENCE
from dueby_planner.model.problem import Problem, least

# Confidence is searched in steps of a millionth.
_STEPS = 1_000_000
_MAX_EXTRA = 10**12


@dataclass(frozen=True, kw_only=True)
class Alternatives:
    """Each alone would make the job feasible."""

    earliest_us: int | None
    """The least time with this pool; None: never."""
    largest_images: int
    """The largest N with this pool and deadline."""
    extra_gpus: dict[str, int | None]
    """Of each class, how many more of it alone would do, NGPU lifted by as many; None: no number does."""
    possible_confidence: float | None
    """The largest confidence at which it fits; 0.5 where only the study's exact mode does; None: none."""


def find_alternatives(problem: Problem) -> Alternatives:
    """The alternatives of a job that can't be done as asked."""
    classes = sorted({group.device_class for group in problem.pool.groups})
    return Alternatives(
        earliest_us=problem.earliest_us(),
        largest_images=problem.largest_images(),
        extra_gpus={name: _extra(problem, name) for name in classes},
        possible_confidence=_possible_confidence(problem),
    )


def _extra(problem: Problem, device_class: str) -> int | None:
    def suffices(more: int) -> bool:
        return problem.with_more(device_class, more).fewest() is not None

    high = 1
    while not suffices(high):
        high *= 2
        if high > _MAX_EXTRA:
            return None
    return least(suffices, 1, high)


def _possible_confidence(problem: Problem) -> float | None:
    def fails(steps: int) -> bool:
        try:
            return replace(problem, confidence=steps / _STEPS).fewest() is None
        except Invalid:  # beyond this confidence the margin outgrows any pool
            return True

    low, high = int(MIN_CONFIDENCE * _STEPS), int(MAX_CONFIDENCE * _STEPS)
    if fails(low):
        return None
    return (least(fails, low + 1, high) - 1 if fails(high) else high) / _STEPS

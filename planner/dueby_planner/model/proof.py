"""What a plan's proof rests on: the closed form always, the solver where its answer stands up to exact arithmetic.

An answer that doesn't is left out, with a warning, and never repaired: CBC is one image short above 10^6 images a
device, and may be stopped by its time limit.
"""

from collections.abc import Sequence

from dueby_planner.model.rule import Run, first_devices
from dueby_planner.model.solver import Answer

CLOSED_FORM = "ClosedForm"
BOTH = "ClosedForm+CBC"


def judge_fewest(
    answer: Answer | None, classes: Sequence[Run], *, needed: int, gpus: int
) -> tuple[str, tuple[str, ...]]:
    """The proof that `gpus` is the least number, and warnings; `needed` is N raised by the margin at k."""
    if answer is None or not answer.is_proven:
        return CLOSED_FORM, ("the solver gave no proven answer; the proof is the closed form's alone",)
    if not _exists(answer, classes) or _images(answer, classes) < needed or sum(answer.counts) != gpus:
        return CLOSED_FORM, ("the solver's answer fails the exact check; the proof is the closed form's alone",)
    return BOTH, ()


def judge_most(answer: Answer | None, classes: Sequence[Run], *, most: int) -> str:
    """The proof of what `most` devices can do at most: what the largest capacities add up to."""
    if answer is None or not answer.is_proven or not _exists(answer, classes) or sum(answer.counts) > most:
        return CLOSED_FORM
    largest = sum(images * count for images, count in first_devices(classes, most))
    return BOTH if _images(answer, classes) == largest else CLOSED_FORM


def _exists(answer: Answer, classes: Sequence[Run]) -> bool:
    """Whether there are as many devices of each class."""
    return all(0 <= count <= there for (_, there), count in zip(classes, answer.counts, strict=True))


def _images(answer: Answer, classes: Sequence[Run]) -> int:
    return sum(images * count for (images, _), count in zip(classes, answer.counts, strict=True))

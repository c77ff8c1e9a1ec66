"""What a plan's proof rests on: always the closed form, and also the solver if its answer passes an exact check.

A solver's answer that fails the check is left out, with a warning, and never repaired. CBC is one image short above
10^6 images a device, and its time limit may stop it.
"""

from collections.abc import Sequence

from dueby_planner.model.rule import EqualDevices, first_devices
from dueby_planner.model.solver import SolverAnswer

CLOSED_FORM = "ClosedForm"
BOTH = "ClosedForm+CBC"
BOUNDED = "BranchAndBound"
"""Of a cost: nothing is below its bound."""
BOTH_BOUNDED = "BranchAndBound+CBC"
"""The solver finds no cheaper devices with the same end, too."""


def judge_fewest(
    answer: SolverAnswer | None, classes: Sequence[EqualDevices], *, needed: int, gpus: int
) -> tuple[str, tuple[str, ...]]:
    """Return the proof that `gpus` is the least number, and warnings. `needed` is N raised by the margin at k."""
    if answer is None or not answer.is_proven:
        return CLOSED_FORM, ("the solver gave no proven answer, so the proof is the closed form's alone",)
    if not _exists(answer, classes) or _images(answer, classes) < needed or sum(answer.counts) != gpus:
        return CLOSED_FORM, ("the solver's answer failed the exact check, so the proof is the closed form's alone",)
    return BOTH, ()


def judge_most(answer: SolverAnswer | None, classes: Sequence[EqualDevices], *, most: int) -> str:
    """Return the proof that `most` devices do no more images than the largest capacities add up to."""
    if answer is None or not answer.is_proven or not _exists(answer, classes) or sum(answer.counts) > most:
        return CLOSED_FORM
    largest = sum(images * count for images, count in first_devices(classes, most))
    return BOTH if _images(answer, classes) == largest else CLOSED_FORM


def _exists(answer: SolverAnswer, classes: Sequence[EqualDevices]) -> bool:
    """Return whether there are as many devices of each class as the answer uses."""
    return all(0 <= count <= there for (_, there), count in zip(classes, answer.counts, strict=True))


def _images(answer: SolverAnswer, classes: Sequence[EqualDevices]) -> int:
    return sum(images * count for (images, _), count in zip(classes, answer.counts, strict=True))

"""What calibration.py asks of the planner, and how often it was right.

A promise is when the planner says that some devices are done at a confidence; it is asked at all of CONFIDENCES. Over
many runs the share that was done by then is to be that confidence. Runs that share a profile aren't independent, so the
interval of a share is over groups of them, drawn again and again.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dueby_planner.model.problem import Problem

CONFIDENCES = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99)
SECOND = 1_000_000
SEED = 6


def finish_us(problem: Problem, confidence: float) -> int:
    """By when all devices of the problem's pool are done, at this confidence."""
    found = replace(problem, confidence=confidence).earliest_us(problem.most)
    if found is None:
        raise SystemExit(f"{problem.images} images are never done at {confidence}")
    return found


def promises_s(problem: Problem) -> list[float]:
    """By when they are done at each of the confidences."""
    return [finish_us(problem, q) / SECOND for q in CONFIDENCES]


def chunks(rows: Sequence[dict[str, Any]], size: int) -> list[Sequence[dict[str, Any]]]:
    """So many rows at a time, which were planned on the same profile."""
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def reliability(groups: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, float]]:
    """At each confidence the share of runs that were done by then, with the 95 % interval over resampled groups."""
    chance = random.Random(SEED)
    counts = [
        [sum(row["actual"] <= row["finishes"][i] for row in group) for group in groups] for i in range(len(CONFIDENCES))
    ]
    sizes = [len(group) for group in groups]
    answers = []
    for confidence, hits in zip(CONFIDENCES, counts, strict=True):
        shares = sorted(_resampled(hits, sizes, chance) for _ in range(1000))
        answers.append(
            {
                "stated": confidence,
                "observed": sum(hits) / sum(sizes),
                "low": shares[25],
                "high": shares[974],
            }
        )
    return answers


def _resampled(hits: Sequence[int], sizes: Sequence[int], chance: random.Random) -> float:
    drawn = chance.choices(range(len(hits)), k=len(hits))
    return sum(hits[i] for i in drawn) / sum(sizes[i] for i in drawn)

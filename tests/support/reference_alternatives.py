"""The alternatives of an infeasible job once more, slow and plain, on top of reference_planner.py."""

from dataclasses import replace

from support.reference_planner import Question, best_gpus, fewest


def largest_images(question: Question) -> int:
    """Return the largest N of the pool, counted down from what it could do without any margin."""
    everything = sum(gpu.images for gpu in best_gpus(question, question.time))
    return next((n for n in range(everything, 0, -1) if fewest(replace(question, images=n)) is not None), 0)


def extra_gpus(question: Question, name: str, *, limit: int) -> int | None:
    """Return how many more GPUs of the class alone are enough, up to a limit; None beyond it."""
    for more in range(1, limit + 1):
        kinds = tuple(replace(k, count=k.count + more) if k.name == name else k for k in question.kinds)
        most = None if question.most is None else question.most + more
        if fewest(replace(question, kinds=kinds, most=most)) is not None:
            return more
    return None


def possible_confidence(question: Question) -> float | None:
    """Return the largest confidence at which the job fits, to a billionth; 0.5 if only the exact mode does."""

    def fits(confidence: float) -> bool:
        return fewest(replace(question, confidence=confidence)) is not None

    low, high = 0.5, 0.999
    if not fits(low) or fits(high):
        return high if fits(high) else None
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low if low > 0.5 else 0.5

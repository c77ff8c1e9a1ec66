"""The changes to an infeasible job that would make it feasible. Each answer is exactly the edge of what is accepted."""

from dataclasses import dataclass, replace

from dueby_api.errors import Invalid
from dueby_api.inference_job import MAX_CONFIDENCE, MAX_N, MIN_CONFIDENCE
from dueby_planner.model.cores import present_cores, transcoding_us
from dueby_planner.model.feed import rate_of_group
from dueby_planner.model.problem import Problem, find_least, find_least_near

# Confidence is searched in steps of a millionth, so that the search is over integers.
_STEPS = 1_000_000
# A store's rate is sought to within this part of it: it is advice, and nobody sets it to the last image.
_NEARLY = 1000
# A class of which so many more devices are not enough is taken never to be enough.
_MAX_EXTRA = 2**39


@dataclass(frozen=True, kw_only=True)
class Alternatives:
    """What could be asked for instead. Each change alone makes the job feasible."""

    earliest_us: int | None
    """The least time with this pool; None if no time is long enough."""
    largest_images: int
    """The largest N with this pool and deadline."""
    extra_gpus: dict[str, int | None]
    """Of each class, how many more devices of it are enough, with NGPU raised by as many; None if no number is."""
    possible_confidence: float | None
    """The largest confidence at which the job fits. 0.5 means the study's exact mode only; None that nothing fits."""
    worker_cores: int | None = None
    """How many cores each GPU's worker would need, where GPUs wait for decoding; None: more cores are not enough."""
    transcoding_us: int | None = None
    """What it takes one core at least to transcode the images into squares, where GPUs wait for decoding; None: that
    is not enough."""
    store_rate: int | None = None
    """What the store would have to give, in millionths of an image a second; None: no faster store is enough."""


def find_alternatives(problem: Problem) -> Alternatives:
    """Return the alternatives of a job that can't be done as asked."""
    classes = sorted({group.device_class for group in problem.pool.groups})
    return Alternatives(
        earliest_us=problem.earliest_us(),
        # No job may ask for more.
        largest_images=min(problem.largest_images(), MAX_N),
        extra_gpus={name: _extra(problem, name) for name in classes},
        possible_confidence=_possible_confidence(problem),
        worker_cores=_sufficient_cores(problem),
        transcoding_us=fewer.transcoding_us if (fewer := fewer_in_squares(problem)) else None,
        store_rate=_sufficient_rate(problem),
    )


@dataclass(frozen=True, kw_only=True)
class FewerWithCores:
    """Fewer devices that would do if each worker had more cores to decode with."""

    cores: int
    """The fewest that let so few devices do it."""
    present: int
    """The fewest that a worker has now."""
    gpus: int


def fewer_with_cores(problem: Problem, gpus: int) -> FewerWithCores | None:
    """Return how few of a plan's devices would do if none waited for decoding; None if that saves none of them."""
    most = problem.enough_cores
    if not most:
        return None
    fewest = problem.with_cores(most).fewest()
    if fewest is None or fewest >= gpus:
        return None

    def suffices(cores: int) -> bool:
        return problem.with_cores(cores).fewest() == fewest

    return FewerWithCores(cores=find_least(suffices, 1, most), present=present_cores(problem.pool.groups), gpus=fewest)


@dataclass(frozen=True, kw_only=True)
class FewerInSquares:
    """Fewer devices that would do if the images were transcoded once into tars of squares of the wanted size."""

    gpus: int
    transcoding_us: int
    """What that takes one core at least."""


def fewer_in_squares(problem: Problem, gpus: int = MAX_N) -> FewerInSquares | None:
    """Return how few devices would do for squares; None if these are not fewer, or if none waits for decoding."""
    if not problem.enough_cores:
        return None
    fewest = problem.in_squares().fewest()
    if fewest is None or fewest >= gpus:
        return None
    return FewerInSquares(gpus=fewest, transcoding_us=transcoding_us(problem.pool.groups, problem.images))


def _sufficient_cores(problem: Problem) -> int | None:
    most = problem.enough_cores
    if not most:
        return None
    return find_least_near(lambda cores: problem.with_cores(cores).fewest() is not None, 1, near=1, most=most)


def _extra(problem: Problem, device_class: str) -> int | None:
    def suffices(more: int) -> bool:
        return problem.with_more(device_class, more).fewest() is not None

    return find_least_near(suffices, 1, near=1, most=_MAX_EXTRA)


def _sufficient_rate(problem: Problem) -> int | None:
    feed = problem.feed
    if feed is None or replace(problem, feed=None).fewest() is None:
        return None
    everything = sum(group.count * rate_of_group(group) for group in problem.pool.groups)

    def suffices(rate: int) -> bool:
        return replace(problem, feed=feed.at(rate)).fewest() is not None

    most = max(everything, feed.rate)
    least = find_least_near(suffices, feed.rate, near=min(most, 2 * feed.rate), most=most, nearly=_NEARLY)
    # What is found may be a little too little: the rate is enough that is greater by that share.
    return None if least is None else feed.at(least + -(-least // _NEARLY)).rate


def _possible_confidence(problem: Problem) -> float | None:
    def fails(steps: int) -> bool:
        try:
            return replace(problem, confidence=steps / _STEPS).fewest() is None
        except Invalid:  # at such a confidence the margin of a device outgrows what it does
            return True

    low, high = int(MIN_CONFIDENCE * _STEPS), int(MAX_CONFIDENCE * _STEPS)
    if fails(low):
        return None
    return (find_least(fails, low + 1, high) - 1 if fails(high) else high) / _STEPS

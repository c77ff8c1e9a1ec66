"""How many cores a GPU's worker gets, and how many would be enough where GPUs wait for decoding.

While a GPU computes a mini-batch, the worker's c cores decode the next one, which takes b (decode + get) / s(c). Where
that is longer than what the GPU takes, more GPUs are one answer and more cores the other. Only a plan knows which is
the smaller change, so it says so (alternatives.py).

More cores never make a step longer. So what so many of them are enough for, more are enough for, too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dueby_planner.model.capacity import DeviceChoice, PoolGroup
from dueby_planner.model.input_cost import GPUStep


def enough_cores(groups: Iterable[PoolGroup]) -> int:
    """Return how many cores each worker must have so that no GPU waits for decoding; 0 if none does now.

    Where decoding slows the GPU itself, more would still shorten its steps a little; nobody is advised to that.
    """
    return max((step.cores_to_keep_up(choice.cores) for choice, step in _waiting(groups)), default=0)


def present_cores(groups: Iterable[PoolGroup]) -> int:
    """Return the fewest cores that a worker has whose GPU would wait for decoding; one does."""
    return min(choice.cores for choice, _ in _waiting(groups))


def with_cores(groups: Sequence[PoolGroup], cores: int) -> tuple[PoolGroup, ...]:
    """Return the groups as if each GPU's worker could have so many cores, if it may have fewer now."""
    return tuple(
        replace(group, choices=tuple(_with_cores(choice, cores) for choice in group.choices)) for group in groups
    )


def in_squares(groups: Sequence[PoolGroup]) -> tuple[PoolGroup, ...]:
    """Return the groups as if the images had been transcoded into squares of the wanted size, where that is known."""
    return tuple(replace(group, choices=tuple(map(_in_squares, group.choices))) for group in groups)


def transcoding_us(groups: Iterable[PoolGroup], images: int) -> int:
    """Return the least that it takes one core to read and decode so many images, where GPUs would wait for that."""
    return round(images * min(step.core_us / choice.mini_batch_size for choice, step in _waiting(groups)))


def _waiting(groups: Iterable[PoolGroup]) -> list[tuple[DeviceChoice, GPUStep]]:
    """Return the choices, with their steps, whose GPUs would wait for decoding."""
    choices = [choice for group in groups if group.count for choice in group.choices]
    return [(each, each.beside) for each in choices if each.beside and each.beside.waits(each.cores)]


def _with_cores(choice: DeviceChoice, cores: int) -> DeviceChoice:
    cores = max(choice.cores, cores)
    if choice.beside is None or cores == choice.cores:
        return choice
    return _changed(replace(choice, cores=cores), choice.beside.latency_us(cores))


def _in_squares(choice: DeviceChoice) -> DeviceChoice:
    step = choice.beside
    if step is None or step.square_us is None or step.square_us >= step.core_us:
        return choice
    step = replace(step, core_us=step.square_us)
    return _changed(replace(choice, beside=step), step.latency_us(choice.cores))


def _changed(choice: DeviceChoice, latency_us: int) -> DeviceChoice:
    """Return the choice with another L."""
    # W has grown by as much as L.
    less_us = choice.latency_us - latency_us
    return replace(
        choice,
        latency_us=latency_us,
        start_us=choice.start_us - less_us,
        expected_start_us=choice.expected_start_us - less_us,
        expected_warmup_us=choice.expected_warmup_us - less_us,
    )

"""What reading and decoding the input adds to a step. It belongs to the job; a profile measures the model alone.

A CPU slice of k cores is shared by the model and the decoding, so their times add up:

    L_job(b) = contention * (L(b) + b (decode + get) / k)

On a GPU they overlap, and the slowest of model, cores, interpreter and network decides. Its worker may have `cores` of
its node:

    L_job(b) = max(L'(b), b (decode + get) / s(cores), b * serial, b * bytes / bandwidth)
    L'(b) = L(b) + (contention - 1) * min(L(b), b (decode + get) / s(cores))

s is their speed-up (speedup.py). It gets as many of them as keep the GPU waiting no longer, so that whoever shares the
node has the rest (cores.py). `serial` is what the worker does around the decoding of an image: under the interpreter's
lock, so for one image at a time. On a CPU slice it is part of the contention, which is measured with it. Images without
bytes are made up, and need none of it.

What launches the GPU's work waits for the decoders' threads. Contention was measured while all of them decoded, so L'
is longer for the part of the step in which they do.

The warm-up W(b) grows by the same amount as the step.
"""

from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import NamedTuple

from dueby_api.engines import runs_on_cpu
from dueby_api.gpu_profile import ProfileSpec
from dueby_api.input_cost import InputCost
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.speedup import speedup_of

SERIAL_US = 100.0
"""What is assumed to be serial of an image where no profile says it."""


class StepWithInput(NamedTuple):
    """A step of a job, in microseconds, each rounded up."""

    latency_us: int
    """L_job(b)."""
    computed_us: int
    """What it would be if a GPU's worker had any number of cores; on a CPU slice L(b)."""
    core_us: int
    """What reading and decoding a mini-batch takes one core beside a GPU; 0 on a CPU slice."""
    serial_us: int
    """What a GPU's worker does for one image at a time, where that takes longer than GPU and network; else 0."""


class _WorkBesideGPU(NamedTuple):
    """What a mini-batch takes while the GPU computes another one, in microseconds, rounded up."""

    core_us: int
    """Of one core, to read and decode it."""
    wire_us: int
    """Of the network, to bring it."""
    serial_us: int
    """Of the worker, for what it does for one image at a time."""


def step_with_input(
    spec: ProfileSpec, latency_us: int, mini_batch_size: int, cost: InputCost, *, cores: int
) -> StepWithInput:
    """Return the step of a job whose model takes `latency_us` alone. `cores` are what a GPU's worker may have."""
    if runs_on_cpu(spec.engine):
        added_us = _core_us(mini_batch_size, cost) / (spec.device.threads or 1)
        total_us = ceil(_contention(spec) * (latency_us + added_us))
        return StepWithInput(latency_us=total_us, computed_us=latency_us, core_us=0, serial_us=0)
    work = _work_beside_gpu(mini_batch_size, cost, spec.serial_micros)
    decoding_us = work.core_us / speedup_of(spec.decoding).at(cores)
    slowed_us = ceil(latency_us + (_contention(spec) - 1) * min(Fraction(latency_us), decoding_us))
    waited_us = max(slowed_us, work.wire_us)
    computed_us = max(waited_us, work.serial_us)
    return StepWithInput(
        latency_us=max(computed_us, ceil(decoding_us)),
        computed_us=computed_us,
        core_us=work.core_us,
        serial_us=work.serial_us if work.serial_us > waited_us else 0,
    )


def stretched_us(spec: ProfileSpec, duration_us: int) -> int:
    """Return what becomes of a duration of the model while all cores decode, in microseconds, rounded up."""
    return ceil(_contention(spec) * duration_us)


def _contention(spec: ProfileSpec) -> Fraction:
    # Through its text, 1.1 is eleven tenths and not the binary number that is nearest to it.
    return Fraction(str(spec.contention))


# A job is planned again in each pass, at the same sizes and with the same cost.
@lru_cache(maxsize=2**14)
def _work_beside_gpu(mini_batch_size: int, cost: InputCost, serial_us: float | None) -> _WorkBesideGPU:
    """Return what the images of a mini-batch take besides the GPU. `serial_us` is the profile's; None: assumed."""
    wire_us = Fraction(0)
    if cost.bandwidth_bytes_per_s:
        wire_us = (
            mini_batch_size * Fraction(cost.bytes_per_image) * MICROS_PER_SECOND / Fraction(cost.bandwidth_bytes_per_s)
        )
    each_us = Fraction(str(SERIAL_US if serial_us is None else serial_us)) if cost.bytes_per_image else 0
    return _WorkBesideGPU(
        core_us=ceil(_core_us(mini_batch_size, cost)),
        wire_us=ceil(wire_us),
        serial_us=ceil(mini_batch_size * each_us),
    )


def _core_us(mini_batch_size: int, cost: InputCost) -> Fraction:
    return mini_batch_size * (Fraction(cost.decode_us) + Fraction(cost.get_us))

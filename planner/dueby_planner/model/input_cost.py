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


class WorkBesideGPU(NamedTuple):
    """What a mini-batch takes while the GPU computes another one, in microseconds, rounded up."""

    core_us: int
    """Of one core, to read and decode it."""
    wire_us: int
    """Of the network, to bring it."""
    serial_us: int
    """Of the worker, for what it does for one image at a time."""


NO_WORK = WorkBesideGPU(core_us=0, wire_us=0, serial_us=0)
"""That of a CPU slice, which does everything itself."""


# A job is planned again in each pass, at the same sizes and with the same cost.
@lru_cache(maxsize=2**14)
def work_beside_gpu(mini_batch_size: int, cost: InputCost, serial_us: float | None = None) -> WorkBesideGPU:
    """Return what the images of a mini-batch take besides the GPU. `serial_us` is the profile's; None: assumed."""
    wire_us = Fraction(0)
    if cost.bandwidth_bytes_per_s:
        wire_us = (
            mini_batch_size * Fraction(cost.bytes_per_image) * MICROS_PER_SECOND / Fraction(cost.bandwidth_bytes_per_s)
        )
    each_us = Fraction(str(SERIAL_US if serial_us is None else serial_us)) if cost.bytes_per_image else 0
    return WorkBesideGPU(
        core_us=ceil(_core_us(mini_batch_size, cost)),
        wire_us=ceil(wire_us),
        serial_us=ceil(mini_batch_size * each_us),
    )


def latency_with_input_us(
    spec: ProfileSpec, latency_us: int, mini_batch_size: int, cost: InputCost, *, cores: int
) -> int:
    """Return L_job(b) in microseconds, rounded up. `cores` are what a GPU's worker may have."""
    if runs_on_cpu(spec.engine):
        added_us = _core_us(mini_batch_size, cost) / (spec.device.threads or 1)
        return ceil(_contention(spec) * (latency_us + added_us))
    work = work_beside_gpu(mini_batch_size, cost, spec.serial_micros)
    computed_us = computed_on_gpu_us(spec, latency_us, work, cores=cores)
    return max(computed_us, speedup_of(spec.decoding).step_us(work.core_us, cores), work.wire_us, work.serial_us)


def computed_on_gpu_us(spec: ProfileSpec, latency_us: int, work: WorkBesideGPU, *, cores: int) -> int:
    """Return how long a GPU takes for a mini-batch while so many cores decode the next one, in microseconds."""
    decoding_us = min(Fraction(latency_us), work.core_us / speedup_of(spec.decoding).at(cores))
    return ceil(latency_us + (_contention(spec) - 1) * decoding_us)


def stretched_us(spec: ProfileSpec, duration_us: int) -> int:
    """Return what becomes of a duration of the model while all cores decode, in microseconds, rounded up."""
    return ceil(_contention(spec) * duration_us)


def _contention(spec: ProfileSpec) -> Fraction:
    # Through its text, 1.1 is eleven tenths and not the binary number that is nearest to it.
    return Fraction(str(spec.contention))


def _core_us(mini_batch_size: int, cost: InputCost) -> Fraction:
    return mini_batch_size * (Fraction(cost.decode_us) + Fraction(cost.get_us))

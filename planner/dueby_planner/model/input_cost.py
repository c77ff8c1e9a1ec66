"""What reading and decoding the input adds to a step. It belongs to the job; a profile measures the model alone.

A CPU slice of k cores is shared by the model and the decoding, so their times add up:

    L_job(b) = contention * (L(b) + b (decode + get) / k)

On a GPU they overlap, and the slowest of model, CPUs and network decides:

    L_job(b) = max(L(b), b (decode + get) / cpus, b * bytes / bandwidth)

The warm-up W(b) grows by the same amount.
"""

from fractions import Fraction
from functools import lru_cache
from math import ceil

from dueby_api.engines import runs_on_cpu
from dueby_api.gpu_profile import ProfileSpec
from dueby_api.input_cost import InputCost
from dueby_api.units import MICROS_PER_SECOND


def latency_with_input_us(
    spec: ProfileSpec, latency_us: int, mini_batch_size: int, cost: InputCost, *, cpus: int
) -> int:
    """Return L_job(b) in microseconds, rounded up. `cpus` is the CPU request of a GPU's worker."""
    if runs_on_cpu(spec.engine):
        core_us = _core_us(mini_batch_size, cost)
        # Through its text, 1.1 is eleven tenths and not the binary number that is nearest to it.
        return ceil(Fraction(str(spec.contention)) * (latency_us + core_us / (spec.device.threads or 1)))
    return max(latency_us, _beside_gpu_us(mini_batch_size, cost, cpus))


# A job is planned again in each pass, at the same sizes and with the same cost.
@lru_cache(maxsize=2**14)
def _beside_gpu_us(mini_batch_size: int, cost: InputCost, cpus: int) -> int:
    """Return what CPUs or network take for a mini-batch while the GPU computes, in microseconds."""
    wire_us = Fraction(0)
    if cost.bandwidth_bytes_per_s:
        wire_us = (
            mini_batch_size * Fraction(cost.bytes_per_image) * MICROS_PER_SECOND / Fraction(cost.bandwidth_bytes_per_s)
        )
    return max(ceil(_core_us(mini_batch_size, cost) / cpus), ceil(wire_us))


def _core_us(mini_batch_size: int, cost: InputCost) -> Fraction:
    return mini_batch_size * (Fraction(cost.decode_us) + Fraction(cost.get_us))

"""What reading and decoding adds to a step: a property of the job, where a profile measures the model alone.

On a CPU slice of k cores, which the model and the decoding share, times add up:

    L_job(b) = contention * (L(b) + b (decode + get) / k)

On a GPU they overlap, and the slowest of model, CPUs and network decides:

    L_job(b) = max(L(b), b (decode + get) / cpus, b * bytes / bandwidth)

The warm-up W(b) grows by the same.
"""

from fractions import Fraction
from math import ceil

from dueby_api.engines import runs_on_cpu
from dueby_api.gpu_profile import ProfileSpec
from dueby_api.input_cost import InputCost
from dueby_api.units import MICROS_PER_SECOND


def latency_with_input_us(
    spec: ProfileSpec, latency_us: int, mini_batch_size: int, cost: InputCost, *, cpus: int
) -> int:
    """L_job(b) in microseconds, rounded up; `cpus` is a GPU worker's CPU request."""
    core_us = mini_batch_size * (Fraction(cost.decode_us) + Fraction(cost.get_us))
    if runs_on_cpu(spec.engine):
        return ceil(Fraction(str(spec.contention)) * (latency_us + core_us / (spec.device.threads or 1)))
    wire_us = Fraction(0)
    if cost.bandwidth_bytes_per_s:
        wire_us = (
            mini_batch_size * Fraction(cost.bytes_per_image) * MICROS_PER_SECOND / Fraction(cost.bandwidth_bytes_per_s)
        )
    return max(latency_us, ceil(core_us / cpus), ceil(wire_us))

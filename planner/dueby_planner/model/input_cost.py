"""What reading and decoding adds to a step: a property of the job, where a profile measures the model alone.

On a CPU slice of k cores, which the model and the decoding share, times add up:

    L_job(b) = contention * (L(b) + b (decode + get) / k)

On a GPU they overlap, and the slowest of model, CPUs and network decides:

    L_job(b) = max(L(b), b (decode + get) / cpus, b * bytes / bandwidth)

The warm-up W(b) grows by the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from dueby_api.gpu_profile import CPU_ENGINES, ProfileSpec
from dueby_api.units import MICROS_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class InputCost:
    """Per image, sampled when the source was indexed."""

    decode_us: float
    """Core-time to decode and resize."""
    get_us: float
    """Core-time to read."""
    bytes_per_image: float = 0
    bandwidth_bytes_per_s: float | None = None
    """What one worker saw; None: not a limit."""


FREE = InputCost(decode_us=0, get_us=0)


def read_input_cost(cost: Mapping[str, Any]) -> InputCost:
    """What the index step sampled."""
    return InputCost(
        decode_us=cost.get("decodeMicros", 0),
        get_us=cost.get("getMicros", 0),
        bytes_per_image=cost.get("bytesPerImage", 0),
        bandwidth_bytes_per_s=cost.get("bandwidthBytesPerSecond"),
    )


def latency_with_input_us(
    spec: ProfileSpec, latency_us: int, mini_batch_size: int, cost: InputCost, *, cpus: int
) -> int:
    """L_job(b) in microseconds, rounded up; `cpus` is a GPU worker's CPU request."""
    core_us = mini_batch_size * (Fraction(cost.decode_us) + Fraction(cost.get_us))
    if spec.engine in CPU_ENGINES:
        return ceil(Fraction(str(spec.contention)) * (latency_us + core_us / (spec.device.threads or 1)))
    wire_us = Fraction(0)
    if cost.bandwidth_bytes_per_s:
        wire_us = (
            mini_batch_size * Fraction(cost.bytes_per_image) * MICROS_PER_SECOND / Fraction(cost.bandwidth_bytes_per_s)
        )
    return max(latency_us, ceil(core_us / cpus), ceil(wire_us))

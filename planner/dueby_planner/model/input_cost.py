"""What reading and decoding the input adds to a step. It belongs to the job; a profile measures the model alone.

A CPU slice of k cores is shared by the model and the decoding, so their times add up:

    L_job(b) = contention * (L(b) + b (decode + get) / k)

On a GPU they overlap, and the slowest of model, cores, interpreter and network decides. Its worker may have `cores` of
its node:

    L_job(b) = max(L'(b), b (decode + get) / s(cores), b * serial, b * bytes / bandwidth)
    L'(b) = L(b) + (contention - 1) * min(L(b), b (decode + get) / s(cores))

s is their speed-up (speedup.py). It gets as many of them as keep the GPU waiting no longer, so that whoever shares the
node has the rest. `serial` is what the worker does around the decoding of an image: under the interpreter's
lock, so for one image at a time. On a CPU slice it is part of the contention, which is measured with it. Images without
bytes are made up, and need none of it.

What launches the GPU's work waits for the decoders' threads. Contention was measured while all of them decoded, so L'
is longer for the part of the step in which they do. Where that shows, each core more makes a step a little shorter, and
a worker gets all that it may have.

The warm-up W(b) grows by the same amount as the step.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import NamedTuple

from dueby_api.engines import runs_on_cpu
from dueby_api.gpu_profile import DecodingRate, ProfileSpec
from dueby_api.input_cost import InputCost
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.speedup import LINEAR, Speedup, one_core_us, speedup_of

PROFILED_PIXELS = 640 * 480
"""Of the photos whose decoding a profile has."""
SERIAL_US = 100.0
"""What is assumed to be serial of an image where no profile says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GPUStep:
    """What a mini-batch takes a GPU and its worker, in microseconds. Its cores decide how long a step is."""

    model_us: int
    """L(b)."""
    core_us: int = 0
    """Of one core, to read and decode it."""
    wire_us: int = 0
    """Of the network, to bring it."""
    serial_us: int = 0
    """Of the worker, for what it does for one image at a time."""
    contention: Fraction = Fraction(1)
    speedup: Speedup = LINEAR
    square_us: int | None = None
    """The most that it takes one core to read and decode as many squares of the wanted size; None if nobody knows."""

    def latency_us(self, cores: int) -> int:
        """Return L_job(b)."""
        return max(self.computed_us(cores), self.speedup.step_us(self.core_us, cores))

    def computed_us(self, cores: int) -> int:
        """Return what the step would be if nothing waited for decoding."""
        return max(self._fed_us(cores), self.serial_us)

    def waits(self, cores: int) -> bool:
        """Return whether the GPU waits for decoding."""
        return self.core_us > self.speedup.at(cores) * self.computed_us(cores)

    def is_bound_by_serial_work(self, cores: int) -> bool:
        """Return whether the step is what the worker does for one image at a time, however many cores it has."""
        return self._fed_us(cores) < self.serial_us == self.latency_us(cores)

    def fewest_cores(self, most: int) -> int:
        """Return the fewest cores, of `most`, with which the step is as short as with all of them; at least one."""
        least_us = self.latency_us(most)
        decoding_us = Fraction(least_us)
        if least_us < self.contention * self.model_us:
            # The decoders may not slow the model for longer than they do now.
            decoding_us = min(decoding_us, (least_us - self.model_us) / (self.contention - 1))
        return self.speedup.fewest_cores(Fraction(self.core_us) / decoding_us) if self.core_us else 1

    def cores_to_keep_up(self, cores: int) -> int:
        """Return the fewest cores with which a GPU that waits for decoding, with so many, no longer does."""
        return self.speedup.fewest_cores(Fraction(self.core_us, max(1, self.computed_us(cores))))

    def longer(self, ratio: float) -> "GPUStep":
        """Return the step where everything takes so many times as long."""
        return replace(
            self,
            model_us=round(self.model_us * ratio),
            core_us=round(self.core_us * ratio),
            wire_us=round(self.wire_us * ratio),
            serial_us=round(self.serial_us * ratio),
            square_us=None if self.square_us is None else round(self.square_us * ratio),
        )

    def _fed_us(self, cores: int) -> int:
        """Return what GPU and network take, beside so many cores that decode."""
        decoding_us = self.core_us / self.speedup.at(cores)
        slowed_us = ceil(self.model_us + (self.contention - 1) * min(Fraction(self.model_us), decoding_us))
        return max(slowed_us, self.wire_us)


class StepWithInput(NamedTuple):
    """A step of a job."""

    latency_us: int
    """L_job(b), in microseconds, rounded up."""
    cores: int = 0
    """Those that a GPU's worker gets; 0: a CPU slice has its own."""
    beside: GPUStep | None = None
    """What it takes beside a GPU."""


def step_with_input(
    spec: ProfileSpec, latency_us: int, mini_batch_size: int, cost: InputCost, *, cores: int
) -> StepWithInput:
    """Return the step of a job whose model takes `latency_us` alone. `cores` are what a GPU's worker may have."""
    if runs_on_cpu(spec.engine):
        added_us = _core_us(mini_batch_size, cost) / (spec.device.threads or 1)
        total_us = ceil(_exact(spec.contention) * (latency_us + added_us))
        return StepWithInput(latency_us=total_us)
    is_smaller = spec.model.image_size**2 <= PROFILED_PIXELS
    return _beside_gpu(
        latency_us, mini_batch_size, cost, spec.serial_micros, spec.contention, spec.decoding, cores, is_smaller
    )


def stretched_us(spec: ProfileSpec, duration_us: int) -> int:
    """Return what becomes of a duration of the model while all cores decode, in microseconds, rounded up."""
    return ceil(_exact(spec.contention) * duration_us)


# A job is planned again in each pass, at the same sizes and with the same cost.
@lru_cache(maxsize=2**14)
def _beside_gpu(
    latency_us: int,
    mini_batch_size: int,
    cost: InputCost,
    serial_us: float | None,
    contention: float,
    decoding: tuple[DecodingRate, ...],
    cores: int,
    is_smaller: bool,
) -> StepWithInput:
    """Return the step beside a GPU, of a profile with this serial part (None: assumed), contention and decoding.

    `is_smaller` says that the model's images have no more pixels than the photos whose decoding was measured.
    """
    wire_us = Fraction(0)
    if cost.bandwidth_bytes_per_s:
        wire_us = (
            mini_batch_size * Fraction(cost.bytes_per_image) * MICROS_PER_SECOND / Fraction(cost.bandwidth_bytes_per_s)
        )
    each_us = _exact(SERIAL_US if serial_us is None else serial_us) if cost.bytes_per_image else 0
    step = GPUStep(
        model_us=latency_us,
        core_us=ceil(_core_us(mini_batch_size, cost)),
        wire_us=ceil(wire_us),
        serial_us=ceil(mini_batch_size * each_us),
        # Decoders make no GPU faster, whatever a measurement says.
        contention=max(Fraction(1), _exact(contention)),
        speedup=speedup_of(decoding),
        square_us=ceil(mini_batch_size * one_core_us(decoding)) if decoding and is_smaller else None,
    )
    return StepWithInput(latency_us=step.latency_us(cores), cores=step.fewest_cores(cores), beside=step)


def _exact(number: float) -> Fraction:
    # Through its text, 1.1 is eleven tenths and not the binary number that is nearest to it.
    return Fraction(str(number))


def _core_us(mini_batch_size: int, cost: InputCost) -> Fraction:
    return mini_batch_size * (Fraction(cost.decode_us) + Fraction(cost.get_us))

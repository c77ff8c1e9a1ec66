"""A machine with simulated time for the profiler's rounds, and measurements to make profiles of."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from dueby_api.engines import EngineName, runs_on
from dueby_api.gpu_profile import Device, GPUProfile
from dueby_api.inference_job import Model
from dueby_profiler.analysis.document import Facts, build_profile
from dueby_profiler.analysis.points import Measurements
from dueby_profiler.analysis.statistics import MIN_GPU_S, MIN_GPU_STEPS, is_known
from dueby_profiler.machine.interference import BUSY_CORES, CpuTimes
from dueby_profiler.machine.layouts import Layout, Slice
from dueby_profiler.machine.limits import Limits, read_limits
from dueby_profiler.machine.machine import Machine
from dueby_profiler.measuring.budget import Budget
from dueby_profiler.measuring.messages import Built, Contended, DecodingRates, Point
from dueby_profiler.measuring.process_group import Crashed, OutOfMemory, contention_s, decoding_s
from dueby_profiler.measuring.rounds import MeasuringTarget, Survey
from dueby_profiler.presets import Preset

# What is profiled on the machine at hand, in as little time as says anything.
TINY = Model(name="mobilenet_v3_small", weights="none", image_size=64, engine="eager")
BRIEF = Preset(
    name="brief", layout_s=300, compare_s=0.1, explore_s=0.1, point_s=0.2, contention_s=0.2, all_layouts=False
)


def two_slices() -> Machine:
    """Return this machine as if it had two cores of its own, which may be the same core."""
    cores = sorted(os.sched_getaffinity(0))
    return Machine(
        limits=Limits(cores=(cores[0], cores[-1]), usable=2.0, memory_mib=read_limits().memory_mib),
        gpus=(),
        node="node-a",
        clock=time.monotonic,
    )


@dataclass(frozen=True, kw_only=True)
class Burst:
    """A time, by the simulated clock, in which another program uses cores and makes every step take longer."""

    begin_s: float = 0.0
    end_s: float = float("inf")
    cores: float = 1.0

    def core_s(self, now_s: float) -> float:
        """Return the CPU time that the program has used up to now."""
        return self.cores * max(0.0, min(now_s, self.end_s) - self.begin_s)


@dataclass(kw_only=True)
class SimulatedMachine:
    """Devices with a given start-up, latency and memory, and with a clock that moves only while they work."""

    slices: int = 2
    threads: int = 1
    """Cores of a slice."""
    startup_s: float = 4.0
    build_s: float = 0.3
    latency_s: Callable[[int], float] = lambda size: 0.002 + 0.012 * size
    noise: float = 0.03
    """Relative standard deviation of steps, and of processes side by side."""
    moments: float = 0.0
    """Relative standard deviation of process groups."""
    steady_slices: int = 0
    """So many of the slices don't notice which group they are in."""
    base_mib: int = 400
    image_mib: int = 4
    memory_mib: int = 8192
    """Of one device."""
    host_mib: int = 10**6
    """Memory of the host for one process."""
    killed_from: int = 10**9
    """Mini-batches of this size and more are killed for their memory."""
    crashes_from: int = 10**9
    """Processes crash at mini-batches of this size and more."""
    heat: float = 1.0
    """How many times as long steps take ..."""
    hot_after_s: float = 0.0
    """... so long after a group was started."""
    contention: float = 1.2
    serial_us: float = 80.0
    bursts: list[Burst] = field(default_factory=list)
    now_s: float = 1000.0
    groups: int = 0
    seed: int = 0
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def survey(self, preset: Preset, *, gpu: bool = False, engine: EngineName | None = None) -> Survey:
        """Return a survey of this machine's only layout that has yet to begin."""
        target = self.target(engine or ("cuda" if gpu else "openvino"))
        preset = preset.on(gpu=target.layout.is_gpu, engines=[target.engine])
        budget = Budget.starting(preset.layout_s, target.clock)
        return Survey(target=target, preset=preset, budget=budget, on_phase=lambda doing, left_s: None)

    def target(self, engine: EngineName, *, slowness: float = 1.0) -> MeasuringTarget:
        """Return an engine on this machine's only layout, which takes so many times the machine's latency."""
        gpu = runs_on(engine) == "gpu"
        slices = tuple(Slice(threads=self.threads, gpu=f"GPU-{i}" if gpu else None) for i in range(self.slices))
        return MeasuringTarget(
            layout=Layout(device_class="NVIDIA-L4" if gpu else "cpu-1", slices=slices),
            engine=engine,
            open_group=lambda: SimulatedGroup(self, slowness, gpu=gpu),
            usable_mib=self.memory_mib,
            usable_host_mib=self.host_mib,
            gpu_states=lambda: [{"sm_clock_mhz": 900.0, "throttle_reasons": 4.0}] * self.slices,
            folder=Path("/nowhere"),
            clock=lambda: self.now_s,
            read_times=self.read_times,
            allowed_cores=BUSY_CORES,
        )

    def read_times(self) -> CpuTimes:
        """Return the CPU time of the bursts; that of the processes themselves makes no difference."""
        foreign_s = sum(burst.core_s(self.now_s) for burst in self.bursts)
        return CpuTimes(at_s=self.now_s, machine_s=foreign_s, own_s=0.0)

    def step_s(self, size: int) -> float:
        """Return the latency now."""
        foreign = sum(burst.cores for burst in self.bursts if burst.begin_s <= self.now_s < burst.end_s)
        return (1 + foreign) * self.latency_s(size)

    def measured(self, preset: Preset, *, gpu: bool = False, engine: EngineName | None = None) -> Survey:
        """Return a survey that is done."""
        survey = self.survey(preset, gpu=gpu, engine=engine)
        survey.explore()
        survey.measure()
        return survey


class SimulatedGroup:
    """Measures as ProcessGroup does, in simulated time."""

    def __init__(self, machine: SimulatedMachine, slowness: float, *, gpu: bool) -> None:
        self.gpu = gpu
        self.began_s = 0.0
        self.machine, self.size, self.peak, self.is_fresh = machine, 0, 0, True
        moment = machine.random.gauss(1, machine.moments)
        self.bias = [
            slowness * machine.random.gauss(1, machine.noise) * (1 if number < machine.steady_slices else moment)
            for number in range(machine.slices)
        ]

    def __enter__(self) -> Self:
        self.machine.groups += 1
        self.began_s = self.machine.now_s
        self.machine.now_s += self.machine.startup_s
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.machine.now_s += 0.02

    def build(self, size: int) -> list[Built]:
        """See MeasuringGroup."""
        machine, self.size = self.machine, size
        machine.now_s += machine.build_s
        startup_us, build_us = int(1e6 * (machine.now_s - self.began_s)), int(1e6 * machine.build_s)
        return [Built(size=size, startup_us=startup_us, build_us=build_us) for _ in range(machine.slices)]

    def run(self, limit_s: float, at_end: Callable[[], None] | None = None) -> list[Point]:
        """See MeasuringGroup."""
        machine, step_s = self.machine, self.machine.step_s(self.size)
        if self.size >= machine.killed_from:
            raise OutOfMemory(self.size)
        if self.size >= machine.crashes_from:
            raise Crashed(1, "RuntimeError: no", size=self.size)
        began_s = machine.now_s + 1.7 * step_s
        points, ends_s = [], []
        for bias in self.bias:
            durations: list[int] = []
            least_s, least = (MIN_GPU_S, MIN_GPU_STEPS) if self.gpu else (0.0, 0)
            busy_s, next_check = 0.0, 1
            while busy_s < limit_s:
                if len(durations) >= next_check and len(durations) >= least and busy_s >= least_s and not at_end:
                    next_check = len(durations) * 9 // 8 + 1
                    if is_known(durations):
                        break
                heat = machine.heat if self.began_s + machine.hot_after_s < began_s + busy_s else 1.0
                step = heat * step_s * bias * machine.random.gauss(1, machine.noise)
                durations.append(max(1, int(1e6 * step)))
                busy_s += max(1e-6, step)
            durations = durations or [int(1e6 * step_s)]
            started_us = int(1e6 * began_s)
            ended = tuple(started_us + sum(durations[: i + 1]) for i in range(len(durations)))
            ends_s.append(ended[-1] / 1e6)
            self.peak = max(self.peak, machine.base_mib + machine.image_mib * self.size)
            points.append(
                Point(
                    size=self.size,
                    warmup_us=int(1.7e6 * step_s),
                    check_us=200_000 if self.is_fresh else 0,
                    started_us=started_us,
                    ended_us=ended,
                    # Pinned memory, which the host has no less of than the images take.
                    peak_mib=2000 + 2 * self.size if self.gpu else self.peak,
                    gpu_mib=self.peak if self.gpu else None,
                )
            )
        self.is_fresh = False
        if at_end:
            at_end()
        machine.now_s = max(ends_s)
        return points

    def contend(self, phase_s: float, folder: Path) -> list[Contended]:
        """See MeasuringGroup."""
        machine = self.machine
        machine.now_s += contention_s(phase_s)
        model_us, decode_us = 1e6 * machine.latency_s(self.size), 2000.0
        # A GPU computes while the cores decode.
        both_us = machine.contention * (model_us + (0 if self.gpu else self.size * decode_us))
        return [Contended(decode_us=decode_us, model_us=model_us, both_us=both_us) for _ in range(machine.slices)]

    def decode(self, phase_s: float, cores: Sequence[int], folder: Path) -> list[DecodingRates]:
        """See MeasuringGroup."""
        machine = self.machine
        machine.now_s += decoding_s(phase_s, cores)
        decoded_us = tuple(max(machine.serial_us, 2000.0 / count) for count in cores)
        rates = DecodingRates(serial_us=machine.serial_us, cores=tuple(cores), decoded_us=decoded_us)
        return [rates for _ in range(machine.slices)]


def some_facts(*, model: Model | None = None, device: Device | None = None) -> Facts:
    """Return facts of a profile."""
    return Facts(
        device_class="cpu-1",
        model=model or Model(),
        engine="openvino",
        device=device or Device(node="node-a", threads=1, slices=2),
        software={"torch": "2.13.0"},
        measured_at=datetime(2026, 11, 25, 2, tzinfo=UTC),
        busy=False,
    )


def profile_of(survey: Survey) -> GPUProfile:
    """Return the profile of a survey that is done."""
    found = survey.groups.counted
    return build_profile(found, some_facts(), survey.largest(found))


def a_point(size: int = 8, *, starts_us: int, durations_us: Sequence[int], warmup_us: int = 900) -> Point:
    """Return a process's steady steps at a size."""
    ends = tuple(starts_us + sum(durations_us[: i + 1]) for i in range(len(durations_us)))
    return Point(size=size, warmup_us=warmup_us, check_us=0, started_us=starts_us, ended_us=ends, peak_mib=500)


def some_measurements(
    means_us: dict[int, list[int]],
    *,
    warmups_us: dict[int, list[int]] | None = None,
    startups_us: Sequence[int] = (3_000_000, 3_100_000, 3_500_000),
) -> Measurements:
    """Return processes with ten equal steps at each size; only the largest size has warm-ups unless others are
    given.
    """
    found = Measurements()
    for size, means in means_us.items():
        for process, mean in enumerate(means):
            found.add_steady(process, [a_point(size, starts_us=0, durations_us=[mean] * 10)])
    for size, values in (warmups_us or {max(means_us): [2 * means_us[max(means_us)][0]]}).items():
        found.warmups_us[size].extend(values)
    found.startups_us.extend(startups_us)
    return found

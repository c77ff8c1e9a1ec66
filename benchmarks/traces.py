"""Measured traces: what fresh processes on this machine really took, step by step, to drive simulated runs with.

A process group is one fresh process on every slice of the machine at the same time, like workers: its start-ups, its
first mini-batches, its steady steps. Profiles are made from groups by the profiler's own code, and a simulated worker
goes through what one process of another group did. So the effects of a run and of a moment are in the traces as they
were, whatever their distribution; nothing is drawn from a normal distribution.
"""

import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dueby_api.engines import EngineName
from dueby_api.gpu_profile import (
    Device,
    GPUProfile,
    Latency,
    MeasuredStep,
    ProfiledModel,
    ProfileSpec,
    Quantiles,
)
from dueby_api.inference_job import Model
from dueby_planner.schedule.job import Assignment
from dueby_profiler.analysis.document import Facts, build_profile
from dueby_profiler.analysis.memory import Largest
from dueby_profiler.analysis.points import Measurements, Visit, while_all_busy
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.machine.machine import Machine
from dueby_profiler.measuring.process_group import ProcessGroup, start_group
from simulation import Fate


@dataclass(frozen=True, kw_only=True)
class Member:
    """What one process of a group took, in microseconds."""

    startup_us: int
    warmup_us: int
    steps_us: tuple[int, ...]

    def longer(self, start: float, step: float) -> "Member":
        """Return a process whose start and whose mini-batches take so many times as long."""
        return Member(
            startup_us=round(start * self.startup_us),
            warmup_us=round(step * self.warmup_us),
            steps_us=tuple(round(step * each) for each in self.steps_us),
        )


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A process group at one moment, with one engine and one mini-batch size."""

    at: str
    device_class: str
    engine: EngineName
    size: int
    members: tuple[Member, ...]

    def document(self) -> dict[str, Any]:
        """Return the trace as a line of the file."""
        members = [[m.startup_us, m.warmup_us, list(m.steps_us)] for m in self.members]
        return {
            "at": self.at,
            "deviceClass": self.device_class,
            "engine": self.engine,
            "size": self.size,
            "members": members,
        }


def read_traces(path: Path) -> list[Trace]:
    """Return the traces of the file, in the order of measuring."""
    return [_read(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def _read(found: dict[str, Any]) -> Trace:
    return Trace(
        at=found["at"],
        device_class=found["deviceClass"],
        engine=found["engine"],
        size=found["size"],
        members=tuple(
            Member(startup_us=startup, warmup_us=warmup, steps_us=tuple(steps))
            for startup, warmup, steps in found["members"]
        ),
    )


def measure_traces(machine: Machine, model: Model, like: ProfileSpec, *, size: int, seconds: float) -> Iterator[Trace]:
    """Yield group after group on the layout of this profile, each with so many seconds of steady steps."""
    layout = next(layout for layout in machine.layouts if layout.device_class == like.device_class)
    with tempfile.TemporaryDirectory(prefix="dueby-traces-") as folder:
        _measure(layout, model, like.engine, Path(folder), size=size, seconds=1.0)  # what is compiled is kept
        while True:
            yield _measure(layout, model, like.engine, Path(folder), size=size, seconds=seconds)


# Of a made-up machine: what is usual, in microseconds, and by how much process groups and processes differ. Steps vary
# by themselves, too.
_START_US, _WARMUP_US, _STEP_US, _SIZE, _STEPS = 5_000_000, 300_000, 270_000, 8, 45
_STARTS_OF_GROUPS, _STARTS, _WARMUPS = 0.05, 0.08, 0.10
_MOMENTS, _PROCESSES, _STEPS_APART = 0.03, 0.02, 0.04


def made_up_traces(count: int, *, seed: int) -> list[Trace]:
    """Return traces of a machine that doesn't exist, with two slices of one core."""
    chance = random.Random(seed)
    traces = []
    for _ in range(count):
        start, moment = chance.lognormvariate(0, _STARTS_OF_GROUPS), max(0.5, chance.gauss(1, _MOMENTS))
        members = tuple(_made_up_member(chance, start, moment) for _ in range(2))
        traces.append(
            Trace(at="2026-01-01T00:00:00+00:00", device_class="cpu-1", engine="openvino", size=_SIZE, members=members)
        )
    return traces


def _made_up_member(chance: random.Random, start: float, moment: float) -> Member:
    factor = moment * max(0.5, chance.gauss(1, _PROCESSES))
    return Member(
        startup_us=round(_START_US * start * chance.lognormvariate(0, _STARTS)),
        warmup_us=round(_WARMUP_US * factor * chance.lognormvariate(0, _WARMUPS)),
        steps_us=tuple(round(_STEP_US * factor * max(0.5, chance.gauss(1, _STEPS_APART))) for _ in range(_STEPS)),
    )


def made_up_spec(model: Model) -> ProfileSpec:
    """Return what a profile says of that machine and of how it was measured, with one size."""
    return ProfileSpec(
        device_class="cpu-1",
        model=ProfiledModel(name=model.name, image_size=model.image_size, precision=model.precision),
        engine="openvino",
        device=Device(slices=2),
        steps=(
            MeasuredStep(
                mini_batch_size=_SIZE,
                latency_micros=Latency(mean=_STEP_US),
                warmup_micros=Quantiles(p50=_WARMUP_US, p95=_WARMUP_US),
            ),
        ),
    )


def open_group(
    layout: Layout, model: Model, engine: EngineName, cache_folder: Path, *, status_pages: Sequence[int] = ()
) -> ProcessGroup:
    """Return fresh processes on a layout, as the profiler starts them."""
    return start_group(
        layout, lambda _: model, engine, cache_dir=cache_folder, clock=time.monotonic, status_pages=status_pages
    )


def _measure(layout: Layout, model: Model, engine: EngineName, folder: Path, *, size: int, seconds: float) -> Trace:
    with open_group(layout, model, engine, folder) as group:
        built = group.build(size)
        first = group.run(seconds)
        steps, end_s = [list(durations) for durations in while_all_busy(first)], time.monotonic() + seconds
        while time.monotonic() < end_s:  # a point is over once its mean is known; a run goes on
            for own, durations in zip(steps, while_all_busy(group.run(seconds)), strict=True):
                own.extend(durations)
    members = [
        Member(startup_us=ready.startup_us + point.check_us, warmup_us=point.warmup_us, steps_us=tuple(own))
        for ready, point, own in zip(built, first, steps, strict=True)
    ]
    return Trace(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        device_class=layout.device_class,
        engine=engine,
        size=size,
        members=tuple(members),
    )


def profile_of(traces: Sequence[Trace], model: Model, like: ProfileSpec) -> GPUProfile:
    """Return the profile that the profiler makes of these groups."""
    found, size = Measurements(group_size=len(traces[0].members)), traces[0].size
    for number, trace in enumerate(traces):
        for place, member in enumerate(trace.members):
            found.visits[size].append(Visit(process=number * len(trace.members) + place, durations_us=member.steps_us))
            found.startups_us.append(member.startup_us)
            found.warmups_us[size].append(member.warmup_us)
    facts = Facts(
        device_class=like.device_class,
        model=model,
        engine=like.engine,
        device=like.device,
        measured_at=datetime.fromisoformat(traces[0].at),
        busy=False,
    )
    return build_profile(found, facts, Largest(mini_batch_size=size, extrapolated=False))


class TracedFates:
    """The fates of measured processes in this order; each goes through its steps again and again."""

    def __init__(self, members: Sequence[Member], seed: int) -> None:
        self.members = iter(members)
        self.chance = random.Random(seed)

    def draw(self, assignment: Assignment, *, span_us: int) -> Fate:
        """Return the next process's fate."""
        del assignment, span_us  # it is what it was, whatever is asked of it
        member = next(self.members)
        steps = _round_and_round(member.steps_us, self.chance.randrange(len(member.steps_us)))
        return Fate(startup_us=member.startup_us, warmup_us=member.warmup_us, step_us=lambda: next(steps))


def _round_and_round(values: Sequence[int], begin: int) -> Iterator[int]:
    while True:
        yield from values[begin:]
        yield from values[:begin]

"""A simulated worker: what its device is planned to do, and what it does, a mini-batch at a time."""

import random
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Device:
    """What one worker is planned to do, and how it really does."""

    mini_batch_size: int
    step_s: float
    device_class: str = "cpu-1"
    engine: str = "openvino"
    startup_s: float = 4.2
    warmup_s: float = 0.9
    slower_by: float = 0.0
    lost_after_s: float | None = None


@dataclass
class Worker:
    """A worker of the simulation."""

    device: Device
    left: int
    born_s: float = 0.0
    clock_s: float = 0.0
    done: int = 0
    states: list[list[Any]] = field(default_factory=list)
    samples: list[list[Any]] = field(default_factory=list)

    def begin(self, chance: random.Random) -> None:
        """Start-up and the first mini-batch."""
        startup, warmup = (s * chance.uniform(0.96, 1.09) for s in (self.device.startup_s, self.device.warmup_s))
        moments = [self.born_s, self.born_s + startup, self.born_s + startup + warmup]
        self.states = [
            [round(m, 3), state] for m, state in zip(moments, ("starting", "warming", "running"), strict=True)
        ]
        self.clock_s = moments[-1]
        self._finish_batch()
        self.samples = [[round(self.born_s, 3), 0], [round(self.clock_s, 3), self.done]]

    def step(self, chance: random.Random) -> None:
        """One mini-batch."""
        self.clock_s += self.device.step_s * (1 + self.device.slower_by) * chance.uniform(0.95, 1.06)
        self._finish_batch()
        if self.clock_s - self.samples[-1][0] > 1:
            self.samples.append([round(self.clock_s, 3), self.done])

    def enter(self, state: str) -> None:
        """Be in another state from now on."""
        if self.states[-1][1] != state:
            self.states.append([round(self.clock_s, 3), state])

    def _finish_batch(self) -> None:
        batch = min(self.device.mini_batch_size, self.left)
        self.left -= batch
        self.done += batch

    @property
    def is_lost(self) -> bool:
        """Whether its device is gone by now."""
        return self.device.lost_after_s is not None and self.clock_s >= self.device.lost_after_s


def iterations(worker: Worker) -> int:
    """Return the steps after the first that what is left takes."""
    return -(-worker.left // worker.device.mini_batch_size) - 1


def finish_s(worker: Worker) -> float:
    """Return when it is expected to end."""
    device = worker.device
    return round(worker.born_s + device.startup_s + device.warmup_s + iterations(worker) * device.step_s, 3)


def planned_worker(name: str, worker: Worker) -> dict[str, Any]:
    """Return what the plan says of it."""
    device = worker.device
    start_us = round(1e6 * (device.startup_s + device.warmup_s))
    return {
        "worker": name,
        "revision": 1,
        "deviceClass": device.device_class,
        "engine": device.engine,
        "miniBatchSize": device.mini_batch_size,
        "iterations": iterations(worker),
        "share": [0, 1],
        "profile": "vm",
        "latencyMicros": round(1e6 * device.step_s),
        "startMicros": start_us,
        "expectedStartMicros": start_us,
        "expectedWarmupMicros": round(1e6 * device.warmup_s),
    }

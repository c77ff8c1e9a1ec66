"""Take a sample: read the machine once, and each measuring process with its GPU and its status page.

Rates are over the time since the sample before, whoever asked for that one. A sampler decides nothing, and keeps only
the counters that the next sample needs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dueby_profiler.machine.nvml import GpuState
from dueby_profiler.monitor.features.columns import FEATURES
from dueby_profiler.monitor.features.gpu_features import REASONS
from dueby_profiler.monitor.readers.allocator import allocator_features
from dueby_profiler.monitor.readers.host import Host, Values, WatchedProcess
from dueby_profiler.monitor.readers.status_page import ProcessStatus, StatusPage

_RATES = {feature.name: feature.of for feature in FEATURES if feature.of}
Row = dict[str, Any]
"""Values by column; a missing column is null."""


@dataclass(frozen=True, kw_only=True)
class SampledProcess:
    """A measuring process, with what is read of it."""

    slice: int
    process: WatchedProcess
    gpu: str | None
    status_page: StatusPage


class Sampler:
    """Takes samples of some processes, one after the other."""

    def __init__(
        self,
        *,
        processes: Sequence[SampledProcess],
        host: Host,
        read_gpu: Callable[[str], GpuState],
        clock: Callable[[], float],
        facts: Mapping[str, Any],
    ) -> None:
        """`facts` are columns that are the same in every row."""
        self._processes, self._host, self._read_gpu, self._clock, self._facts = processes, host, read_gpu, clock, facts
        self._before: list[Values] = [{} for _ in processes]
        self._before_us: int | None = None
        self.problems: dict[str, str] = {}
        """What went wrong with a GPU, by its UUID."""

    def take(self) -> list[Row]:
        """Take a sample; return a row for each process, in the order of the slices."""
        # The status pages come first, so that no phase begins after the time of the row that names it.
        statuses = [process.status_page.read() for process in self._processes]
        now_us = int(1e6 * self._clock())
        since_us = None if self._before_us is None else now_us - self._before_us
        moment = {**self._facts, "time": time.time_ns() // 1000, "at_us": now_us, "since_previous_us": since_us}
        levels, counters = self._host.levels(), self._host.counters()
        rows = [
            self._row(place, moment, levels, counters, since_us) | (status_columns(status) if status else {})
            for place, status in enumerate(statuses)
        ]
        self._before_us = now_us
        return rows

    def _row(
        self, place: int, moment: Mapping[str, Any], levels: Values, counters: Values, since_us: int | None
    ) -> Row:
        sampled = self._processes[place]
        own_levels, own_counters = sampled.process.read()
        counted = counters | own_counters
        rates = compute_rates(self._before[place], counted, since_us)
        self._before[place] = counted
        row = {**moment, "slice": sampled.slice, **levels, **own_levels, **counted, **rates}
        if sampled.gpu is not None:
            row |= self._gpu_values(sampled.gpu)
        return row

    def _gpu_values(self, uuid: str) -> Values:
        state = self._read_gpu(uuid)
        if state.problem:
            self.problems.setdefault(uuid, state.problem)  # the first one is the cause; the others follow from it
        return gpu_values(state.values)


def compute_rates(before: Values, after: Values, since_us: int | None) -> Values:
    """Return the rates of the counters that were read both times."""
    if not since_us:
        return {}
    return {
        name: 1e6 * (after[of] - before[of]) / since_us for name, of in _RATES.items() if of in before and of in after
    }


def gpu_values(values: Mapping[str, float]) -> Values:
    """Return what NVML answered as features."""
    features = {f"gpu_{name}": float(value) for name, value in values.items() if name != "throttle_reasons"}
    if "throttle_reasons" in values:
        reasons = int(values["throttle_reasons"])
        features |= {f"gpu_throttle_{name}": float(bool(reasons & bit)) for name, (bit, _, _) in REASONS.items()}
    return features


def status_columns(status: ProcessStatus) -> Row:
    """Return what the process reported of itself as columns."""
    row: Row = {
        "phase": status.phase.name.lower(),
        "mini_batch_size": status.size,
        "nth_size": status.nth_size,
        "steps": status.steps,
        "phase_began_us": status.began_us,
    }
    if status.read_us is not None:
        row |= {"torch_read_us": status.read_us, **allocator_features(status.statistics)}
    return row

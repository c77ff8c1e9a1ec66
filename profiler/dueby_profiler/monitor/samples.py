"""One look at everything: the machine once, and each measuring process with its GPU and its page.

The rates are over the time since the look before, whoever asked for it. The look itself decides nothing and keeps only
the counters that the next one needs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dueby_profiler.machine.nvml import State
from dueby_profiler.monitor.allocator import allocator_features
from dueby_profiler.monitor.board import Board, Notice
from dueby_profiler.monitor.columns import FEATURES
from dueby_profiler.monitor.gpu_features import REASONS
from dueby_profiler.monitor.host import Host, Values, Watched

_RATES = {feature.name: feature.of for feature in FEATURES if feature.of}
Row = dict[str, Any]
"""Values by column; a column that is left out is null."""


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A measuring process."""

    slice: int
    process: Watched
    gpu: str | None
    board: Board


class Looks:
    """Looks at some processes, one after the other."""

    def __init__(
        self,
        *,
        followed: Sequence[Followed],
        host: Host,
        ask_gpu: Callable[[str], State],
        clock: Callable[[], float],
        facts: Mapping[str, Any],
    ) -> None:
        """`facts` are columns that are the same in every row."""
        self._followed, self._host, self._ask_gpu, self._clock, self._facts = followed, host, ask_gpu, clock, facts
        self._before: list[Values] = [{} for _ in followed]
        self._before_us: int | None = None
        self.troubles: dict[str, str] = {}
        """What went wrong with a GPU, by its UUID."""

    def take(self) -> list[Row]:
        """A row for each process, in the order of the slices."""
        # First what the processes say, so that no phase begins after the moment of the row that it is in.
        notices = [followed.board.look() for followed in self._followed]
        now_us = int(1e6 * self._clock())
        since_us = None if self._before_us is None else now_us - self._before_us
        moment = {**self._facts, "time": time.time_ns() // 1000, "at_us": now_us, "since_previous_us": since_us}
        levels, counters = self._host.levels(), self._host.counters()
        rows = [
            self._row(place, moment, levels, counters, since_us) | (said(notice) if notice else {})
            for place, notice in enumerate(notices)
        ]
        self._before_us = now_us
        return rows

    def _row(
        self, place: int, moment: Mapping[str, Any], levels: Values, counters: Values, since_us: int | None
    ) -> Row:
        followed = self._followed[place]
        own_levels, own_counters = followed.process.read()
        counted = counters | own_counters
        rates = rates_between(self._before[place], counted, since_us)
        self._before[place] = counted
        row = {**moment, "slice": followed.slice, **levels, **own_levels, **counted, **rates}
        if followed.gpu is not None:
            row |= self._gpu(followed.gpu)
        return row

    def _gpu(self, uuid: str) -> Values:
        state = self._ask_gpu(uuid)
        if state.trouble:
            self.troubles.setdefault(uuid, state.trouble)
        return gpu_values(state.values)


def rates_between(before: Values, after: Values, since_us: int | None) -> Values:
    """The rates of the counters that were read both times."""
    if not since_us:
        return {}
    return {
        name: 1e6 * (after[of] - before[of]) / since_us for name, of in _RATES.items() if of in before and of in after
    }


def gpu_values(values: Mapping[str, float]) -> Values:
    """What NVML said, as features."""
    found = {f"gpu_{name}": float(value) for name, value in values.items() if name != "throttle_reasons"}
    if "throttle_reasons" in values:
        reasons = int(values["throttle_reasons"])
        found |= {f"gpu_throttle_{name}": float(bool(reasons & bit)) for name, (bit, _, _) in REASONS.items()}
    return found


def said(notice: Notice) -> Row:
    """What the process said of itself."""
    row: Row = {
        "phase": notice.phase.name.lower(),
        "mini_batch_size": notice.size,
        "nth_size": notice.nth_size,
        "steps": notice.steps,
        "phase_began_us": notice.began_us,
    }
    if notice.read_us is not None:
        row |= {"torch_read_us": notice.read_us, **allocator_features(notice.statistics)}
    return row

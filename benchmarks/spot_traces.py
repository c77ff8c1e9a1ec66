"""Traces of spot devices: how many there are over time, and how often one of them is taken away."""

import json
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

HOUR_S = 3600


@dataclass(frozen=True)
class Trace:
    """How many spot devices there were, at equal distances in time."""

    name: str
    gap_s: int
    counts: tuple[int, ...]

    @property
    def length_s(self) -> int:
        """How long it is."""
        return self.gap_s * len(self.counts)

    @property
    def devices(self) -> int:
        """The most devices that there were."""
        return max(self.counts)

    @property
    def available(self) -> float:
        """Return the share of the time in which there was a device."""
        return sum(count > 0 for count in self.counts) / len(self.counts)

    @property
    def losses_per_hour(self) -> float | None:
        """How often a device was taken away in an hour in which it was there; None if there never was one."""
        losses = sum(max(0, before - after) for before, after in pairwise(self.counts))
        hours = sum(self.counts) * self.gap_s / HOUR_S
        return losses / hours if hours else None

    @cached_property
    def changes_s(self) -> tuple[int, ...]:
        """When the number of devices changes."""
        numbered = enumerate(pairwise(self.counts), 1)
        return tuple(number * self.gap_s for number, (before, after) in numbered if before != after)

    def is_there(self, at_s: float) -> bool:
        """Return whether there is a device; there is none after the trace's end."""
        number = int(at_s // self.gap_s)
        return number < len(self.counts) and self.counts[number] > 0

    def next_change_s(self, after_s: float) -> float:
        """Return when the number of devices changes next, at the trace's end at the latest; then never."""
        at = bisect_right(self.changes_s, after_s)
        if at < len(self.changes_s):
            return self.changes_s[at]
        return self.length_s if after_s < self.length_s else float("inf")


def read_traces(folder: Path) -> list[Trace]:
    """Return the traces of a folder: JSON files with `metadata.gap_seconds`, and in `data` the number of devices."""
    traces = []
    for path in sorted(folder.rglob("*.json")):
        document = json.loads(path.read_text())
        name = "/".join(path.relative_to(folder).with_suffix("").parts)
        traces.append(Trace(name, document["metadata"]["gap_seconds"], tuple(document["data"])))
    return traces

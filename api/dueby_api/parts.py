"""Parts of a grid as runs of them: as small for 15 million parts as for ten.

Shares are runs, and workers commit their parts in order, so the parts that a sink holds are few runs however many they
are. What says that it is otherwise is made of at most MAX_RUNS.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Annotated

from dueby_api.schema import Meta, matching

Run = tuple[int, int]
"""The first part, and the one after the last."""
# Of one answer of a worker. A job has at most 20,000 workers, and each leaves about one; more would fill a memory.
MAX_RUNS = 25_000
# As text parts fit into a pod's last words, which hold 4,096 bytes, beside what else is said there.
MAX_TEXT = 2400
_RUN = "[0-9]{1,15}(-[0-9]{1,15})?"
PartsText = Annotated[str, Meta(max_length=MAX_TEXT), matching(f"^({_RUN}(,{_RUN})*)?$")]
"""Parts such as `0-11,40`: the first and the last part of each run."""


@dataclass(frozen=True)
class Parts:
    """Distinct parts, as ascending runs that don't touch each other. Make them with the functions below."""

    runs: tuple[Run, ...] = ()

    def __len__(self) -> int:
        return self._before[-1]

    def __iter__(self) -> Iterator[int]:
        return (part for first, end in self.runs for part in range(first, end))

    def __contains__(self, part: object) -> bool:
        place = bisect_right(self._firsts, part) - 1 if isinstance(part, int) else -1
        return place >= 0 and self.runs[place][0] <= part < self.runs[place][1]  # type: ignore[operator]  # it is an int

    def __getitem__(self, place: int) -> int:
        """Return the part at this place, in ascending order."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        run = bisect_right(self._before, place) - 1
        return self.runs[run][0] + place - self._before[run]

    def __or__(self, other: "Parts") -> "Parts":
        return parts_of_runs((*self.runs, *other.runs))

    def __sub__(self, other: "Parts") -> "Parts":
        return Parts(tuple(self._gaps(other.runs)))

    def _gaps(self, holes: tuple[Run, ...]) -> Iterator[Run]:
        """Yield what the holes leave of the runs; both ascend."""
        place = 0
        for first, end in self.runs:
            while first < end:
                while place < len(holes) and holes[place][1] <= first:
                    place += 1
                if place == len(holes) or holes[place][0] >= end:
                    yield first, end
                    break
                if holes[place][0] > first:
                    yield first, holes[place][0]
                first = holes[place][1]

    @cached_property
    def _firsts(self) -> tuple[int, ...]:
        return tuple(first for first, _ in self.runs)

    @cached_property
    def _before(self) -> tuple[int, ...]:
        """How many parts lie before each run, and in all."""
        return tuple(accumulate((end - first for first, end in self.runs), initial=0))


NONE = Parts()


def parts_of_runs(runs: Iterable[Run], *, of: int | None = None) -> Parts:
    """Return the parts that these runs hold, in any order, of the first `of` parts of a grid."""
    joined: list[Run] = []
    for first, last in sorted(runs):
        first, end = max(0, first), last if of is None else min(last, of)
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        elif first < end:
            joined.append((first, end))
    return Parts(tuple(joined))


def parts_of(numbers: Iterable[int]) -> Parts:
    """Return the parts of these numbers, of which there may be millions if most of them ascend."""
    return parts_of_runs(_joined(numbers))


def marked_parts(marks: bytes | bytearray, mark: int) -> Parts:
    """Return the parts whose byte is this one, which regular expressions take for nothing else."""
    return Parts(tuple(run.span() for run in re.finditer(b"%c+" % mark, marks)))


def _joined(numbers: Iterable[int]) -> Iterator[Run]:
    """Yield the numbers that follow one another as runs, in the order in which they are given."""
    first = end = -1
    for number in numbers:
        if number != end:
            if first != end:
                yield first, end
            first = number
        end = number + 1
    if first != end:
        yield first, end


def all_parts(parts: int) -> Parts:
    """Return every part of a grid of so many."""
    return parts_of_runs([(0, parts)])


def text_of_parts(parts: Parts) -> str:
    """Return the parts as text. Of more runs than there is room for, the longest are in it."""
    kept: list[Run] = []
    room = MAX_TEXT
    for run in sorted(parts.runs, key=lambda run: run[0] - run[1]):
        room -= len(_text_of_run(run)) + 1
        if room < 0:
            break
        kept.append(run)
    return ",".join(map(_text_of_run, sorted(kept)))


def parts_of_text(text: str, *, of: int) -> Parts:
    """Return the parts that the text names of a grid of so many. It is a PartsText."""
    runs = (run.partition("-") for run in text.split(",") if run)
    return parts_of_runs(((int(first), int(last or first) + 1) for first, _, last in runs), of=of)


def _text_of_run(run: Run) -> str:
    first, end = run
    return f"{first}-{end - 1}" if end - first > 1 else f"{first}"

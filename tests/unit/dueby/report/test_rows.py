"""The result rows that a report shows: photos from all over the index, and the images that failed."""

from dataclasses import replace
from pathlib import Path

import pytest

from dueby.report.parts import Part, find_parts, read_classified, read_failed, spread
from support.report import write_sink
from support.simulation import SampleRun


def test_photos_are_spread_evenly_over_the_rows_that_are_there() -> None:
    parts = [Part(name=str(first), first=first, last=first + 99) for first in (0, 100, 500)]
    chosen = spread(parts, 6)
    assert {part.first: indices for part, indices in chosen.items()} == {0: [25, 75], 100: [125, 175], 500: [525, 575]}


@pytest.mark.parametrize(("images", "count"), [(0, 24), (1, 24), (7, 24), (25, 24)])
def test_few_rows_give_few_photos_each_once(images: int, count: int) -> None:
    parts = [Part(name="p", first=0, last=images - 1)] if images else []
    indices = [index for indices in spread(parts, count).values() for index in indices]
    assert len(set(indices)) == len(indices) == min(images, count)


def test_rows_without_a_result_are_listed_and_not_shown(small: SampleRun, tmp_path: Path) -> None:
    sink = write_sink(tmp_path, replace(small, failed={0: "empty", 300: "bomb", 301: "bomb", 3999: "gone"}))
    parts = find_parts(path.name for path in sink.iterdir())

    def read(name: str) -> bytes:
        return (sink / name).read_bytes()

    assert [(row.index, row.error) for row in read_failed(parts, read, most=3)] == [
        (0, "empty"),
        (300, "bomb"),
        (301, "bomb"),
    ]
    shown = [row.index for row in read_classified(parts, read, count=4000)]
    assert len(shown) == len(set(shown)) == 3996
    assert shown == sorted(shown)
    assert not {0, 300, 301, 3999} & set(shown)

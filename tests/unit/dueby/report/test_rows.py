"""The result rows that a report shows: photos from all over the index, and the images that failed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dueby.report.parts import Classified, Part, find_parts, read_classified, read_failed, read_replaced, spread
from dueby.report.photos import Photo
from dueby.report.sections.results import contact_sheet
from dueby_api.errors import Invalid
from dueby_worker.output.rows import Origin, Rows, encode_rows
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
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
    parts, store = find_parts(path.name for path in sink.iterdir()), open_store(str(sink))
    assert [(row.index, row.error) for row in read_failed(parts, store, most=3)] == [
        (0, "empty"),
        (300, "bomb"),
        (301, "bomb"),
    ]
    shown = [row.index for row in read_classified(parts, store, count=4000)]
    assert len(shown) == len(set(shown)) == 3996
    assert shown == sorted(shown)
    assert not {0, 300, 301, 3999} & set(shown)


ORIGIN = Origin(engine="eager", precision="fp32", device_class="cpu-1", fingerprint="f" * 64)
PARTS = [Part(name="a", first=0, last=2), Part(name="b", first=3, last=5)]


def sink_of(folder: Path, columns: dict[str, np.ndarray]) -> Store:
    """Write two parts of three images, of which the second has failed."""
    sink = open_store(str(folder), field="SINK")
    for part in PARTS:
        rows = Rows(first=part.first, uris=list("xyz"), columns=columns, errors={1: "damaged"})
        origin = replace(ORIGIN, engine=part.name)
        sink.create(part.name, encode_rows(rows, labels=("cat", "dog", "owl"), origin=origin))
    return sink


def test_of_embeddings_it_is_said_how_many_values_they_have(tmp_path: Path) -> None:
    sink = sink_of(tmp_path, {"embedding": np.ones((3, 8), dtype=np.float16)})
    shown = read_classified(PARTS, sink, count=4)
    assert shown == tuple(Classified(index=n, uri=uri, values=8) for n, uri in ((0, "x"), (2, "z"), (3, "x"), (5, "z")))
    (entry, *_) = contact_sheet(tuple(Photo(row=row, picture=None) for row in shown))
    assert (entry.values, entry.title) == (8, "x")


def test_of_an_image_whose_file_has_changed_the_newest_row_is_shown(tmp_path: Path) -> None:
    sink = sink_of(tmp_path, {"embedding": np.ones((3, 8), dtype=np.float16)})
    names = ("part-000000000006-000000000008.g0002.parquet", "part-000000000009-000000000011.g0003.parquet")
    for first, name, replaces in ((6, names[0], [4, None, 1]), (9, names[1], [None, 6, None])):
        from_source = {"replaces": pa.array(replaces, pa.int64())}
        columns = {"embedding": np.ones((3, 8), dtype=np.float16)}
        rows = Rows(first=first, uris=list("xyz"), columns=columns, errors={}, from_source=from_source)
        sink.create(name, encode_rows(rows, labels=(), origin=ORIGIN))
    parts = [*PARTS, *find_parts(names)]
    replaced = read_replaced(parts, sink)
    assert replaced.to_pylist() == [4, 1, 6]
    assert read_failed(parts, sink, most=9, replaced=replaced) == ()
    shown = read_classified(parts, sink, count=12, replaced=replaced)
    assert [row.index for row in shown] == [0, 2, 3, 5, 7, 8, 9, 10, 11]


def test_of_probabilities_the_best_are_shown(tmp_path: Path) -> None:
    sink = sink_of(tmp_path, {"probabilities": np.tile(np.array([0.2, 0.1, 0.7], dtype=np.float32), (3, 1))})
    first = read_classified(PARTS, sink, count=4)[0]
    assert first.labels == ("owl", "cat", "dog")
    assert first.scores == pytest.approx((0.7, 0.2, 0.1))


@pytest.mark.parametrize("data", [b"", b"x\n"], ids=["empty", "cut off"])
@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda sink: read_classified(PARTS, sink, count=4), id="photos"),
        pytest.param(lambda sink: read_failed(PARTS, sink, most=9), id="errors"),
    ],
)
def test_a_part_that_is_damaged_is_named(tmp_path: Path, read: Callable[[Store], object], data: bytes) -> None:
    sink = sink_of(tmp_path, {"embedding": np.ones((3, 8), dtype=np.float16)})
    sink.replace("b", data)
    with pytest.raises(Invalid, match=r"^SINK: file://.*/b is damaged \(.*; delete it and run the job again; in a"):
        read(sink)

"""The end of a part is enough to count its rows."""

import io
from pathlib import Path

import numpy as np
import pytest

from dueby_worker.output.damaged_parts import read_end_of_part
from dueby_worker.output.rows import Rows, encode_rows, read_footer
from dueby_worker.storage.local_store import LocalStore
from support.index import HURRIED
from support.worker import ORIGIN


class WithoutWholeObjects(LocalStore):
    """A store from which only ends are read."""

    def _read(self, path: str, *, max_bytes: int | None) -> bytes:
        raise AssertionError(f"all of {path} is read")


def a_part(*, rows: int, classes: int) -> bytes:
    probabilities = np.random.default_rng(1).random((rows, classes), dtype=np.float32)
    uris = [f"file:///{number}.jpg" for number in range(rows)]
    part = Rows(first=40, uris=uris, columns={"probabilities": probabilities}, errors={1: "It is truncated."})
    return encode_rows(part, labels=[f"class {number}" for number in range(classes)], origin=ORIGIN)


@pytest.mark.parametrize(
    ("rows", "classes"),
    [
        pytest.param(2, 10, id="a file that is shorter than what is read"),
        pytest.param(400, 100, id="a longer one"),
        pytest.param(2, 20_000, id="a footer that is longer, with the labels of many classes"),
    ],
)
def test_a_part_is_counted_by_its_end(tmp_path: Path, rows: int, classes: int) -> None:
    data = a_part(rows=rows, classes=classes)
    (tmp_path / "part").write_bytes(data)
    store = WithoutWholeObjects(str(tmp_path), field="spec.sink.uri", retry=HURRIED)
    found = read_end_of_part(store, "part", lambda end: read_footer(io.BytesIO(end)))
    assert found == read_footer(io.BytesIO(data))
    assert (found.first, found.rows, found.errors) == (40, rows, 1)

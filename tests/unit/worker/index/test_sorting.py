"""Sorting on disk gives what sorting in memory would."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_worker.index.sorting import sort_externally


@given(st.lists(st.text("abc/é\n\U0001f408", max_size=4), max_size=60), st.integers(1, 7), st.integers(2, 4))
def test_sorting_in_pieces_is_sorting(
    tmp_path_factory: pytest.TempPathFactory, uris: list[str], chunk: int, fan_in: int
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    assert list(sort_externally(uris, folder=folder, chunk=chunk, fan_in=fan_in)) == sorted(uris)


def test_a_source_that_is_in_order_makes_one_run(tmp_path: Path) -> None:
    uris = [f"{number:04d}" for number in range(1000)]
    assert list(sort_externally(uris, folder=tmp_path, chunk=10)) == uris
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_merged_already_is_rarely_merged_again(tmp_path: Path) -> None:
    uris = [f"{number:04d}" for number in reversed(range(200))]
    assert list(sort_externally(uris, folder=tmp_path, chunk=1, fan_in=20)) == sorted(uris)
    lengths = [path.read_text().count("\0") for path in tmp_path.iterdir()]
    assert len(lengths) <= 20
    assert max(lengths) < 50

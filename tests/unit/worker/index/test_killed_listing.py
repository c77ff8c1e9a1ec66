"""A listing that a killed process has begun is gone on with, and gives the same index."""

from pathlib import Path

import pytest

from dueby_api.source import Source
from dueby_worker.index.freeze import freeze
from dueby_worker.storage.kept_answers import FOLDER, KeptAnswers, delete_answers
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from support.index import HURRIED, build
from support.tars import jpeg, tar_of, write_shards


@pytest.fixture
def sink(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "in"


def frozen_bytes(folder: Path, sink: Store, scratch: Path, *, file_bytes: int = 1) -> tuple[list[bytes], KeptAnswers]:
    """Freeze the tars as a process of its own would; return the index's files."""
    scratch.mkdir()
    answers = KeptAnswers(sink, scratch, owner=None, file_bytes=file_bytes)
    frozen = freeze(Source(uri=f"{folder}/*.tar"), scratch, None, lambda stage, count: None, HURRIED, answers=answers)
    return [frozen.chunk(number).read_bytes() for number in range(frozen.chunks)], answers


@pytest.mark.parametrize("kept", range(5))
def test_tars_that_were_listed_before_a_kill_are_not_read_again(
    tmp_path: Path, folder: Path, sink: Store, kept: int
) -> None:
    write_shards(folder, 5, images=6)
    wanted, answers = frozen_bytes(folder, sink, tmp_path / "1")
    assert len(sink.list_names(FOLDER)) == 5
    # What a process leaves that was killed between two of its writes.
    for name in sink.list_names(FOLDER)[kept:]:
        sink.delete(f"{FOLDER}/{name}")
    frozen, answers = frozen_bytes(folder, sink, tmp_path / "2")
    assert frozen == wanted
    assert len(sink.list_names(FOLDER)) == 5
    answers.delete()
    assert sink.list_names(FOLDER) == []


def test_a_tar_that_was_written_again_since_the_kill_is_read_again(tmp_path: Path, folder: Path, sink: Store) -> None:
    write_shards(folder, 2, images=6)
    frozen_bytes(folder, sink, tmp_path / "1")
    (folder / "001.tar").write_bytes(tar_of([("new.jpg", jpeg(1))]))
    frozen, _ = frozen_bytes(folder, sink, tmp_path / "2")
    delete_answers(sink)
    wanted, _ = frozen_bytes(folder, sink, tmp_path / "3")
    assert frozen == wanted


def test_tars_whose_columns_are_kept_are_read_again(tmp_path: Path, folder: Path, sink: Store) -> None:
    write_shards(folder, 2, images=6)
    build(Source(uri=f"{folder}/*.tar", keep=("cls",)), sink)
    assert sink.list_names(FOLDER) == []


def test_an_index_leaves_nothing_of_its_listing(folder: Path, sink: Store) -> None:
    write_shards(folder, 2, images=6)
    sink.create(f"{FOLDER}/0123", b"of a process that was killed")
    build(Source(uri=f"{folder}/*.tar"), sink)
    assert sink.list_names(FOLDER) == []

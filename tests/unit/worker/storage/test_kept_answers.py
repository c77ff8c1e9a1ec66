"""What a listing was answered is in the sink for the process that comes after one that was killed."""

import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.errors import Invalid, Transient
from dueby_worker.storage.kept_answers import FOLDER, KeptAnswers, delete_answers
from dueby_worker.storage.local_store import LocalStore
from dueby_worker.storage.store import NotPermitted, Store
from dueby_worker.storage.stores import open_store
from support.index import HURRIED

ANSWERS = {f"question {number}": f"answer {number} \ud800" * 10 for number in range(10, 30)}


@pytest.fixture
def sink(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


@pytest.fixture
def scratches(tmp_path: Path) -> Iterator[Path]:
    return (make_folder(tmp_path / f"scratch-{number}") for number in range(100))


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


def keep_all(sink: Store, scratch: Path, *, file_bytes: int) -> None:
    answers = KeptAnswers(sink, scratch, owner=None, file_bytes=file_bytes)
    for question, answer in ANSWERS.items():
        answers.keep(question, answer)


@pytest.mark.parametrize(
    ("file_bytes", "files", "found"),
    [
        pytest.param(1, 20, 20, id="a file each"),
        pytest.param(500, 4, 20, id="some in a file"),
        pytest.param(700, 3, 18, id="what doesn't fill a file is lost with its process"),
        pytest.param(10_000, 0, 0, id="of a short listing nothing is kept"),
    ],
)
def test_the_next_process_finds_what_was_kept(
    sink: Store, scratches: Iterator[Path], file_bytes: int, files: int, found: int
) -> None:
    keep_all(sink, next(scratches), file_bytes=file_bytes)
    assert len(sink.list_names(FOLDER)) == files
    answers = KeptAnswers(sink, next(scratches), owner=None)
    assert {question: answers.find(question) for question in list(ANSWERS)[:found]} == dict(
        list(ANSWERS.items())[:found]
    )
    assert [answers.find(question) for question in list(ANSWERS)[found:]] == [None] * (20 - found)
    answers.delete()
    assert sink.list_names(FOLDER) == []


@given(st.integers(0, 3), st.integers(0, 99), st.sampled_from(("cut off", "a byte", "no answers", "deep", "empty")))
def test_a_damaged_file_costs_its_own_answers_alone(
    tmp_path_factory: pytest.TempPathFactory, number: int, percent: int, damage: str
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    sink = open_store(str(folder / "sink"))
    keep_all(sink, make_folder(folder / "1"), file_bytes=500)
    path = f"{FOLDER}/{sink.list_names(FOLDER)[number]}"
    whole = sink.read(path)
    at = len(whole) * percent // 100
    damaged = {
        "cut off": whole[:at],
        "a byte": whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :],
        "no answers": zlib.compress(b'["question", 7]'),
        "deep": zlib.compress(b"[" * 200_000),
        "empty": b"",
    }
    sink.replace(path, damaged[damage])
    answers = KeptAnswers(sink, make_folder(folder / "2"), owner=None)
    found = {question: answer for question in ANSWERS if (answer := answers.find(question)) is not None}
    assert found.items() <= ANSWERS.items()
    assert len(found) >= 15


def test_who_is_told_to_forget_asks_again(sink: Store, scratches: Iterator[Path]) -> None:
    keep_all(sink, next(scratches), file_bytes=500)
    answers = KeptAnswers(sink, next(scratches), owner=None)
    assert answers.forget()
    assert answers.find("question 10") is None
    assert sink.list_names(FOLDER) == []
    assert not answers.forget()


@pytest.mark.parametrize(
    ("error", "files"),
    [
        pytest.param(None, 0, id="it is done"),
        pytest.param(Invalid("spec.source.uri", "has no images"), 0, id="it is refused"),
        pytest.param(Transient("the store is away"), 4, id="it is tried again"),
        pytest.param(KeyboardInterrupt(), 4, id="it is ended"),
    ],
)
def test_answers_stay_where_a_step_is_tried_again(
    sink: Store, scratches: Iterator[Path], error: BaseException | None, files: int
) -> None:
    keep_all(sink, next(scratches), file_bytes=500)
    with pytest.raises(type(error)) if error else nullcontext(), KeptAnswers(sink, next(scratches), owner=None):
        if error:
            raise error
    assert len(sink.list_names(FOLDER)) == files


def test_two_processes_at_the_same_time_keep_beside_each_other(sink: Store, scratches: Iterator[Path]) -> None:
    keep_all(sink, next(scratches), file_bytes=500)
    keep_all(sink, next(scratches), file_bytes=300)
    answers = KeptAnswers(sink, next(scratches), owner=None)
    assert {question: answers.find(question) for question in ANSWERS} == ANSWERS


def test_where_nothing_may_be_deleted_the_answers_stay(tmp_path: Path, scratches: Iterator[Path]) -> None:
    class Undeletable(LocalStore):
        def _delete(self, path: str) -> None:
            raise NotPermitted(f"{path} can't be deleted")

    sink = Undeletable(str(tmp_path / "sink"), field="spec.sink.uri", retry=HURRIED)
    keep_all(sink, next(scratches), file_bytes=500)
    delete_answers(sink)
    assert len(sink.list_names(FOLDER)) == 4

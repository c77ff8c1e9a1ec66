"""What can't be kept of a source is refused, with the row and the column."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from dueby_api.errors import Invalid
from dueby_api.source import Lance, ListedSource, Parquet, Source
from support.index import write_files
from support.kept import frozen, written
from support.tars import tar_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def parquet_of(folder: Path, **columns: Any) -> Source:
    pq.write_table(pa.table({"image": [b"x", b"y"], **columns}), folder / "1.parquet")
    return Source(parquet=Parquet(uri=str(folder)))


def tar_with(folder: Path, *members: tuple[str, bytes]) -> Source:
    (folder / "1.tar").write_bytes(tar_of(members))
    return Source(uri=f"{folder}/1.tar")


def csv_of(folder: Path, text: str) -> Source:
    (folder / "list.csv").write_text(text)
    return Source(manifest=ListedSource(uri=f"{folder}/list.csv"))


def json_of(folder: Path, *values: Any) -> Source:
    return written([{"uri": f"{number}.jpg", "x": value} for number, value in enumerate(values)], folder, "jsonl")


def photos_in(folder: Path) -> Source:
    write_files(folder, "a.jpg", data=b"x")
    return Source(uri=str(folder))


def text_list(folder: Path) -> Source:
    (folder / "list").write_text("a.jpg\n")
    return Source(manifest=ListedSource(uri=f"{folder}/list"))


def lance_of(folder: Path, **columns: Any) -> Source:
    lance.write_dataset(pa.table({"image": [b"x"], **columns}), folder / "a.lance")
    return Source(lance=Lance(uri=f"{folder}/a.lance"))


def two_types(folder: Path) -> Source:
    pq.write_table(pa.table({"image": [b"x"], "x": ["a"]}), folder / "0.parquet")
    return parquet_of(folder, x=[1, 2])


LONG = "é" * 2049


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        pytest.param(photos_in, r"keep: file:.* has no columns; leave it out", id="a folder"),
        pytest.param(text_list, r"keep: no image has `x`; there are uri", id="a text"),
        pytest.param(lambda at: csv_of(at, "uri,y\n"), r"keep: the list has no column `x`; there are uri, y", id="CSV"),
        pytest.param(
            lambda at: csv_of(at, "uri,x,x\n"), r"keep: the list has several columns `x`; there", id="CSV with two"
        ),
        pytest.param(
            lambda at: csv_of(at, f"uri,x\na.jpg,1\nb.jpg,{LONG}\n"),
            r"line 3: the kept values have 4,098 bytes, more than the limit of 4,096; leave `x` out",
            id="CSV with a long text",
        ),
        pytest.param(lambda at: json_of(at, [1]), r"line 1: `x` is a list; texts, numbers", id="JSON with a list"),
        pytest.param(lambda at: json_of(at, 1, {}), r"line 2: `x` is a mapping; texts", id="JSON with a mapping"),
        pytest.param(
            lambda at: json_of(at, True, 1),
            r"`x` is 1 for file:.*/1.jpg, and was of type bool for an image before; write it with one type",
            id="JSON of two types",
        ),
        pytest.param(
            lambda at: parquet_of(at, y=[1, 2]),
            r"1.parquet: has no column `x`; there are image \(binary\), y \(int64\)",
            id="Parquet without it",
        ),
        pytest.param(
            lambda at: parquet_of(at, x=[[1], [2]]),
            r"1.parquet: has a column `x` of list<.*>; texts, numbers, true or false, dates and times can be kept",
            id="Parquet with lists",
        ),
        pytest.param(
            lambda at: parquet_of(at, x=["a", LONG]), r"1.parquet: row 1: the kept values have", id="Parquet, long"
        ),
        pytest.param(
            two_types, r"1.parquet: has the column `x` of int64, and file:.*0.parquet has it of string", id="two types"
        ),
        pytest.param(lambda at: lance_of(at, y=[1]), r"a.lance: has no column `x`; there are image", id="Lance"),
        pytest.param(lambda at: lance_of(at, x=[LONG]), r"a.lance: row 0: the kept values have", id="Lance, long"),
        pytest.param(
            lambda at: lance_of(at, x=[b"x"]), r"a.lance: has a column `x` of binary; texts", id="Lance with bytes"
        ),
        pytest.param(
            lambda at: tar_with(at, ("a.jpg", b"x"), ("a.cls", b"1")), r"keep: no image has `x`; there are", id="a tar"
        ),
        pytest.param(
            lambda at: tar_with(at, ("a.jpg", b"x"), ("a.json", b"{")),
            r"1.tar: 'a.json' in it is not JSON",
            id="no JSON",
        ),
        pytest.param(
            lambda at: tar_with(at, ("a.jpg", b"x"), ("a.x", b"\xff")), r"'a.x' in it is not UTF-8 text", id="no text"
        ),
        pytest.param(
            lambda at: tar_with(at, ("a.jpg", b"x"), ("a.x", LONG.encode())),
            r"1.tar: 'a.jpg': the kept values have 4,098 bytes",
            id="a tar with a long text",
        ),
        pytest.param(
            lambda at: tar_with(at, ("a.jpg", b"x"), ("a.json", b" " * 65_537)),
            r"1.tar: 'a.json' in it has more than 65,536 bytes",
            id="a tar with long JSON",
        ),
    ],
)
def test_what_cant_be_kept_is_refused(
    tmp_path: Path, folder: Path, make: Callable[[Path], Source], sentence: str
) -> None:
    with pytest.raises(Invalid, match=sentence) as caught:
        frozen(make(folder).replace(keep=("x",)), tmp_path / "scratch")
    assert caught.value.field.startswith("spec.source.")
    assert "\n" not in str(caught.value)

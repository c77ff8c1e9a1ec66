"""What the images of each kind of source are called."""

from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from dueby_api.source import Lance, Parquet, Source
from support.index import write_files
from support.kept import described
from support.tars import tar_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        pytest.param("", ["a b#1.jpg", "sub/é.jpg", "sub/ü%20.jpg"], id="a folder"),
        pytest.param("/", ["a b#1.jpg", "sub/é.jpg", "sub/ü%20.jpg"], id="a folder with a slash"),
        pytest.param("/**/*.jpg", ["a b#1.jpg", "sub/é.jpg", "sub/ü%20.jpg"], id="a deep glob"),
        pytest.param("/s?b/*.jpg", ["sub/é.jpg", "sub/ü%20.jpg"], id="a glob of folders"),
        pytest.param("/sub/*.jpg", ["é.jpg", "ü%20.jpg"], id="a glob in a folder"),
        pytest.param("/sub/é.jpg", ["é.jpg"], id="one file"),
    ],
)
def test_a_file_is_called_by_its_path_below_the_folder(
    tmp_path: Path, folder: Path, uri: str, names: list[str]
) -> None:
    write_files(folder, "sub/é.jpg", "sub/ü%20.jpg", "a b#1.jpg", data=b"x")
    assert described(Source(uri=f"{folder}{uri}"), tmp_path) == {"name": names}


def test_a_folder_whose_name_is_a_glob_and_a_name_that_is_no_text(tmp_path: Path, folder: Path) -> None:
    write_files(folder / "[x]", "a.jpg", data=b"x")
    (folder / "[x]" / "b\udcff.jpg").write_bytes(b"x")
    assert described(Source(uri=f"{folder}/[x]"), tmp_path) == {"name": ["a.jpg", "b%FF.jpg"]}


def test_a_member_of_a_tar_is_called_by_its_name(tmp_path: Path, folder: Path) -> None:
    (folder / "1.tar").write_bytes(tar_of([("cats/a#1 ü.jpg", b"x"), ("b.jpg", b"x")], kind="pax"))
    assert described(Source(uri=f"{folder}/*.tar"), tmp_path) == {"name": ["cats/a#1 ü.jpg", "b.jpg"]}


@pytest.mark.parametrize(
    ("name", "names"),
    [
        pytest.param(None, ["a/1.parquet#0", "a/1.parquet#1"], id="by the row"),
        pytest.param("key", ["k#1", "k 2"], id="by a column"),
        pytest.param("number", ["7", "-8"], id="by a column of numbers"),
    ],
)
def test_a_row_of_parquet_is_called_by_its_column_or_file(
    tmp_path: Path, folder: Path, name: str | None, names: list[str]
) -> None:
    (folder / "a").mkdir()
    pq.write_table(pa.table({"image": [b"x", b"y"], "key": ["k#1", "k 2"], "number": [7, -8]}), folder / "a/1.parquet")
    assert described(Source(parquet=Parquet(uri=str(folder), name=name)), tmp_path) == {"name": names}


@pytest.mark.parametrize(("name", "names"), [(None, ["0", "1"]), ("key", ["k#1", "k 2"])])
def test_a_row_of_lance_is_called_by_its_column_or_number(
    tmp_path: Path, folder: Path, name: str | None, names: list[str]
) -> None:
    lance.write_dataset(pa.table({"image": [b"x", b"y"], "key": ["k#1", "k 2"]}), folder / "a.lance")
    assert described(Source(lance=Lance(uri=f"{folder}/a.lance", name=name)), tmp_path) == {"name": names}

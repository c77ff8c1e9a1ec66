"""What can't be an index in Lance datasets: refused by name, with what there is and what to do."""

import datetime
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pytest

from dueby_api.errors import Invalid
from dueby_api.source import Lance
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import file_uri
from support.index import build
from support.lances import append, data_files, delete, source_of, table_of, write_lance
from support.tars import jpeg

GOOD = [jpeg(number) for number in range(25)]


@pytest.fixture
def sink(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "in" / "photos.lance"


def emptied(path: Path) -> None:
    write_lance(path, table_of(GOOD))
    delete(path, "true")


def folder(path: Path) -> None:
    (path / "data").mkdir(parents=True)


def file(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(GOOD[0])


def cut(path: Path) -> None:
    write_lance(path, table_of(GOOD))
    (manifest,) = (path / "_versions").glob("*.manifest")
    manifest.write_bytes(manifest.read_bytes()[:50])


def without_data(path: Path) -> None:
    write_lance(path, table_of(GOOD))
    for data in data_files(path):
        data.unlink()


def cloned(path: Path) -> None:
    write_lance(path.parent / "original.lance", table_of(GOOD)).shallow_clone(str(path), 1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        pytest.param(lambda path: None, "is no Lance dataset: there is no folder _versions in it", id="nothing"),
        pytest.param(folder, "is no Lance dataset: there is no folder _versions in it", id="another folder"),
        pytest.param(file, "is no Lance dataset: there is no folder _versions in it", id="a file"),
        pytest.param(cut, "file size is too small", id="a cut manifest"),
        pytest.param(without_data, "[Nn]ot found", id="without its data"),
        pytest.param(cloned, "has files in other places, as a shallow clone has; name the original", id="a clone"),
        pytest.param(emptied, "there are no images: .*photos.lance has no rows", id="without rows"),
    ],
)
def test_what_is_no_whole_dataset_is_refused(
    path: Path, sink: Store, make: Callable[[Path], None], sentence: str
) -> None:
    make(path)
    with pytest.raises(Invalid, match=sentence) as caught:
        build(source_of(path), sink)
    assert caught.value.field == "spec.source.lance.uri"
    assert "photos.lance" in str(caught.value)


SHOWN = r"there are key \(string\), image \(binary\), label \(int64\). Say which one in source.lance"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        pytest.param({"column": "photo"}, rf"photos.lance: has no column `photo`; {SHOWN}.column", id="no such column"),
        pytest.param({"column": "image.bytes"}, "has no column `image.bytes`", id="no such field"),
        pytest.param({"column": "label"}, "has a column `label` of int64; images are binary", id="numbers"),
        pytest.param({"column": "key"}, "has a column `key` of string; images are binary, a blob", id="texts"),
        pytest.param({"name": "path"}, rf"has no column `path`; {SHOWN}.name", id="no such names"),
        pytest.param({"name": "image"}, "has a column `image` of binary; names are texts or", id="images as names"),
        pytest.param({"version": 7}, "has no version 7, or no longer; leave out source.lance.version", id="no version"),
    ],
)
def test_a_wrong_column_or_version_is_refused(path: Path, sink: Store, fields: dict[str, Any], sentence: str) -> None:
    write_lance(path, table_of(GOOD))
    with pytest.raises(Invalid, match=sentence) as caught:
        build(source_of(path, **fields), sink)
    assert caught.value.field == "spec.source.lance.uri"


def test_a_version_that_was_cleaned_up_is_refused(path: Path, sink: Store) -> None:
    write_lance(path, table_of(GOOD))
    append(path, table_of(GOOD))
    lance.dataset(path).cleanup_old_versions(older_than=datetime.timedelta(0), delete_unverified=True)
    with pytest.raises(Invalid, match="has no version 1, or no longer"):
        build(source_of(path, version=1), sink)


def test_a_blob_that_is_elsewhere_is_refused(path: Path, sink: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(GOOD[0])
    table = pa.table({"image": lance.blob_array([GOOD[1], lance.Blob.from_uri(file_uri(str(secret)))])})
    write_lance(path, table, data_storage_version="2.2", allow_external_blob_outside_bases=True)
    with pytest.raises(
        Invalid, match=r"has a blob in row 1 of its column `image` whose bytes are elsewhere \(file:///"
    ):
        build(source_of(path), sink)


def test_without_the_library_the_source_is_refused_with_what_to_install(
    path: Path, sink: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lance(path, table_of(GOOD))
    monkeypatch.setitem(sys.modules, "lance", None)
    with pytest.raises(Invalid, match=r"need pylance: pip install 'dueby\[lance\]', in the worker's image too"):
        build(source_of(path), sink)


@pytest.mark.parametrize("scheme", ["gs", "az", "http", "HTTPS"])
def test_where_the_library_would_need_other_credentials_it_isnt_asked(scheme: str) -> None:
    with pytest.raises(ValueError, match="uri: Lance datasets are read at file and s3; copy this one there"):
        Lance(uri=f"{scheme}://photos/photos.lance")

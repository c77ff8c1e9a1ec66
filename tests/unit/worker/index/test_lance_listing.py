"""Images in Lance datasets as a source: the rows of one version in their order, and what is refused."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest

from dueby_api.errors import Invalid
from dueby_worker.images.decode import decode_image
from dueby_worker.images.lance_rows import LanceRow
from dueby_worker.index.frozen_index import Index
from dueby_worker.index.kept import KeptColumns
from dueby_worker.index.lance_listing import list_lance
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import file_uri
from support.index import HURRIED, build, index_of, read
from support.lances import (
    FORMATS,
    append,
    blobs_of,
    delete,
    place,
    source_of,
    struct_of,
    table_of,
    write_lance,
)
from support.parquets import large
from support.pictures import SMALL
from support.tars import jpeg

GOOD = [jpeg(number) for number in range(25)]


@pytest.fixture
def sink(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "in" / "photos.lance"


def labels_of(index: Index, path: Path) -> list[str]:
    return [uri.removeprefix(f"{file_uri(str(path))}#") for uri in index.uris(0, index.images - 1)]


def require_photos(index: Index, photos: list[bytes]) -> None:
    """Each image of the index is this photo."""
    images = list(read(index))
    assert [image.index for image in images] == list(range(len(photos)))
    for image, photo in zip(images, photos, strict=True):
        assert image.pixels is not None, image.error
        assert np.array_equal(image.pixels, decode_image(photo, SMALL).pixels)


@pytest.mark.parametrize("version", FORMATS)
def test_rows_come_in_the_order_of_the_dataset_in_every_format(path: Path, sink: Store, version: str) -> None:
    write_lance(path, table_of(GOOD), data_storage_version=version)
    index = index_of(source_of(path), sink)
    assert labels_of(index, path) == [str(row) for row in range(25)]
    require_photos(index, GOOD)


@pytest.mark.parametrize("version", FORMATS)
def test_structs_are_read_in_every_format(path: Path, sink: Store, version: str) -> None:
    write_lance(path, struct_of(GOOD), data_storage_version=version)
    index = index_of(source_of(path, name="image.path"), sink)
    assert labels_of(index, path) == [f"{row:05d}.jpg" for row in range(25)]
    require_photos(index, GOOD)


@pytest.mark.parametrize(
    ("table", "fields"),
    [
        pytest.param(struct_of(GOOD), {}, id="as Hugging Face's datasets have them"),
        pytest.param(struct_of(GOOD), {"column": "image.bytes"}, id="a field of a struct"),
        pytest.param(table_of(GOOD).rename_columns(["k", "A Photo", "l"]), {"column": "A Photo"}, id="another name"),
        pytest.param(pa.table({"image": pa.array(GOOD, pa.large_binary())}), {}, id="large binary"),
        pytest.param(blobs_of(GOOD, generation=1), {}, id="blobs as they were marked first"),
        pytest.param(blobs_of(GOOD, generation=2), {}, id="blobs as they are marked now"),
    ],
)
def test_a_column_may_be_binary_a_struct_or_one_of_blobs(
    path: Path, sink: Store, table: pa.Table, fields: dict[str, Any]
) -> None:
    # Only from 2.2 on may blobs be marked as they are now.
    write_lance(path, table, data_storage_version="2.2" if "extension" in str(table.schema) else "2.1")
    require_photos(index_of(source_of(path, **fields), sink), GOOD)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        pytest.param("key", [f"k{row:05d}" for row in range(25)], id="texts"),
        pytest.param("label", [str(row) for row in range(25)], id="numbers"),
    ],
)
def test_a_column_may_name_the_images(path: Path, sink: Store, name: str, labels: list[str]) -> None:
    write_lance(path, table_of(GOOD))
    index = index_of(source_of(path, name=name), sink)
    assert labels_of(index, path) == labels
    require_photos(index, GOOD)


def test_names_may_lie_in_a_struct_and_are_escaped(path: Path, sink: Store) -> None:
    write_lance(path, struct_of(GOOD[:3], paths=["caf\u00e9 #1.jpg", "a\nb", "../up.jpg"]))
    index = index_of(source_of(path, name="image.path"), sink)
    assert labels_of(index, path) == ["caf%C3%A9%20%231.jpg", "a%0Ab", "../up.jpg"]
    require_photos(index, GOOD[:3])


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        pytest.param(
            ["x", "a b", "a", "b", "a b"],
            "has the name 'a b' twice in its column `image.path`, in rows 1 and 4; .* or leave out source.lance.name",
            id="a name twice",
        ),
        pytest.param(["a", None], "has no name in its column `image.path` in row 1; leave out", id="no name"),
        pytest.param(["", "b"], "has no name in its column `image.path` in row 0; leave out", id="an empty name"),
    ],
)
def test_names_that_tell_no_images_apart_are_refused(
    path: Path, sink: Store, names: list[str | None], sentence: str
) -> None:
    write_lance(path, struct_of(GOOD[: len(names)], paths=names))
    with pytest.raises(Invalid, match=sentence):
        build(source_of(path, name="image.path"), sink)


@pytest.mark.parametrize("at_a_time", [65_536, 7])
def test_deleted_rows_dont_count_and_names_follow_the_rows(
    path: Path, sink: Store, monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    monkeypatch.setattr("dueby_worker.storage.lance_datasets._SCAN_ROWS", at_a_time)
    write_lance(path, table_of(GOOD))
    delete(path, "key in ('k00000', 'k00007', 'k00024')")
    left = [row for row in range(25) if row not in (0, 7, 24)]
    index = index_of(source_of(path, name="key"), sink)
    assert labels_of(index, path) == [f"k{row:05d}" for row in left]
    require_photos(index, [GOOD[row] for row in left])


def test_later_versions_change_nothing_of_an_index(path: Path, sink: Store) -> None:
    write_lance(path, table_of(GOOD[:10]))
    index = index_of(source_of(path), sink)
    append(path, table_of(GOOD[10:], first=10))
    delete(path, "label < 5")
    require_photos(index, GOOD[:10])
    # The same job finds its index, and another one the newest version.
    assert build(source_of(path), sink, is_own=True).images == 10
    other = open_store(f"{sink.uri}-2")
    require_photos(index_of(source_of(path), other), GOOD[5:])
    assert place(index, 0).version == 1


def test_a_version_may_be_named(path: Path, sink: Store) -> None:
    write_lance(path, table_of(GOOD[:10]))
    append(path, table_of(GOOD[10:], first=10))
    require_photos(index_of(source_of(path, version=1), sink), GOOD[:10])


def test_a_limit_takes_the_first_rows(path: Path, sink: Store) -> None:
    write_lance(path, table_of(GOOD))
    require_photos(index_of(source_of(path), sink, limit=13), GOOD[:13])


@pytest.mark.parametrize("version", FORMATS)
def test_a_row_without_a_picture_gets_its_error(path: Path, sink: Store, version: str) -> None:
    write_lance(path, table_of([GOOD[0], None, b"", b"no picture", GOOD[1]]), data_storage_version=version)
    errors = [image.error for image in read(index_of(source_of(path), sink))]
    assert [error is None for error in errors] == [True, False, False, False, True]
    assert errors[1] == "It can't be read: its row has none (`image` is null)."


@pytest.mark.parametrize("generation", [1, 2])
def test_a_blob_that_is_null_gets_its_error(path: Path, sink: Store, generation: int) -> None:
    table = blobs_of([GOOD[0], None, b"", GOOD[1]], generation=generation)
    write_lance(path, table, data_storage_version=f"2.{generation}")
    errors = [image.error for image in read(index_of(source_of(path), sink))]
    assert [error is None for error in errors] == [True, False, False, True]
    assert errors[1] == "It can't be read: its row has none (`image` is null)."


def test_a_null_struct_is_a_null_image(path: Path, sink: Store) -> None:
    images = pa.array(
        [None, {"bytes": None, "path": "x"}, {"bytes": GOOD[2], "path": "y"}], struct_of([]).field(0).type
    )
    write_lance(path, pa.table({"image": images}))
    errors = [image.error for image in read(index_of(source_of(path), sink))]
    null = "It can't be read: its row has none (`image` is null)."
    assert errors == [null, null, None]


def test_the_index_is_of_the_version_the_column_and_the_names(path: Path, sink: Store) -> None:
    write_lance(path, struct_of(GOOD))
    first = build(source_of(path), sink)
    assert build(source_of(f"{path}/"), sink) == first
    assert build(source_of(path, version=1), sink) == first
    others = [
        build(source_of(path, **fields), sink, replace=True)
        for fields in ({"name": "image.path"}, {"column": "image.bytes"})
    ]
    append(path, struct_of(GOOD[:1]))
    others.append(build(source_of(path), sink, limit=25, replace=True))
    assert len({first.digest, *(other.digest for other in others)}) == 4


@pytest.mark.parametrize("make", [table_of, partial(blobs_of, generation=2)], ids=["binary", "blobs"])
def test_no_image_is_read_to_list_them(path: Path, tmp_path: Path, make: Callable[[list[bytes]], pa.Table]) -> None:
    images = [large(number) for number in range(25)]
    write_lance(path, make(images), data_storage_version="2.2")
    (tmp_path / "scratch").mkdir()
    source = source_of(file_uri(str(path))).lance
    assert source is not None
    before = lance.bytes_read_counter()
    listed = list(list_lance(source, scratch=tmp_path / "scratch", retry=HURRIED, kept=KeptColumns(())))
    assert len(listed) == len(images)
    assert lance.bytes_read_counter() - before < 200_000
    first = listed[0].place
    assert isinstance(first, LanceRow)
    assert first.length == pytest.approx(len(images[0]), rel=0.01)

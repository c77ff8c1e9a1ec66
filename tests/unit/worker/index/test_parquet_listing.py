"""Images in Parquet columns as a source: which files a URI names, their rows in their order, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dueby_api.errors import Invalid
from dueby_worker.images.decode import decode_image
from dueby_worker.index.frozen_index import Index
from dueby_worker.index.kept import KeptColumns
from dueby_worker.index.parquet_listing import list_parquet
from dueby_worker.storage.local_store import LocalStore
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import file_uri
from support.index import HURRIED, build, index_of, read
from support.parquets import STRUCT, dataset_of, large, parquet_of, source_of, write, write_parquets
from support.pictures import SMALL
from support.tars import jpeg

GOOD = [jpeg(number) for number in range(25)]


@pytest.fixture
def sink(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def labels_of(index: Index, folder: Path) -> list[str]:
    return [uri.removeprefix(file_uri(str(folder)) + "/") for uri in index.uris(0, index.images - 1)]


def require_photos(index: Index, photos: list[bytes]) -> None:
    """Each image of the index is this photo."""
    images = list(read(index))
    assert [image.index for image in images] == list(range(len(photos)))
    for image, photo in zip(images, photos, strict=True):
        assert image.pixels is not None, image.error
        assert np.array_equal(image.pixels, decode_image(photo, SMALL).pixels)


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        pytest.param("", [0, 1, 2], id="a folder"),
        pytest.param("{000..002}.parquet", [0, 1, 2], id="braces"),
        pytest.param("{002..000}.parquet", [2, 1, 0], id="braces that count down"),
        pytest.param("*.parquet", [0, 1, 2], id="a glob"),
        pytest.param("001.parquet", [1], id="one file"),
    ],
)
def test_rows_come_in_the_order_of_the_files(folder: Path, sink: Store, uri: str, wanted: list[int]) -> None:
    photos = write_parquets(folder, 3, images=25)
    for hidden in ("_metadata", "_common_metadata", ".part.parquet", "README.md", "_temporary/1.parquet"):
        (folder / hidden).parent.mkdir(exist_ok=True)
        (folder / hidden).write_bytes(b"no images")
    index = index_of(source_of(f"{folder}/{uri}"), sink)
    assert labels_of(index, folder) == [f"{file:03d}.parquet#{row}" for file in wanted for row in range(25)]
    require_photos(index, [photo for file in wanted for photo in photos[file * 25 : (file + 1) * 25]])
    assert index.document.summary.input_cost.sampled > 0
    assert set(index.witnesses) == {file_uri(f"{folder}/{file:03d}.parquet") for file in wanted}


def binary(kind: pa.DataType) -> bytes:
    return write(pa.table({"image": pa.array(GOOD, pa.binary()).cast(kind)}))


@pytest.mark.parametrize(
    ("data", "column"),
    [
        pytest.param(dataset_of(GOOD), "image", id="Hugging Face's struct"),
        pytest.param(dataset_of(GOOD), "image.bytes", id="a field of a struct by its own name"),
        pytest.param(parquet_of(GOOD, use_dictionary=False, write_batch_size=2), "image", id="many pages"),
        pytest.param(
            parquet_of(GOOD, use_dictionary=False, column_encoding={"image": "DELTA_LENGTH_BYTE_ARRAY"}),
            "image",
            id="lengths before the images",
        ),
        pytest.param(parquet_of(GOOD, compression="zstd"), "image", id="zstd"),
        pytest.param(parquet_of(GOOD, compression="none"), "image", id="not compressed"),
        pytest.param(parquet_of(GOOD, data_page_version="2.0"), "image", id="pages of version 2"),
        pytest.param(parquet_of(GOOD, rows=1), "image", id="row groups of one row"),
        pytest.param(parquet_of(GOOD, rows=1000), "image", id="one row group"),
        pytest.param(parquet_of(GOOD, write_page_checksum=True), "image", id="checksums"),
        pytest.param(binary(pa.large_binary()), "image", id="large binary"),
        pytest.param(binary(pa.binary_view()), "image", id="binary view"),
        pytest.param(parquet_of(GOOD, store_schema=False), "image", id="of another writer"),
    ],
)
def test_every_way_of_writing_images_is_read(folder: Path, sink: Store, data: bytes, column: str) -> None:
    (folder / "a.parquet").write_bytes(data)
    require_photos(index_of(source_of(folder, column=column), sink), GOOD)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        pytest.param("image.path", [f"{row:05d}.jpg" for row in range(25)], id="the path in the struct"),
        pytest.param("label", [str(row) for row in range(25)], id="integers"),
    ],
)
def test_a_column_may_name_the_images(folder: Path, sink: Store, name: str, labels: list[str]) -> None:
    (folder / "a.parquet").write_bytes(dataset_of(GOOD))
    index = index_of(source_of(folder, name=name), sink)
    assert labels_of(index, folder) == [f"a.parquet#{label}" for label in labels]
    require_photos(index, GOOD)


def test_names_are_escaped_and_may_be_the_same_in_two_files(folder: Path, sink: Store) -> None:
    names = ["caf\u00e9 #1.jpg", "a\nb", "../up.jpg"]
    for file in ("a", "b"):
        (folder / f"{file}.parquet").write_bytes(dataset_of(GOOD[:3], paths=names))
    index = index_of(source_of(folder, name="image.path"), sink)
    escaped = ["caf%C3%A9%20%231.jpg", "a%0Ab", "../up.jpg"]
    assert labels_of(index, folder) == [f"{file}.parquet#{name}" for file in ("a", "b") for name in escaped]
    require_photos(index, GOOD[:3] * 2)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        pytest.param(
            ["x", "a b", "a", "b", "a b"],
            "a.parquet: has the name 'a b' twice in its column `image.path`, in rows 1 and 4; names tell images apart",
            id="a name twice",
        ),
        pytest.param(["a", None], "has no name in its column `image.path` in row 1; leave out", id="no name"),
        pytest.param(["", "b"], "has no name in its column `image.path` in row 0; leave out", id="an empty name"),
    ],
)
def test_names_that_tell_no_images_apart_are_refused(
    folder: Path, sink: Store, names: list[str | None], sentence: str
) -> None:
    (folder / "a.parquet").write_bytes(dataset_of(GOOD[: len(names)], rows=2, paths=names))
    with pytest.raises(Invalid, match=sentence):
        build(source_of(folder, name="image.path"), sink)


def test_a_limit_takes_the_first_rows(folder: Path, sink: Store) -> None:
    photos = write_parquets(folder, 40, images=12)
    index = index_of(source_of(folder), sink, limit=13)
    assert labels_of(index, folder) == [*(f"000.parquet#{row}" for row in range(12)), "001.parquet#0"]
    require_photos(index, photos[:13])


def test_a_row_without_a_picture_gets_its_error(folder: Path, sink: Store) -> None:
    (folder / "a.parquet").write_bytes(parquet_of([GOOD[0], None, b"", b"no picture", GOOD[1]], rows=3))
    (folder / "b.parquet").write_bytes(
        write(pa.table({"image": pa.array([None, {"path": "x"}, {"bytes": GOOD[2]}], STRUCT)}))
    )
    errors = [image.error for image in read(index_of(source_of(folder), sink))]
    null = "It can't be read: its row has none (`image` is null)."
    assert [error is None for error in errors] == [True, False, False, False, True, False, False, True]
    assert (errors[1], errors[5], errors[6]) == (null, null, null)
    assert all(errors[2:4])


def test_a_file_without_rows_has_none_and_the_others_have(folder: Path, sink: Store) -> None:
    write_parquets(folder, 2, images=3)
    (folder / "000.parquet").write_bytes(parquet_of([]))
    assert index_of(source_of(folder), sink).images == 3


def test_files_without_rows_are_no_images(folder: Path, sink: Store) -> None:
    (folder / "000.parquet").write_bytes(parquet_of([]))
    with pytest.raises(Invalid, match=r"there are no images: .*/in means no Parquet file, or none that has rows"):
        build(source_of(folder), sink)


def test_the_index_is_of_the_files_the_column_and_the_names(folder: Path, sink: Store) -> None:
    (folder / "a.parquet").write_bytes(dataset_of(GOOD))
    first = build(source_of(folder), sink)
    assert build(source_of(f"{folder}/*.parquet"), sink) == first
    others = [
        build(source_of(folder, **fields), sink, replace=True)
        for fields in ({"name": "image.path"}, {"column": "image.bytes"})
    ]
    (folder / "a.parquet").write_bytes(dataset_of(GOOD, rows=5))
    others.append(build(source_of(folder), sink, replace=True))
    assert len({first.digest, *(other.digest for other in others)}) == 4


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="a page of all"),
        pytest.param({"use_dictionary": False, "write_batch_size": 10, "data_page_size": 1}, id="many pages"),
    ],
)
def test_the_cost_is_an_images_own_though_others_are_read_with_it(
    folder: Path, sink: Store, options: dict[str, Any]
) -> None:
    photos = [large(number, 20_000) for number in range(400)]
    (folder / "a.parquet").write_bytes(parquet_of(photos, rows=400, **options))
    cost = index_of(source_of(folder), sink).document.summary.input_cost
    assert (cost.sampled, cost.unreadable) == (32, 0)
    assert cost.bytes_per_image == pytest.approx(sum(map(len, photos)) / len(photos), rel=0.1)


def test_no_image_is_read_to_list_them(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    images = [photo + bytes(1 << 20) for photo in GOOD]
    (folder / "a.parquet").write_bytes(dataset_of(images, rows=5))
    read_bytes: list[int] = []
    original = LocalStore.read_range_once

    def counted(self: LocalStore, path: str, offset: int, length: int) -> bytes:
        read_bytes.append(length)
        return original(self, path, offset, length)

    monkeypatch.setattr(LocalStore, "read_range_once", counted)
    (tmp_path / "scratch").mkdir()
    for name, most in ((None, 1), ("image.path", 6)):
        read_bytes.clear()
        parquet = source_of(f"{file_uri(str(folder))}/a.parquet", name=name).parquet
        assert parquet is not None
        assert len(
            list(list_parquet(parquet, scratch=tmp_path / "scratch", retry=HURRIED, kept=KeptColumns(())))
        ) == len(images)
        assert len(read_bytes) <= most
        assert sum(read_bytes) < 100_000


def test_rows_without_names_take_no_room_until_it_is_their_turn(folder: Path, tmp_path: Path) -> None:
    images = [b"x"] * 20_000
    (folder / "a.parquet").write_bytes(parquet_of(images, rows=10_000, use_dictionary=False, compression="none"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    parquet = source_of(f"{file_uri(str(folder))}/a.parquet").parquet
    assert parquet is not None
    listed = list_parquet(parquet, scratch=scratch, retry=HURRIED, kept=KeptColumns(()))
    first = [next(listed).uri]
    assert sum(file.stat().st_size for file in scratch.rglob("*") if file.is_file()) < 500
    numbers = [int(uri.rpartition("#")[2]) for uri in (*first, *(row.uri for row in listed))]
    assert numbers == list(range(len(images)))


@pytest.mark.parametrize("name", [None, "key"], ids=["by number", "by name"])
@pytest.mark.parametrize("limit", [5, 10, 25, 37, 1000])
def test_a_limit_ends_the_listing_wherever_it_is(folder: Path, sink: Store, name: str | None, limit: int) -> None:
    write_parquets(folder, 2, images=25)
    index = index_of(source_of(f"{folder}/*.parquet", name=name), sink, limit=limit)
    rows = [(file, f"k{row:05d}" if name else str(row)) for file in (0, 1) for row in range(25)]
    assert labels_of(index, folder) == [f"{file:03d}.parquet#{label}" for file, label in rows][:limit]

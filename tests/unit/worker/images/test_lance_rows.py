"""Rows of Lance datasets are read in runs, ahead; a version that is gone is told; faults stay where they are."""

import datetime
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from dueby_api.errors import Invalid, Transient
from dueby_worker.images.fetch import Fetcher
from dueby_worker.images.isolation import IsolatedDecoder
from dueby_worker.images.lance_rows import LanceReader, LanceRow, read_lance_row
from dueby_worker.images.runs import BLOCKS_AHEAD
from dueby_worker.index.frozen_index import Index
from dueby_worker.storage.lance_datasets import forget_dataset, open_dataset, opened_dataset
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import file_uri
from support.index import index_of, read
from support.lances import append, blobs_of, data_files, delete, place, source_of, table_of, take, write_lance
from support.parquets import large
from support.pictures import SMALL
from support.tars import jpeg

MIB = 1024**2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "in" / "photos.lance"


def index(path: Path) -> Index:
    return index_of(source_of(path).replace(allow_unreadable=True), open_store(str(path.parent.parent / "sink")))


def photos_in(path: Path, images: int, *, rows: int = 10) -> list[bytes]:
    photos = [jpeg(number) for number in range(images)]
    write_lance(path, table_of(photos), rows=rows)
    return photos


def reads_of(action: Callable[[], object]) -> tuple[int, int]:
    """Return how many requests and bytes it took."""
    requests, size = lance.iops_counter(), lance.bytes_read_counter()
    action()
    return lance.iops_counter() - requests, lance.bytes_read_counter() - size


def test_neighbours_are_one_request_also_beyond_a_fragment(path: Path) -> None:
    images = [large(number) for number in range(30)]
    write_lance(path, table_of(images), rows=15)
    listed = index(path)
    assert take(listed) == images
    requests, size = reads_of(lambda: take(listed))
    # Runs of 3 images; one of them is in both fragments.
    assert 10 <= requests <= 12
    assert size < sum(map(len, images)) + 10_000


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_rows_are_taken_from_anywhere_in_any_order(path: Path, most: int) -> None:
    photos = photos_in(path, 60)
    wanted = [7, 8, 12, 19, 35, 36, 59, 3, 4]
    assert take(index(path), images=wanted, most=most) == [photos[image] for image in wanted]


def test_an_image_alone_is_read_alone(path: Path) -> None:
    photos = photos_in(path, 30)
    found = place(index(path), 17)
    assert read_lance_row(Fetcher(), found) == photos[17]
    _, size = reads_of(lambda: read_lance_row(Fetcher(), found))
    assert size < len(photos[17]) + 5000


def test_rows_are_counted_without_those_that_are_deleted(path: Path) -> None:
    photos = photos_in(path, 30)
    delete(path, "label in (0, 11, 12, 29)")
    assert take(index(path)) == [photo for row, photo in enumerate(photos) if row not in (0, 11, 12, 29)]


@pytest.mark.parametrize("generation", [0, 1, 2])
def test_an_image_above_the_limit_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch, generation: int) -> None:
    images = [jpeg(0), large(1), jpeg(2)]
    table = blobs_of(images, generation=generation) if generation else table_of(images)
    write_lance(path, table, data_storage_version="2.2" if generation == 2 else "2.1")
    listed = index(path)
    monkeypatch.setattr("dueby_worker.images.lance_rows.MAX_IMAGE_BYTES", MIB)
    first, second, third = take(listed)
    assert (first, third) == (jpeg(0), jpeg(2))
    assert str(second).endswith("more than the limit of 1,048,576 bytes")


def test_a_blob_that_leads_elsewhere_is_never_read(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(jpeg(0))
    table = pa.table({"image": lance.blob_array([jpeg(1), lance.Blob.from_uri(file_uri(str(secret)))])})
    write_lance(path, table, data_storage_version="2.2", allow_external_blob_outside_bases=True)
    first, second = open_dataset(file_uri(str(path)), None).take("image", [0, 1], max_bytes=MIB)
    assert first == jpeg(1)
    assert str(second).startswith("its bytes are elsewhere (file:///")


@pytest.mark.parametrize(
    ("size", "looked_at"),
    [
        # The last one looked at belongs to the run after those that are being read.
        pytest.param(5 * MIB // 2, BLOCKS_AHEAD + 2, id="so many runs"),
        pytest.param(1000, 2 * 8 + 1, id="so many images"),
    ],
)
def test_reading_goes_ahead_but_not_for_ever(path: Path, size: int, looked_at: int) -> None:
    write_lance(path, table_of([os.urandom(size) for _ in range(30)]), rows=30)
    listed, taken = index(path), []

    def row_of(image: int) -> LanceRow:
        taken.append(image)
        return place(listed, image)

    reader = LanceReader(Fetcher(), row_of, threads=4)
    next(reader.read(listed.items(0, 29), most=8))
    assert taken == list(range(looked_at))
    reader.close()


def made_again(path: Path) -> None:
    shutil.rmtree(path)
    photos_in(path, 30)


def test_a_dataset_that_was_made_again_is_told(path: Path) -> None:
    photos_in(path, 30)
    listed = index(path)
    assert not [image.error for image in read(listed) if image.error]
    made_again(path)
    with pytest.raises(Invalid, match=r"photos.lance has changed since .* \(its version 1 has other files\)") as caught:
        list(read(listed))
    assert caught.value.field == "spec.source.lance.uri"


def test_a_version_that_was_cleaned_up_is_told(path: Path) -> None:
    photos_in(path, 30)
    listed = index(path)
    lance.write_dataset(table_of([jpeg(0)]), path, mode="overwrite")
    lance.dataset(path).cleanup_old_versions(older_than=datetime.timedelta(0), delete_unverified=True)
    with pytest.raises(Invalid, match=r"photos.lance has its version 1 no more, .*: it was cleaned up"):
        list(read(listed))


def test_a_dataset_that_has_gone_is_the_sources_fault(path: Path) -> None:
    photos_in(path, 4)
    listed = index(path)
    shutil.rmtree(path)
    with pytest.raises(Transient, match="is the source gone"):
        list(read(listed))


def test_a_file_of_several_that_has_gone_is_its_images_error(path: Path) -> None:
    photos_in(path, 12, rows=4)
    listed = index(path)
    data_files(path)[1].unlink()
    errors = [image.error for image in read(listed)]
    assert [error is None for error in errors] == [True] * 4 + [False] * 4 + [True] * 4
    assert str(errors[4]).startswith("It can't be read: Not found: ")


def test_a_damaged_file_is_its_images_error(path: Path) -> None:
    photos_in(path, 12, rows=4)
    listed = index(path)
    data = data_files(path)[2]
    data.write_bytes(data.read_bytes()[:-100])
    # As another process finds it: its end is known here already.
    forget_dataset(file_uri(str(path)), 1)
    taken = take(listed)
    assert all(isinstance(image, bytes) for image in taken[:8])
    assert taken[8:] == ["Generic LocalFileSystem error: failed to fill whole buffer"] * 4


def test_a_version_is_opened_once_for_all(path: Path) -> None:
    photos_in(path, 4)
    uri = file_uri(str(path))
    assert opened_dataset(uri, 1) is opened_dataset(uri, 1)
    append(path, table_of([jpeg(0)]))
    assert (opened_dataset(uri, 1).rows, opened_dataset(uri, 2).rows) == (4, 5)


def test_images_are_decoded_in_children_beside_the_library(path: Path) -> None:
    photos = photos_in(path, 4)
    (first, *_) = take(index(path))
    assert first == photos[0]
    with closing(IsolatedDecoder(preprocessing=SMALL, max_pixels=10**6, processes=1)) as decoder:
        assert decoder.decode(photos[0]).picture.pixels is not None


def test_no_thread_is_left_when_reading_ends_early(path: Path) -> None:
    photos_in(path, 100)
    images = read(index(path), ahead=4)
    next(images)
    assert any(thread.name.startswith("lance") for thread in threading.enumerate())
    images.close()
    assert not any(thread.name.startswith(("lance", "images")) for thread in threading.enumerate())

"""Parquet files of images on S3, by a real server: how many requests they take, and that one which changes is told."""

from pathlib import Path

import pytest

from dueby_api.errors import Invalid, Transient
from dueby_worker.index.frozen_index import Index
from dueby_worker.index.kept import KeptColumns
from dueby_worker.index.parquet_listing import list_parquet
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from support.fault_proxy import BUSY, GATEWAYS_404, FaultProxy
from support.index import HURRIED, PATIENT, index_of, read
from support.parquets import parquet_of, source_of, write_parquets
from support.s3 import S3Server
from support.tars import jpeg

pytestmark = pytest.mark.s3
FILES, IMAGES, GROUPS = 4, 30, 3


@pytest.fixture
def files(server: S3Server, proxy: FaultProxy, tmp_path: Path) -> Store:
    """Written by S3, so that they have etags."""
    store = open_store(server.uri("parquets"))
    write_parquets(tmp_path / "in", FILES, images=IMAGES, rows=IMAGES // GROUPS)
    for path in sorted((tmp_path / "in").iterdir()):
        store.replace(path.name, path.read_bytes())
    return store


@pytest.fixture
def index(files: Store, tmp_path: Path) -> Index:
    return index_of(source_of(f"{files.uri}/{{000..{FILES - 1:03d}}}.parquet"), open_store(str(tmp_path / "sink")))


def asked(proxy: FaultProxy) -> list[int]:
    """Return how often each file was asked for."""
    return [
        sum(request.method in ("GET", "HEAD") and f"/{file:03d}.parquet" in request.path for request in proxy.requests)
        for file in range(FILES)
    ]


def test_a_file_is_listed_with_two_requests_and_each_row_group_read_with_one(
    files: Store, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.requests.clear()
    source = source_of(f"{files.uri}/{{000..{FILES - 1:03d}}}.parquet")
    (tmp_path / "scratch").mkdir()
    assert source.parquet is not None
    # The index step also reads a sample of the images.
    listed = list(list_parquet(source.parquet, scratch=tmp_path / "scratch", retry=HURRIED, kept=KeptColumns(())))
    assert len(listed) == FILES * IMAGES
    assert asked(proxy) == [2] * FILES

    index = index_of(source, open_store(str(tmp_path / "sink")))
    proxy.requests.clear()
    images = list(read(index))
    assert [image.uri for image in images] == [
        f"{files.uri}/{file:03d}.parquet#{row}" for file in range(FILES) for row in range(IMAGES)
    ]
    assert not [image.error for image in images if image.error]
    # One asks for size and etag, and one for the footer.
    assert asked(proxy) == [2 + GROUPS] * FILES
    assert index.witnesses
    assert set(index.witnesses) <= {f"{files.uri}/{file:03d}.parquet" for file in range(FILES)}


def test_a_folder_and_a_glob_take_the_files_that_are_there(files: Store, tmp_path: Path) -> None:
    files.replace("deep/x.parquet", parquet_of([jpeg(0)]))
    for uri, images in ((files.uri, FILES * IMAGES + 1), (f"{files.uri}/*.parquet", FILES * IMAGES)):
        assert index_of(source_of(uri), open_store(str(tmp_path / f"sink-{images}"))).images == images


def test_a_file_of_other_photos_at_the_same_places_is_told_by_its_etag(index: Index, files: Store) -> None:
    data = bytearray(files.read("002.parquet"))
    data[data.index(b"\xff\xd8") + 300] ^= 1
    files.replace("002.parquet", bytes(data))
    with pytest.raises(Invalid, match=r"parquets/002.parquet has changed since the job was indexed"):
        list(read(index))


def test_a_file_that_is_replaced_while_it_is_read_is_no_fault_of_its_images(index: Index, files: Store) -> None:
    images = read(index, ahead=4, retry=PATIENT)
    assert next(images).error is None
    for file in range(FILES):
        size = len(files.read(f"{file:03d}.parquet"))
        files.replace(f"{file:03d}.parquet", bytes(size))
    with pytest.raises(Invalid, match=r"parquets/00[01].parquet has changed since the job was indexed"):
        list(images)


def test_a_gateway_that_lost_its_server_costs_no_image(index: Index, proxy: FaultProxy) -> None:
    proxy.requests.clear()
    faults = iter([GATEWAYS_404, BUSY, None] * 6)
    proxy.fault = lambda request: next(faults, None)
    assert not [image.error for image in read(index, retry=PATIENT) if image.error]
    assert len(proxy.requests) > 18


def test_files_that_have_all_gone_are_waited_for(index: Index, files: Store) -> None:
    for file in range(FILES):
        files.delete(f"{file:03d}.parquet")
    with pytest.raises(Transient, match="is the source gone"):
        list(read(index))


def test_a_missing_file_is_named(files: Store, tmp_path: Path) -> None:
    source = source_of(f"{files.uri}/{{000..{FILES:03d}}}.parquet")
    with pytest.raises(Invalid, match=rf"{files.uri}/{FILES:03d}.parquet: there is no such object"):
        index_of(source, open_store(str(tmp_path / "sink")))

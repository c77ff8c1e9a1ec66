"""Tar shards on S3, by a real server: how many requests they take, and that one which is replaced is told."""

from pathlib import Path

import pytest

from dueby_api.errors import Invalid, Transient
from dueby_api.source import Source
from dueby_worker.index.frozen_index import Index
from dueby_worker.index.kept import KeptColumns
from dueby_worker.index.shards import list_shards
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from support.fault_proxy import BUSY, GATEWAYS_404, FaultProxy
from support.index import HURRIED, PATIENT, index_of, read
from support.s3 import S3Server
from support.tars import jpeg, tar_of, write_shards

pytestmark = pytest.mark.s3
SHARDS, IMAGES = 4, 30


@pytest.fixture
def shards(server: S3Server, proxy: FaultProxy, tmp_path: Path) -> Store:
    """Written by S3, so that they have etags."""
    store = open_store(server.uri("shards"))
    write_shards(tmp_path / "in", SHARDS, images=IMAGES)
    for path in sorted((tmp_path / "in").iterdir()):
        store.replace(path.name, path.read_bytes())
    return store


@pytest.fixture
def index(shards: Store, tmp_path: Path) -> Index:
    return index_of(Source(uri=f"{shards.uri}/{{000..{SHARDS - 1:03d}}}.tar"), open_store(str(tmp_path / "sink")))


def asked(proxy: FaultProxy) -> list[int]:
    """Return how often each shard was asked for."""
    return [
        sum(request.method in ("GET", "HEAD") and f"/{shard:03d}.tar" in request.path for request in proxy.requests)
        for shard in range(SHARDS)
    ]


def test_a_shard_is_listed_with_two_requests_and_read_with_two(
    shards: Store, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.requests.clear()
    source = Source(uri=f"{shards.uri}/{{000..{SHARDS - 1:03d}}}.tar")
    (tmp_path / "scratch").mkdir()
    # The index step also reads a sample of the images.
    listed = list(list_shards(source.uri or "", scratch=tmp_path / "scratch", retry=HURRIED, kept=KeptColumns(())))
    assert len(listed) == SHARDS * IMAGES
    assert asked(proxy) == [2] * SHARDS

    index = index_of(source, open_store(str(tmp_path / "sink")))
    proxy.requests.clear()
    images = list(read(index))
    assert [image.uri for image in images] == [
        f"{shards.uri}/{shard:03d}.tar#{shard:03d}/{number:04d}.jpg"
        for shard in range(SHARDS)
        for number in range(IMAGES)
    ]
    assert not [image.error for image in images if image.error]
    # One asks for size and etag; a block has 32 images, and there are 30.
    assert asked(proxy) == [2] * SHARDS
    assert index.witnesses
    assert set(index.witnesses) <= {f"{shards.uri}/{shard:03d}.tar" for shard in range(SHARDS)}


def test_a_shard_of_other_photos_at_the_same_places_is_told_by_its_etag(index: Index, shards: Store) -> None:
    data = bytearray(shards.read("002.tar"))
    data[data.index(b"\xff\xd8") + 300] ^= 1
    shards.replace("002.tar", bytes(data))
    with pytest.raises(Invalid, match=r"shards/002.tar has changed since the job was indexed"):
        list(read(index))


def test_a_gateway_that_lost_its_server_costs_no_image(index: Index, proxy: FaultProxy) -> None:
    proxy.requests.clear()
    faults = iter([GATEWAYS_404, BUSY, None] * 4)
    proxy.fault = lambda request: next(faults, None)
    assert not [image.error for image in read(index, retry=PATIENT) if image.error]
    assert len(proxy.requests) > 12


def test_shards_that_have_all_gone_are_waited_for(index: Index, shards: Store) -> None:
    for shard in range(SHARDS):
        shards.delete(f"{shard:03d}.tar")
    with pytest.raises(Transient, match="is the source gone"):
        list(read(index))


def test_a_missing_shard_is_named(shards: Store, tmp_path: Path) -> None:
    source = Source(uri=f"{shards.uri}/{{000..{SHARDS:03d}}}.tar")
    with pytest.raises(Invalid, match=rf"{shards.uri}/{SHARDS:03d}.tar: there is no such object"):
        index_of(source, open_store(str(tmp_path / "sink")))


def test_a_glob_takes_the_shards_that_are_there(shards: Store, tmp_path: Path) -> None:
    shards.replace("deep/x.tar", tar_of([("x.jpg", jpeg(0))]))
    index = index_of(Source(uri=f"{shards.uri}/*.tar"), open_store(str(tmp_path / "sink")))
    assert index.images == SHARDS * IMAGES

"""Lance datasets on S3, by a real server: how many requests they take, and that a store that is away is waited for."""

import datetime
from pathlib import Path

import lance
import pytest

from dueby_api.errors import Invalid, Transient
from dueby_worker.index.frozen_index import Index
from dueby_worker.index.kept import KeptColumns
from dueby_worker.index.lance_listing import list_lance
from dueby_worker.storage.lance_datasets import forget_dataset
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from support.fault_proxy import BUSY, GATEWAYS_404, FaultProxy
from support.index import HURRIED, PATIENT, index_of, read
from support.lances import append, source_of, table_of, upload, write_lance
from support.parquets import large
from support.s3 import S3Server
from support.tars import jpeg

pytestmark = pytest.mark.s3
IMAGES, ROWS = 30, 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The dataset as a folder of this machine."""
    return tmp_path / "in" / "photos.lance"


@pytest.fixture
def bucket(server: S3Server, proxy: FaultProxy, path: Path) -> Store:
    """A folder of its own for each test: another dataset at the same place would be a later version of it."""
    store = open_store(server.uri(path.parent.parent.name))
    write_lance(path, table_of([jpeg(number) for number in range(IMAGES)]), rows=ROWS)
    upload(path, store)
    return store


@pytest.fixture
def uri(bucket: Store) -> str:
    return f"{bucket.uri}/photos.lance"


@pytest.fixture
def index(uri: str, tmp_path: Path) -> Index:
    return index_of(source_of(uri), open_store(str(tmp_path / "sink")))


def asked(proxy: FaultProxy) -> int:
    """Return how often files of fragments were read."""
    return sum(request.method == "GET" and "/data/" in request.path for request in proxy.requests)


def test_rows_are_listed_without_their_images_and_read_in_runs(
    bucket: Store, uri: str, path: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    append(path, table_of([large(number) for number in range(IMAGES)]))
    upload(path, bucket)
    (tmp_path / "scratch").mkdir()
    source = source_of(uri).lance
    assert source is not None
    proxy.requests.clear()
    listed = list(list_lance(source, scratch=tmp_path / "scratch", retry=HURRIED, kept=KeptColumns(())))
    assert [row.uri for row in listed] == [f"{uri}#{row}" for row in range(2 * IMAGES)]
    # The ends of four files.
    assert asked(proxy) <= 2 * 4

    index = index_of(source_of(uri), open_store(str(tmp_path / "sink")))
    proxy.requests.clear()
    assert not [image.error for image in read(index) if image.error]
    # Runs of about 4 MiB, and what each file says of its rows.
    assert asked(proxy) <= 30
    assert index.witnesses == (uri,)


@pytest.mark.parametrize("name", ["a b", "a%20b", "100%", "a#b", "a?b", "\u00e9", "[a]"])
def test_a_key_may_have_any_character(bucket: Store, path: Path, tmp_path: Path, name: str) -> None:
    folder = open_store(f"{bucket.uri}/{name}")
    upload(path, folder)
    (tmp_path / "scratch").mkdir()
    source = source_of(f"{folder.uri}/photos.lance").lance
    assert source is not None
    listed = list(list_lance(source, scratch=tmp_path / "scratch", retry=HURRIED, kept=KeptColumns(())))
    assert listed[-1].uri == f"{folder.uri}/photos.lance#{IMAGES - 1}"


def test_a_gateway_that_lost_its_server_costs_no_image(index: Index, proxy: FaultProxy, uri: str) -> None:
    forget_dataset(uri, 1)
    proxy.requests.clear()
    faults = iter([GATEWAYS_404, BUSY, None] * 6)
    proxy.fault = lambda request: next(faults, None)
    assert not [image.error for image in read(index, retry=PATIENT) if image.error]
    assert next(faults, "all have been") == "all have been"


def test_a_gateway_that_lost_its_server_is_no_fault_of_the_source(uri: str, proxy: FaultProxy, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    source = source_of(uri, name="key").lance
    assert source is not None
    faults = iter([GATEWAYS_404, BUSY, None] * 6)
    proxy.fault = lambda request: next(faults, None)
    assert len(list(list_lance(source, scratch=tmp_path / "scratch", retry=PATIENT, kept=KeptColumns(())))) == IMAGES


def test_a_dataset_that_has_gone_is_waited_for(index: Index, bucket: Store, uri: str) -> None:
    for name in list(bucket.walk("photos.lance")):
        bucket.delete(f"photos.lance/{name}")
    forget_dataset(uri, 1)
    with pytest.raises(Transient, match="is the source gone"):
        list(read(index))


def test_a_server_that_doesnt_answer_is_waited_for(index: Index, proxy: FaultProxy, uri: str) -> None:
    forget_dataset(uri, 1)
    proxy.fault = lambda request: BUSY
    with pytest.raises(Transient):
        list(read(index))


def test_a_version_that_was_cleaned_up_is_told(index: Index, bucket: Store, path: Path, uri: str) -> None:
    append(path, table_of([jpeg(0)]))
    lance.dataset(path).cleanup_old_versions(older_than=datetime.timedelta(0), delete_unverified=True)
    for name in list(bucket.walk("photos.lance")):
        bucket.delete(f"photos.lance/{name}")
    upload(path, bucket)
    forget_dataset(uri, 1)
    with pytest.raises(Invalid, match=r"photos.lance has its version 1 no more"):
        list(read(index))


def test_a_dataset_that_isnt_there_is_refused(bucket: Store, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"other.lance: is no Lance dataset: there is no folder _versions in it"):
        index_of(source_of(f"{bucket.uri}/other.lance"), open_store(str(tmp_path / "sink")))

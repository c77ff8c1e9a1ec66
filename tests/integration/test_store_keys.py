"""Keys of S3 that have an empty name in them, such as `a//b.jpg`: S3 takes them, and pyarrow doesn't."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dueby_api.source import ListedSource, Source
from dueby_worker.storage.store import NotFound, TooLarge
from dueby_worker.storage.stores import open_store
from support.index import HURRIED, index_of, read
from support.pictures import write_photos
from support.s3 import S3Server, versitygw_server

pytestmark = pytest.mark.s3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with versitygw_server(tmp_path_factory.mktemp("s3")) as server:
        write_photos(server.folder / "in", 2)
        yield server


@pytest.fixture(autouse=True)
def environment(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)


# versitygw keeps objects as files, to which two slashes are one: it gives the object whose key has one.
@pytest.mark.parametrize("key", ["in//00001.jpg", "/in/00001.jpg"])
def test_an_object_of_such_a_key_is_indexed_and_read(server: S3Server, tmp_path: Path, key: str) -> None:
    (server.folder / "in" / "list.txt").write_text(server.uri(key))
    source = Source(manifest=ListedSource(uri=server.uri("in//list.txt")))
    index = index_of(source, open_store(str(tmp_path / "sink")))
    assert index.uris(0, 0) == [server.uri(key)]
    assert index.document.summary.input_cost.unreadable == 0
    assert [image.error for image in read(index)] == [None]


@pytest.mark.parametrize("key", ["in//00001.jpg", "/in/00001.jpg"])
def test_it_is_there_or_isnt_and_has_a_size(server: S3Server, key: str) -> None:
    bucket = open_store(server.uri(), retry=HURRIED)
    assert bucket.exists(key)
    assert not bucket.exists(key + ".png")
    with pytest.raises(TooLarge):
        bucket.read_once(key, max_bytes=3)
    with pytest.raises(NotFound):
        bucket.read(key + ".png")


def test_results_go_below_an_empty_name(server: S3Server) -> None:
    store = open_store(server.uri("results//out"), retry=HURRIED)
    assert store.create("a", b"rows")
    assert not store.create("a", b"other rows")
    assert store.read("a") == b"rows"

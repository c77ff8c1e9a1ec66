"""S3 by a real server: the store's contract, who may do what, an index of it, and a server that goes away."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from dueby_api.errors import Invalid, Transient
from dueby_api.source import ListedSource, Source
from dueby_worker.images.read_ahead import read_images
from dueby_worker.index.sampling import MIN_SAMPLE
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import NotFound, Store, Unavailable
from dueby_worker.storage.stores import open_store
from support.index import HURRIED, index_of, read
from support.killed import killed_with_block
from support.pictures import SMALL, encode, photo, write_photos
from support.processes import wait_for
from support.s3 import S3Server, free_port, versitygw_server
from support.store import StoreContract

pytestmark = pytest.mark.s3
WAITED_FOR_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with versitygw_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(autouse=True)
def environment(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)


NUMBERS = count()


@pytest.fixture
def prefix() -> str:
    """A part of the bucket that no other test uses."""
    return f"test-{next(NUMBERS)}"


@pytest.fixture
def open_again(server: S3Server, prefix: str) -> Callable[[], Store]:
    return lambda: open_store(server.uri(prefix), retry=HURRIED)


class TestS3Store(StoreContract):
    """A prefix of a bucket."""


@pytest.mark.parametrize(
    ("uri", "images"),
    [
        pytest.param("s3://photos/{}", 41, id="a folder"),
        pytest.param("s3://photos/{}/", 41, id="a folder with a slash"),
        pytest.param("s3://photos/{}/*.jpg", 40, id="a glob"),
        pytest.param("s3://photos/{}/**/*.png", 1, id="a glob of any depth"),
        pytest.param("s3://photos/{}/0000[0-4].jpg", 5, id="a glob with brackets"),
        pytest.param("s3://photos/{}/00000.jpg", 1, id="one object"),
    ],
)
def test_a_source_on_s3_is_indexed_and_read(
    server: S3Server, prefix: str, open_again: Callable[[], Store], uri: str, images: int
) -> None:
    write_photos(server.folder / f"{prefix}-in", 40)
    write_photos(server.folder / f"{prefix}-in" / "sub", 1, kind="png")
    (server.folder / f"{prefix}-in" / "notes.txt").write_text("no image")
    index = index_of(Source(uri=uri.format(f"{prefix}-in")), open_again())
    assert index.images == index.document.summary.input_cost.sampled == images
    assert index.uris(0, 0)[0].startswith(f"s3://photos/{prefix}-in/")
    assert index.uris(0, images - 1) == sorted(index.uris(0, images - 1))
    decoded = list(read(index))
    assert [image.uri for image in decoded] == index.uris(0, images - 1)
    assert not [image.error for image in decoded if image.error]


def test_the_keys_of_many_pages_come_in_order(server: S3Server, prefix: str, open_again: Callable[[], Store]) -> None:
    folder = server.folder / f"{prefix}-in"
    for number in range(2_300):
        path = folder / f"{number % 3}" / f"{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    index = index_of(Source(uri=server.uri(f"{prefix}-in"), allow_unreadable=True), open_again())
    keys = sorted(f"{number % 3}/{number:04d}.jpg" for number in range(2_300))
    assert index.uris(0, 2_299) == [server.uri(f"{prefix}-in/{key}") for key in keys]
    # A tenth is sampled, or less where that takes long.
    assert MIN_SAMPLE <= index.document.summary.input_cost.unreadable <= 230
    assert len(open_store(server.uri(f"{prefix}-in/1")).list_names()) == 767


def test_a_manifest_on_s3_is_relative_to_its_folder(
    server: S3Server, prefix: str, open_again: Callable[[], Store]
) -> None:
    write_photos(server.folder / f"{prefix}-in", 3)
    (server.folder / f"{prefix}-in" / "list.csv").write_text("uri\n00001.jpg\ns3://photos/x/y.jpg\n../z.jpg\n")
    index = index_of(Source(manifest=ListedSource(uri=server.uri(f"{prefix}-in/list.csv"))), open_again())
    assert index.uris(0, 2) == [server.uri(f"{prefix}-in/00001.jpg"), server.uri("x/y.jpg"), server.uri("z.jpg")]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        pytest.param(
            Source(uri="s3://nowhere/x"),
            "spec.source.uri: s3://nowhere/x: The specified bucket does not exist",
            id="no such bucket",
        ),
        pytest.param(
            Source(uri="s3://No_Bucket/x"),
            "spec.source.uri: s3://No_Bucket/x: The specified bucket is not valid",
            id="a bad name",
        ),
        pytest.param(
            Source(uri="s3://photos/nowhere"),
            "spec.source.uri: s3://photos/nowhere: there are no objects below it",
            id="no such folder",
        ),
        pytest.param(
            Source(uri="s3://photos/nowhere/*.jpg"),
            "spec.source.uri: s3://photos/nowhere/*.jpg: there are no objects below it",
            id="a glob in no such folder",
        ),
        pytest.param(
            Source(manifest=ListedSource(uri="s3://photos/no.txt")),
            "spec.source.manifest.uri: s3://photos/no.txt: there is no such object",
            id="no such manifest",
        ),
    ],
)
def test_what_is_not_on_s3_is_the_users_to_correct(
    open_again: Callable[[], Store], source: Source, sentence: str
) -> None:
    with pytest.raises(Invalid) as caught:
        index_of(source, open_again())
    assert str(caught.value) == sentence


@pytest.mark.parametrize(("variable", "value"), [("AWS_ACCESS_KEY_ID", "wrong"), ("AWS_SECRET_ACCESS_KEY", "wrong")])
def test_wrong_credentials_are_the_users_to_correct(
    server: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    store = open_store(server.uri(prefix), retry=HURRIED)
    with pytest.raises(Invalid, match=rf"^spec.sink.uri: s3://photos/{prefix}"):
        store.create("x", b"")
    with pytest.raises(Invalid, match=rf"^spec.sink.uri: s3://photos/{prefix}"):
        store.list_names()


def test_a_key_revoked_while_images_are_read_is_no_images_error(
    tmp_path: Path, server: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(server.folder / f"{prefix}-in", 5)
    index = index_of(Source(uri=server.uri(f"{prefix}-in")), open_store(str(tmp_path / "sink")))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "revoked")
    with pytest.raises(Transient):
        list(read(index))


def test_one_missing_or_forbidden_object_is_that_images_error(
    server: S3Server, prefix: str, open_again: Callable[[], Store]
) -> None:
    paths = write_photos(server.folder / f"{prefix}-in", 5)
    index = index_of(Source(uri=server.uri(f"{prefix}-in")), open_again())
    paths[2].unlink()
    errors = [image.error for image in read(index)]
    assert errors == [None, None, "It can't be read: there is no such object.", None, None]


def test_a_removed_bucket_is_no_images_error(tmp_path: Path, server: S3Server, prefix: str) -> None:
    bucket = server.folder.parent / f"bucket-{prefix}"
    write_photos(bucket, 5)
    index = index_of(Source(uri=f"s3://{bucket.name}"), open_store(str(tmp_path / "sink")))
    bucket.rename(tmp_path / "elsewhere")
    with pytest.raises(Transient, match="is the source gone"):
        list(read(index))


def test_a_server_that_comes_back_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with versitygw_server(tmp_path, port=port) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        write_photos(server.folder / "in", 60)
        index = index_of(Source(uri=server.uri("in")), open_store(str(tmp_path / "sink")))
        images = read_images(
            index.items(0, 59),
            source=index.document.source,
            preprocessing=SMALL,
            threads=1,
            ahead=4,
            witnesses=index.witnesses,
            retry=RetryPolicy(first_pause_s=0.05, max_pause_s=0.2, total_s=WAITED_FOR_S),
        )
        first = next(images)
    with pytest.raises(Transient):
        open_store(server.uri("in"), retry=HURRIED).read("00000.jpg")

    def come_back() -> None:
        with versitygw_server(tmp_path, port=port):
            done.wait(WAITED_FOR_S)

    done = threading.Event()
    helper = threading.Thread(target=come_back)
    helper.start()
    try:
        rest = list(images)
    finally:
        done.set()
        helper.join()
    assert [image.index for image in (first, *rest)] == list(range(60))
    assert not [image.error for image in (first, *rest) if image.error]


def test_a_store_that_is_not_there_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    store = open_store("s3://photos/x", retry=RetryPolicy(first_pause_s=0.01, total_s=0.05))
    for ask in (lambda: store.read("a"), lambda: store.create("a", b""), lambda: store.exists("a"), store.list_names):
        with pytest.raises(Transient):
            ask()


WRITE_FOREVER = """
import itertools, sys
from dueby_worker.storage.stores import open_store
store = open_store(sys.argv[1])
for number in itertools.count():
    store.create(f"part-{number:05d}", bytes([number % 256]) * 3_000_000)
"""


def let_write_and_kill(store: Store, uri: str) -> None:
    """Return once a process has written two more objects, and was killed at the next."""
    before = len(store.list_names())
    with killed_with_block([sys.executable, "-c", WRITE_FOREVER, uri]):
        wait_for(lambda: len(store.list_names()) >= before + 2, "two more objects are there")


@pytest.mark.parametrize("kind", ["s3", "local"])
def test_a_killed_writer_leaves_whole_objects_only(tmp_path: Path, server: S3Server, prefix: str, kind: str) -> None:
    uri = server.uri(f"{prefix}-{kind}") if kind == "s3" else str(tmp_path / "sink")
    store = open_store(uri)
    for _ in range(4):
        let_write_and_kill(store, uri)
    names = store.list_names()
    assert len(names) >= 8
    for name in names:
        number = int(name.removeprefix("part-"))
        assert store.read(name) == bytes([number % 256]) * 3_000_000


def test_an_object_above_one_request_is_created_once(server: S3Server, prefix: str) -> None:
    store = open_store(server.uri(prefix), retry=HURRIED)
    data = os.urandom(1 << 20) * 110
    assert store.create("large", data)
    assert not store.create("large", data[:-1])
    assert store.read("large") == data


def test_reading_a_folder_of_s3_says_that_it_is_none(server: S3Server, prefix: str) -> None:
    store = open_store(server.uri(), retry=HURRIED)
    store.create(f"{prefix}/x.jpg", encode(photo(size=(4, 4)), "JPEG"))
    with pytest.raises((NotFound, Unavailable)):
        store.read(prefix)

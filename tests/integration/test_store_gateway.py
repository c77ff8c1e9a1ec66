"""A gateway before S3 that answers 404 to everything while it has lost the server: a real server behind a proxy."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from dueby_api.errors import Transient
from dueby_api.source import Source
from dueby_worker.index.frozen_index import Index
from dueby_worker.index.kept import KeptColumns
from dueby_worker.index.listing import list_source
from dueby_worker.storage.store import NotFound, Store
from dueby_worker.storage.stores import open_store
from support.fault_proxy import BUSY, GATEWAYS_404, Fault, FaultProxy, Refusal, Request, no_fault
from support.index import HURRIED, PATIENT, index_of, read
from support.pictures import write_photos
from support.processes import wait_for
from support.s3 import S3Server, versitygw_server

pytestmark = pytest.mark.s3
IMAGES = 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with versitygw_server(tmp_path_factory.mktemp("s3")) as server:
        write_photos(server.folder / "in", IMAGES)
        yield server


@pytest.fixture
def index(server: S3Server, proxy: FaultProxy, tmp_path: Path) -> Index:
    """Of all images, through the proxy."""
    return index_of(Source(uri=server.uri("in")), open_store(str(tmp_path / "sink")))


@pytest.fixture
def store(server: S3Server, proxy: FaultProxy) -> Store:
    return open_store(server.uri("in"), retry=HURRIED)


def test_an_image_of_which_a_gateway_says_that_it_is_not_there_is_read(
    index: Index, proxy: FaultProxy, server: S3Server, tmp_path: Path
) -> None:
    gone = server.folder / "in" / "00007.jpg"
    gone.rename(tmp_path / gone.name)
    chance = random.Random(1)
    proxy.fault = lambda request: GATEWAYS_404 if chance.random() < 0.4 else None
    try:
        errors = {image.index: image.error for image in read(index, ahead=16, retry=PATIENT) if image.error}
    finally:
        (tmp_path / gone.name).rename(gone)
    assert errors == {7: "It can't be read: there is no such object."}


@pytest.mark.parametrize("status", [403, 404])
def test_a_gateway_that_says_so_of_every_image_is_waited_for(index: Index, proxy: FaultProxy, status: int) -> None:
    proxy.fault = lambda request: Refusal(status=status)
    with pytest.raises(Transient):
        list(read(index, ahead=16))


def test_a_connection_that_leads_to_a_gateway_is_left(server: S3Server, proxy: FaultProxy) -> None:
    store = open_store(server.uri("in"), retry=PATIENT)
    lost: set[int] = set()

    def lose(request: Request) -> Refusal | None:
        if len(lost) < 1:
            lost.add(request.connection)
        return GATEWAYS_404 if request.connection in lost else None

    photo = store.read("00000.jpg")
    proxy.fault = lose
    assert all(store.read("00000.jpg") == photo for _ in range(10))
    assert [request.connection in lost for request in proxy.requests].count(True) <= 2 + 2


def test_a_writers_connection_that_leads_to_a_gateway_is_left(server: S3Server, proxy: FaultProxy) -> None:
    store = open_store(server.uri("in"), retry=PATIENT)
    lost: set[int] = set()

    def lose_the_first(request: Request) -> Refusal | None:
        if not lost:
            lost.add(request.connection)
        return GATEWAYS_404 if request.connection in lost else None

    uses: dict[str, Callable[[], object]] = {
        "create": lambda: store.create("written/new", b"rows"),
        "replace": lambda: store.replace("written/new", b"rows"),
        "list": lambda: store.list_names("written"),
        "delete": lambda: store.delete("written/new"),
    }
    store.replace("written/first", b"rows")
    for name, use in uses.items():
        lost.clear()
        before = len(proxy.requests)
        proxy.fault = lose_the_first
        use()
        assert len(proxy.requests) == before + 2, f"{name}: one request is answered by the gateway, the next by S3"
        proxy.fault = no_fault
    store.delete("written/first")


def test_calls_that_wait_together_leave_the_gateway_together(server: S3Server, proxy: FaultProxy) -> None:
    store, calls = open_store(server.uri("shared"), retry=PATIENT), 30
    store.replace("first", b"rows")
    lost: set[int] = set()
    proxy.fault = lambda request: GATEWAYS_404
    with ThreadPoolExecutor(calls) as pool:
        waiting = [pool.submit(store.create, str(number), b"rows") for number in range(calls)]
        wait_for(lambda: len({request.path for request in proxy.requests}) > calls, "every call asks the gateway")
        lost |= {request.connection for request in proxy.requests}
        proxy.fault = lambda request: GATEWAYS_404 if request.connection in lost else None
        assert all(call.result() for call in waiting)
    proxy.fault = no_fault
    for name in store.list_names():
        store.delete(name)


def test_a_gateway_at_the_first_request_is_waited_for(server: S3Server, proxy: FaultProxy, tmp_path: Path) -> None:
    def answers_404_first() -> Fault:
        left = iter([GATEWAYS_404] * 5)
        return lambda request: next(left, None)

    proxy.fault = answers_404_first()
    source = Source(uri=server.uri("in"))
    assert len(list(list_source(source, scratch=tmp_path, retry=PATIENT, kept=KeptColumns(())))) == IMAGES
    proxy.fault = answers_404_first()
    store = open_store(server.uri("first"), retry=PATIENT)
    assert store.create("first", b"rows")
    store.delete("first")
    proxy.fault = lambda request: GATEWAYS_404
    with pytest.raises(Transient, match=rf"^what answers at {proxy.endpoint} is no S3 server \("):
        list(list_source(source, scratch=tmp_path, retry=HURRIED, kept=KeptColumns(())))


def test_a_long_listing_goes_on_at_the_page_that_failed(server: S3Server, proxy: FaultProxy, tmp_path: Path) -> None:
    """It takes longer than one waits for a store, so it could not begin again."""
    for number in range(2_300):
        (server.folder / "long" / f"{number:04d}.jpg").parent.mkdir(exist_ok=True)
        (server.folder / "long" / f"{number:04d}.jpg").touch()
    # botocore asks twice by itself.
    proxy.fault = lambda request: BUSY if proxy.asked("GET", request.path) <= 2 else None
    names = list(open_store(server.uri("long"), retry=PATIENT).walk())
    assert names == [f"{number:04d}.jpg" for number in range(2_300)]


def write_empty(folder: Path, *names: str) -> list[str]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return sorted(names)


def test_folders_are_listed_side_by_side(server: S3Server, proxy: FaultProxy) -> None:
    large = [f"a/{number:04d}.jpg" for number in range(1_100)]
    names = write_empty(server.folder / "walked", "top.jpg", *large, "b/1/x.jpg", "b/2/y/z.jpg", "b/w.jpg")
    met, both = set[str](), threading.Barrier(2, timeout=60)

    def answers_both_or_none(request: Request) -> Refusal | None:
        (prefix,) = parse_qs(urlsplit(request.path).query)["prefix"]
        if prefix.endswith(("/a/", "/b/")) and prefix not in met:
            met.add(prefix)
            both.wait()
        return None

    proxy.fault = answers_both_or_none
    assert sorted(open_store(server.uri("walked"), retry=HURRIED).walk()) == names
    assert len(met) == 2


def test_folders_that_are_too_many_to_be_listed_one_by_one_are_not(server: S3Server, proxy: FaultProxy) -> None:
    names = write_empty(server.folder / "many", *(f"{number:04d}/{number}.jpg" for number in range(1_100)))
    assert sorted(open_store(server.uri("many"), retry=PATIENT).walk()) == names
    assert proxy.asked("GET", "list-type=2") == 3


def test_a_long_list_of_images_is_read_on_at_the_block_that_failed(server: S3Server, proxy: FaultProxy) -> None:
    data = bytes(range(256)) * 16_000
    (server.folder / "long.txt").write_bytes(data)
    proxy.fault = lambda request: BUSY if request.method == "GET" and proxy.asked("GET", "long.txt") % 3 else None
    assert b"".join(open_store(server.uri(), retry=PATIENT).blocks("long.txt")) == data


def test_what_is_there_exists_whatever_a_gateway_says(store: Store, proxy: FaultProxy) -> None:
    proxy.fault = lambda request: GATEWAYS_404 if request.method == "HEAD" else None
    assert store.exists("00000.jpg")
    assert not store.exists("nowhere.jpg")
    assert store.read("00000.jpg")[:2] == b"\xff\xd8"
    proxy.fault = lambda request: GATEWAYS_404
    with pytest.raises(Transient, match="no S3 server"):
        store.exists("00000.jpg")


def test_nothing_is_taken_for_deleted_of_which_a_gateway_says_that_it_is_not_there(
    store: Store, proxy: FaultProxy
) -> None:
    store.create("old", b"rows")
    proxy.fault = lambda request: GATEWAYS_404
    with pytest.raises(Transient, match="no S3 server"):
        store.delete("old")
    proxy.fault = no_fault
    assert store.exists("old")
    store.delete("old")
    store.delete("old")
    assert not store.exists("old")


def test_an_empty_object_exists(store: Store, proxy: FaultProxy) -> None:
    store.create("empty", b"")
    proxy.fault = lambda request: GATEWAYS_404 if request.method == "HEAD" else None
    try:
        assert store.exists("empty")
        assert store.read("empty") == b""
    finally:
        proxy.fault = no_fault
        store.delete("empty")
    with pytest.raises(NotFound, match="there is no such object"):
        store.read("empty")

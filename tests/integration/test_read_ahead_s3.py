"""How many requests a worker makes and has in flight while it reads ahead, counted at a proxy before a real server."""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dueby_api.errors import Transient
from dueby_api.source import Source
from dueby_worker.images.fetch import Fetcher
from dueby_worker.images.in_flight import MOST_IN_FLIGHT
from dueby_worker.images.read_ahead import DecodedImage, most_ahead, read_images
from dueby_worker.index.build import build_index
from dueby_worker.index.frozen_index import Index, open_index
from dueby_worker.storage.paced import Paces
from dueby_worker.storage.store import TooLarge
from dueby_worker.storage.stores import open_store
from support.fault_proxy import SLOW_DOWN, FaultProxy, Refusal, Request, no_fault
from support.index import HURRIED, PATIENT
from support.pictures import SMALL, write_photos
from support.s3 import S3Server, versitygw_server

pytestmark = pytest.mark.s3
IMAGES = 200
# Nothing is measured by it: it ends a test that fails.
LIMIT_S = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with versitygw_server(tmp_path_factory.mktemp("s3")) as server:
        write_photos(server.folder / "in", IMAGES)
        yield server


@dataclass(kw_only=True)
class Gate:
    """Answers no request until so many wait for an answer, or until it is clear that they never will."""

    wanted: int
    most: int = 0
    _waiting: int = 0
    _is_open: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def hold(self, request: Request) -> Refusal | None:
        with self._changed:
            self._waiting += 1
            self.most = max(self.most, self._waiting)
            self._is_open = self._is_open or self.most >= self.wanted
            self._changed.notify_all()
            self._is_open = self._changed.wait_for(lambda: self._is_open, LIMIT_S) or True
            self._waiting -= 1
        return None


def index_of(server: S3Server, tmp_path: Path) -> Index:
    sink = open_store(str(tmp_path / "sink"))
    build_index(Source(uri=server.uri("in")), sink, limit=None, preprocessing=SMALL, retry=HURRIED)
    return open_index(sink)


def read(index: Index, items: Iterable[tuple[int, str]] | None = None, **options: Any) -> list[DecodedImage]:
    """Read these images, or all of the index, as a worker does."""
    return list(
        read_images(
            index.items(0, IMAGES - 1) if items is None else items,
            source=index.document.source,
            preprocessing=SMALL,
            witnesses=index.witnesses,
            **{"retry": HURRIED, **options},
        )
    )


@pytest.mark.parametrize(("threads", "at_once"), [(1, 32), (2, 64), (4, 64)])
def test_so_many_requests_wait_for_their_answers_at_the_same_time(
    server: S3Server, proxy: FaultProxy, tmp_path: Path, threads: int, at_once: int
) -> None:
    index, gate = index_of(server, tmp_path), Gate(wanted=at_once)
    proxy.fault = gate.hold
    images = read(index, threads=threads, ahead=most_ahead(threads=threads, mini_batch_size=1))
    assert not [image.error for image in images if image.error]
    assert gate.most >= at_once


def test_a_photo_costs_one_request(server: S3Server, proxy: FaultProxy, tmp_path: Path) -> None:
    index = index_of(server, tmp_path)
    proxy.requests.clear()
    images = read(index, threads=2, ahead=16)
    assert not [image.error for image in images if image.error]
    asked = [(request.method, request.path) for request in proxy.requests]
    assert sorted(asked) == [("GET", f"/photos/in/{number:05d}.jpg") for number in range(IMAGES)]


def test_a_large_image_costs_two_and_the_first_one_brings_its_size_alone(server: S3Server, proxy: FaultProxy) -> None:
    (server.folder / "large.jpg").write_bytes(bytes(2**20))
    store = open_store(server.uri(), retry=HURRIED)
    with pytest.raises(TooLarge) as caught:
        store.read_once("large.jpg", max_bytes=1000)
    assert caught.value.size == 2**20
    assert store.read_once("large.jpg", max_bytes=2**20) == bytes(2**20)
    assert [(request.method, request.path) for request in proxy.requests] == [("GET", "/photos/large.jpg")] * 2


def test_ranges_of_a_tar_cost_one_request_each_once_its_version_is_known(server: S3Server, proxy: FaultProxy) -> None:
    (server.folder / "one.tar").write_bytes(bytes(range(256)) * 100)
    store = open_store(server.uri(), retry=HURRIED)
    version = str(store.version_once("one.tar"))
    fetcher = Fetcher(retry=HURRIED)
    proxy.requests.clear()
    first = fetcher.read_range(server.uri("one.tar"), 0, 256, version=version)
    others = [fetcher.read_range(server.uri("one.tar"), 256 * number, 256, version=version) for number in range(1, 9)]
    assert {first, *others} == {bytes(range(256))}
    assert proxy.asked("GET", "one.tar") == len(proxy.requests) == 1 + 9


def test_a_tar_that_is_written_again_while_it_is_read_is_noticed(server: S3Server, proxy: FaultProxy) -> None:
    store = open_store(server.uri(), retry=HURRIED)
    store.replace("two.tar", b"0123456789")
    version = store.version_once("two.tar")
    store.replace("two.tar", b"9876543210!")
    with pytest.raises(Transient, match="it was written again while it was read"):
        store.read_range_once("two.tar", 0, 5)
    assert store.version_once("two.tar") != version
    assert store.read_range_once("two.tar", 0, 5) == b"98765"


@dataclass(kw_only=True)
class FarAway:
    """Answers each request after so long."""

    delay_s: float
    most: int = 0
    _waiting: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, request: Request) -> None:
        with self._lock:
            self._waiting += 1
            self.most = max(self.most, self._waiting)
        time.sleep(self.delay_s)
        with self._lock:
            self._waiting -= 1


def test_the_farther_the_store_the_more_requests_are_in_flight(
    server: S3Server, proxy: FaultProxy, tmp_path: Path
) -> None:
    index, far = index_of(server, tmp_path), FarAway(delay_s=1.0)
    proxy.fault = far.hold
    twice = ((number, uri) for _ in range(2) for number, uri in index.items(0, IMAGES - 1))
    images = read(index, twice, threads=1, ahead=most_ahead(threads=1, mini_batch_size=1))
    assert not [image.error for image in images if image.error]
    # It begins with 33, for a thread that decodes and 32 that wait.
    assert 40 <= far.most <= MOST_IN_FLIGHT


def test_a_store_that_wants_fewer_requests_gets_fewer_and_no_image_fails(
    server: S3Server, proxy: FaultProxy, tmp_path: Path
) -> None:
    # So slow that a busy machine, too, asks for more.
    index, paces, rate = index_of(server, tmp_path), Paces(), 20.0
    granted_s = list[float]()
    lock = threading.Lock()

    def refuse_above_the_rate(request: Request) -> Refusal | None:
        with lock:
            now_s = time.monotonic()
            if granted_s and len(granted_s) > 4 + rate * (now_s - granted_s[0]):
                return SLOW_DOWN
            granted_s.append(now_s)
            return None

    proxy.fault = refuse_above_the_rate
    proxy.requests.clear()
    images = read(index, threads=2, ahead=64, retry=PATIENT, paces=paces)
    assert not [image.error for image in images if image.error]
    # The first ones come all at once; after that few are refused.
    refused = len(proxy.requests) - IMAGES
    assert 0 < refused < IMAGES
    # It may have been refused nothing after that.
    assert (paces.observed or 0.0) < 4 * rate


def test_a_store_that_says_how_long_is_left_alone_for_so_long(
    server: S3Server, proxy: FaultProxy, tmp_path: Path
) -> None:
    index, asked_s = index_of(server, tmp_path), list[float]()
    refusals = 3

    def refuse_first(request: Request) -> Refusal | None:
        asked_s.append(time.monotonic())
        return replace(SLOW_DOWN, retry_after_s=2) if len(asked_s) <= refusals else None

    proxy.fault = refuse_first
    images = read(index, index.items(0, 9), threads=1, ahead=1, retry=PATIENT)
    assert not [image.error for image in images if image.error]
    # obstore doesn't say how long, and the next request is s3fs's, which does: it asks twice by itself.
    pauses = [later - earlier for earlier, later in pairwise(asked_s)]
    assert pauses[refusals - 1] >= 2.0


def test_what_the_plan_gives_a_worker_is_never_exceeded(server: S3Server, proxy: FaultProxy, tmp_path: Path) -> None:
    index = index_of(server, tmp_path)
    proxy.fault = no_fault
    proxy.requests.clear()
    began_s = time.monotonic()
    images = read(index, index.items(0, 99), threads=2, ahead=64, paces=Paces(limit=50.0))
    assert len(images) == 100
    assert time.monotonic() - began_s >= (100 - 5) / 50

"""How many requests are in flight while a worker reads ahead, counted at a proxy before a real S3 server."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dueby_api.source import Source
from dueby_worker.images.read_ahead import most_ahead, read_images
from dueby_worker.index.build import build_index
from dueby_worker.index.frozen_index import Index, open_index
from dueby_worker.storage.stores import open_store
from support.fault_proxy import FaultProxy, Refusal, Request
from support.pictures import SMALL, write_photos
from support.s3 import S3Server, versitygw_server
from support.store import HURRIED

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


@pytest.mark.parametrize(("threads", "at_once"), [(1, 32), (2, 64), (4, 64)])
def test_so_many_requests_wait_for_their_answers_at_the_same_time(
    server: S3Server, proxy: FaultProxy, tmp_path: Path, threads: int, at_once: int
) -> None:
    index, gate = index_of(server, tmp_path), Gate(wanted=at_once)
    proxy.fault = gate.hold
    images = read_images(
        index.items(0, IMAGES - 1),
        source=index.document.source,
        preprocessing=SMALL,
        threads=threads,
        ahead=most_ahead(threads=threads, mini_batch_size=1),
        witnesses=index.witnesses,
        retry=HURRIED,
    )
    assert not [image.error for image in images if image.error]
    assert gate.most >= at_once

"""The local store, URIs that no store can be opened for, and how a store is asked again."""

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from dueby_api.errors import Invalid, Transient
from dueby_worker.storage.local_store import LocalStore
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Store, Unavailable
from dueby_worker.storage.stores import open_store
from dueby_worker.system.temporary_files import hold
from dueby_worker.telemetry.progress import StoreWaits
from support.index import HURRIED
from support.store import StoreContract


@pytest.fixture
def open_again(tmp_path: Path) -> Callable[[], Store]:
    return lambda: open_store(str(tmp_path / "sink"), retry=HURRIED)


class TestLocalStore(StoreContract):
    """A folder of this machine."""


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        pytest.param(
            "ftp://host/x",
            "ftp:// is not supported; use one of file, s3, gs, az, http, https, or a bare path",
            id="ftp",
        ),
        pytest.param("s3://", "'s3://' has no bucket after s3://", id="no bucket"),
        pytest.param("https:///x", "'https:///x' has no host after https://", id="no host"),
        pytest.param(
            "file://host/x", "'file://host/x' is not the URI of a file on this machine", id="a file elsewhere"
        ),
    ],
)
def test_a_uri_that_is_none_is_refused_with_its_field(uri: str, sentence: str) -> None:
    with pytest.raises(Invalid) as caught:
        open_store(uri, field="spec.sink.uri")
    assert caught.value.field == "spec.sink.uri"
    assert caught.value.message.startswith(sentence)


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("{}/a%20b", id="a bare path is taken as it is"),
        pytest.param("file://{}/a%2520b", id="a file URI has escapes"),
        pytest.param("file://localhost{}/a%2520b/", id="with this host and a slash at its end"),
        pytest.param("{}/x/../a%20b", id="with dots"),
    ],
)
def test_one_folder_has_many_names(tmp_path: Path, uri: str) -> None:
    store = open_store(uri.format(tmp_path))
    store.create("x", b"")
    assert (tmp_path / "a%20b" / "x").exists()
    assert store.uri == f"file://{tmp_path}/a%2520b"


def test_a_web_server_is_not_written_to() -> None:
    store = open_store("https://example.org/folder", retry=HURRIED)
    for write in (store.create, store.replace):
        with pytest.raises(Invalid, match=r"^spec.sink.uri: https://example.org/folder can only be read from; "):
            write("x", b"")


def test_a_file_in_the_way_is_the_users_to_move(tmp_path: Path) -> None:
    (tmp_path / "sink").write_text("not a folder")
    store = open_store(str(tmp_path / "sink"), retry=HURRIED)
    with pytest.raises(Invalid, match=r"^spec.sink.uri: .*/sink: "):
        store.create("x", b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_what_may_not_be_read_or_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    (tmp_path / "x").chmod(0)
    tmp_path.chmod(0o500)
    store = open_store(str(tmp_path), retry=HURRIED)
    with pytest.raises(Unavailable, match=r"^permission denied$"):
        store.read("x")
    with pytest.raises(Invalid, match=r"permission denied$"):
        store.create("y", b"")


def test_a_folder_that_has_gone_is_waited_for_and_not_made_again(
    tmp_path: Path, open_again: Callable[[], Store]
) -> None:
    store = open_again()
    store.create("x", b"")
    (tmp_path / "sink").rename(tmp_path / "elsewhere")
    for ask in (store.list_names, lambda: store.exists("x"), lambda: store.read("x"), lambda: store.create("y", b"")):
        with pytest.raises(Transient, match=r"/sink has gone; was it unmounted\?$"):
            ask()
    assert not (tmp_path / "sink").exists()
    (tmp_path / "elsewhere").rename(tmp_path / "sink")
    assert store.create("y", b"")


def test_a_folder_is_not_read_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(Unavailable, match=r"^it is a folder, not a file$"):
        open_store(str(tmp_path)).read("folder")


def test_what_a_killed_writer_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    (tmp_path / "part").write_text("")
    (tmp_path / ".dueby-left").write_text("")
    with (tmp_path / ".dueby-written").open("wb") as file:
        assert hold(file.fileno())
        os.utime(file.fileno(), (0, 0))  # age says nothing: it may have been stopped
        assert store.list_names() == ["part"]
        assert store.sweep() == 1
        assert sorted(os.listdir(tmp_path)) == [".dueby-written", "part"]
    assert store.sweep() == 1


def test_a_sweep_goes_into_the_folders_below_if_it_is_to(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for folder in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        folder.mkdir(exist_ok=True)
        (folder / ".dueby-left").write_text("")
    assert store.sweep("a", is_deep=True) == 2
    assert store.sweep() == 1
    assert store.sweep("nowhere", is_deep=True) == 0


def test_writers_and_sweeps_do_not_get_into_each_other_s_way(tmp_path: Path, open_again: Callable[[], Store]) -> None:
    stores = [open_again() for _ in range(2)]
    written = threading.Event()

    def sweep() -> None:
        while not written.is_set():
            open_again().sweep()

    with ThreadPoolExecutor() as threads:
        sweeping = threads.submit(sweep)
        try:
            names = [f"{number:03d}" for number in range(100)]
            for number, name in enumerate(names):
                assert stores[number % 2].create(name, b"rows")
        finally:
            written.set()
        sweeping.result()
    assert stores[0].list_names() == names


class Stumbling(LocalStore):
    """A folder whose listing fails once, after the first name."""

    fails = 1

    def _list(self, folder: str) -> Iterator[tuple[str, bool]]:
        for entry in super()._list(folder):
            yield entry
            self.fails -= 1
            if self.fails == 0:
                raise Transient("input/output error")


def test_a_listing_that_fails_after_some_names_is_read_again_from_its_beginning(tmp_path: Path) -> None:
    store = Stumbling((tmp_path / "sink").as_uri(), field="spec.sink", retry=HURRIED)
    for name in ("a", "b", "c", "folder/d"):
        store.create(name, b"")
    attempts: list[list[str]] = []

    def read(names: Iterator[str]) -> int:
        attempts.append([])
        attempts[-1].extend(names)
        return len(attempts[-1])

    assert store.read_names(read) == 3
    assert len(attempts) == 2
    assert sorted(attempts[1]) == ["a", "b", "c"]


class TestRetryPolicy:
    """How a store that doesn't answer is asked again."""

    def test_it_ends_when_there_is_an_answer(self, caplog: pytest.LogCaptureFixture) -> None:
        failures = [Transient("still away"), Transient("away")]

        def ask() -> str:
            if failures:
                raise failures.pop()
            return "here"

        assert RetryPolicy(first_pause_s=0.001, total_s=10).call(ask, what="the store") == "here"
        assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
        passed = re.compile(r"after \d s; trying again in \d\.\d s")
        assert [passed.sub("soon; trying again in a moment", message) for message in caplog.messages] == [
            f"the store can't be used: {failure}. Attempt {attempt} failed soon; trying again in a moment, "
            "giving up after 10 s."
            for attempt, failure in ((1, "away"), (2, "still away"))
        ]

    def test_what_is_waited_for_is_told_from_the_first_failure_to_the_answer(self) -> None:
        waits, seen = StoreWaits("sink"), []

        def ask() -> str:
            seen.append(waits.longest(now_s=time.monotonic()))
            if len(seen) < 3:
                raise Transient(f"away {len(seen)}")
            return "here"

        assert RetryPolicy(first_pause_s=0.001, total_s=10, waits=waits).call(ask, what="the store") == "here"
        assert [wait.error if wait else None for wait in seen] == [None, "away 1", "away 2"]
        assert waits.longest(now_s=time.monotonic()) is None

    def test_what_is_given_up_is_waited_for_no_longer(self) -> None:
        def ask() -> None:
            raise Transient("away")

        waits = StoreWaits("sink")
        with pytest.raises(Transient):
            replace(HURRIED, waits=waits).call(ask, what="the store")
        assert waits.longest(now_s=time.monotonic()) is None

    def test_it_ends_after_its_time_with_the_last_failure(self) -> None:
        asked: list[None] = []

        def ask() -> None:
            asked.append(None)
            raise Transient(f"away {len(asked)}")

        with pytest.raises(Transient, match=r"^away \d+$") as caught:
            HURRIED.call(ask, what="the store")
        assert len(asked) > 1
        assert str(caught.value) == f"away {len(asked)}"

    @pytest.mark.parametrize("failure", [Invalid("field", "wrong"), Unavailable("gone"), OSError(errno.EIO, "a bug")])
    def test_it_is_for_transient_failures_only(self, failure: Exception) -> None:
        asked: list[None] = []

        def ask() -> None:
            asked.append(None)
            raise failure

        with pytest.raises(type(failure)):
            HURRIED.call(ask, what="the store")
        assert len(asked) == 1

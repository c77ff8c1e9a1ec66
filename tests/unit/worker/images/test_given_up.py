"""When an image is given up that fails as if its store were away, and when its store is to blame."""

from collections.abc import Iterable, Iterator
from itertools import count, cycle
from pathlib import Path

import pytest

from dueby_api.errors import Transient
from dueby_worker.images.fetch import GIVE_UP_AFTER_TIMES, Fetcher
from dueby_worker.storage.local_store import LocalStore
from dueby_worker.storage.paced import Paces
from dueby_worker.storage.retry import RetryPolicy, Throttled
from dueby_worker.storage.store import Store, Unavailable
from dueby_worker.storage.uris import file_uri
from support.pictures import write_photos

WAITED_FOR_S = 20.0
HURRIED = RetryPolicy(first_pause_s=0.01, max_pause_s=0.02, total_s=0.2)
# An attempt takes all the time of the policy, as that of a disk that tries a bad sector again and again.
ONE_LONG_ATTEMPT = RetryPolicy(first_pause_s=0.001, max_pause_s=0.001, total_s=0)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return write_photos(tmp_path / "in", 40, size=(48, 36))


def uris_of(paths: Iterable[Path]) -> list[str]:
    return [file_uri(str(path)) for path in paths]


class BadSectors(LocalStore):
    """A disk on which some files can't be read, now or ever."""

    def _read(self, path: str, *, max_bytes: int | None) -> bytes:
        if path.endswith("00003.jpg"):
            raise Transient("input/output error")
        return super()._read(path, max_bytes=max_bytes)


# Attempts follow one another at once, and nothing depends on how long they take.
OFTEN = RetryPolicy(first_pause_s=0.001, max_pause_s=0.001, total_s=WAITED_FOR_S)


def open_bad_sectors(root: str) -> Store:
    return BadSectors(root, field="spec.source", retry=OFTEN)


def test_an_image_that_fails_while_others_are_read_is_given_up(photos: list[Path]) -> None:
    fetcher = Fetcher(witnesses=uris_of(photos[-2:]), retry=OFTEN, give_up_after_s=0, opener=open_bad_sectors)
    assert fetcher.read(uris_of(photos)[0])
    with pytest.raises(
        Unavailable, match="its store answers for other images but not for this one: input/output error"
    ):
        fetcher.read(uris_of(photos)[3])


def test_an_image_that_fails_while_none_is_read_is_not_given_up(photos: list[Path]) -> None:
    uris = uris_of(photos)
    for path in photos[-2:]:
        path.unlink()
    fetcher = Fetcher(witnesses=uris[-2:], retry=HURRIED, give_up_after_s=0.05, opener=open_bad_sectors)
    with pytest.raises(Transient, match="input/output error"):
        fetcher.read(uris[3])


class Busy(LocalStore):
    """A store that answers for others every other time, and for one image at last."""

    asked = 0

    def _read(self, path: str, *, max_bytes: int | None) -> bytes:
        if path.endswith("00003.jpg") and self.asked < 6 * GIVE_UP_AFTER_TIMES:
            raise Transient("slow down")
        return super()._read(path, max_bytes=max_bytes)

    def exists_once(self, path: str) -> bool:
        self.asked += 1
        if self.asked % 2:
            raise Transient("slow down")
        return super().exists_once(path)


def test_an_image_is_not_given_up_by_a_store_that_answers_now_and_then(photos: list[Path]) -> None:
    def open_busy(root: str) -> Store:
        return Busy(root, field="spec.source", retry=OFTEN)

    uris = uris_of(photos)
    fetcher = Fetcher(witnesses=uris[-2:], retry=OFTEN, give_up_after_s=0, opener=open_busy)
    assert fetcher.read(uris[3]) == photos[3].read_bytes()


class Throttling(LocalStore):
    """A store that wants fewer requests, and answers for the witnesses all the same."""

    refusals = 0

    def _read(self, path: str, *, max_bytes: int | None) -> bytes:
        Throttling.refusals += 1
        if Throttling.refusals <= 5 * GIVE_UP_AFTER_TIMES:
            raise Throttled("slow down")
        return super()._read(path, max_bytes=max_bytes)


def test_an_image_is_not_given_up_by_a_store_that_wants_fewer_requests(photos: list[Path]) -> None:
    def open_throttling(root: str) -> Store:
        return Throttling(root, field="spec.source", retry=OFTEN)

    uris = uris_of(photos)
    paces = Paces(clock=count(0.0, 10.0).__next__)
    fetcher = Fetcher(witnesses=uris[-2:], retry=OFTEN, give_up_after_s=0, opener=open_throttling, paces=paces)
    assert fetcher.read(uris[3]) == photos[3].read_bytes()
    Throttling.refusals = 0
    hurried = Fetcher(
        witnesses=uris[-2:], retry=ONE_LONG_ATTEMPT, give_up_after_s=0, opener=open_throttling, paces=paces
    )
    with pytest.raises(Throttled):
        hurried.read(uris[3])


class Slow(LocalStore):
    """A store on which one image can't be read, and the witnesses only sometimes."""

    def __init__(self, root: str, there: Iterator[bool]) -> None:
        super().__init__(root, field="spec.source", retry=OFTEN)
        self._there = there

    def _read(self, path: str, *, max_bytes: int | None) -> bytes:
        raise Transient("timed out")

    def exists_once(self, path: str) -> bool:
        if not next(self._there):
            raise Transient("timed out")
        return True


def read_slowly(photos: list[Path], there: Iterator[bool], cancel: bool = False) -> bytes:
    uris = uris_of(photos)
    fetcher = Fetcher(
        witnesses=uris[-2:], retry=ONE_LONG_ATTEMPT, give_up_after_s=0, opener=lambda root: Slow(root, there)
    )
    if cancel:
        fetcher.cancel()
    return fetcher.read(uris[3])


def test_an_image_is_given_up_when_the_time_is_up_if_its_store_answers_for_others(photos: list[Path]) -> None:
    with pytest.raises(Unavailable, match="its store answers for other images but not for this one: timed out"):
        read_slowly(photos, cycle([True]))


@pytest.mark.parametrize("answers", range(2 * GIVE_UP_AFTER_TIMES))
def test_an_image_is_not_given_up_when_the_time_is_up_if_its_store_is_busy(photos: list[Path], answers: int) -> None:
    with pytest.raises(Transient, match="timed out"):
        read_slowly(photos, cycle([True] * answers + [False]))


class Stopped(LocalStore):
    """A store whose connections have all broken while the process was stopped, or its machine."""

    is_broken = True

    def _read(self, path: str, *, max_bytes: int | None) -> bytes:
        if self.is_broken:
            self.is_broken = False
            raise Transient("connection reset by peer")
        return super()._read(path, max_bytes=max_bytes)


def test_an_image_is_not_given_up_because_its_worker_was_stopped_for_longer_than_one_waits(photos: list[Path]) -> None:
    uris = uris_of(photos)
    times_s = iter([0.0])
    fetcher = Fetcher(
        witnesses=uris[-2:],
        retry=ONE_LONG_ATTEMPT,
        clock=lambda: next(times_s, 3600.0),
        opener=lambda root: Stopped(root, field="spec.source", retry=OFTEN),
    )
    assert fetcher.read(uris[3]) == photos[3].read_bytes()


def test_no_image_is_given_up_because_its_reader_ends(photos: list[Path]) -> None:
    with pytest.raises(Transient, match="timed out"):
        read_slowly(photos, cycle([True]), cancel=True)

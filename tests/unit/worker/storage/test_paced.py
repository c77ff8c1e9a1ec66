"""Requests in their turn, and the pauses after a store's refusals."""

import threading
from itertools import count

import pytest

from dueby_api.errors import Transient
from dueby_worker.storage.paced import Paces
from dueby_worker.storage.retry import RetryPolicy, Throttled
from dueby_worker.storage.store import NotFound


class Pauses(threading.Event):
    """What is waited for, without waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        return False


def ask_of(refusals: list[Transient]) -> bytes:
    if refusals:
        raise refusals.pop()
    return b"photo"


@pytest.mark.parametrize(
    ("refusal", "longest"),
    [
        pytest.param(Throttled("slow down"), 2.5, id="a store that wants fewer requests is there"),
        pytest.param(Throttled("slow down", retry_after_s=7), 7.0, id="for as long as it says"),
        pytest.param(Transient("gone"), 30.5, id="a store that is away is asked more and more rarely"),
    ],
)
def test_how_long_a_refusal_is_waited_out(refusal: Transient, longest: float) -> None:
    pauses, refusals = Pauses(), [refusal] * 12
    assert RetryPolicy().call(lambda: ask_of(refusals), what="store", cancelled=pauses) == b"photo"
    assert longest - 0.5 <= max(pauses.seconds) <= longest


def test_a_store_that_refuses_is_asked_again_in_its_turn() -> None:
    paces = Paces(clock=count(0.0, 1.0).__next__)
    refusals: list[Transient] = [Throttled("slow down")] * 3
    assert paces.of("s3://photos").call(lambda: ask_of(refusals), cancelled=Pauses()) == b"photo"
    assert paces.observed is not None
    refusals = [Throttled("slow down")] * 9
    with pytest.raises(Throttled):
        paces.of("s3://photos").call(lambda: ask_of(refusals), cancelled=Pauses())


def test_stores_have_a_pace_each_and_tell_how_long_they_took() -> None:
    took = list[float]()
    paces = Paces(clock=count(0.0, 1.0).__next__)
    paces.listen(took.append)
    assert paces.of("s3://a").call(lambda: b"", cancelled=Pauses()) == b""
    with pytest.raises(NotFound):
        paces.of("s3://b").call(_not_found, cancelled=Pauses())
    assert took == [1.0, 1.0]
    assert paces.observed is None
    assert paces.of("s3://a") is not paces.of("s3://b")


def _not_found() -> bytes:
    raise NotFound("there is no such object")


def test_who_waits_for_a_turn_is_let_go_when_reading_ends() -> None:
    paces, ended = Paces(limit=0.001), threading.Event()
    ended.set()
    store = paces.of("s3://photos")
    with pytest.raises(Transient, match="reading was ended"):
        store.call(lambda: b"photo", cancelled=ended)

"""Two lines for trouble that lasts, none for what is over at once, and none for what a greater trouble explains."""

import pytest

from dueby_operator.kube.trouble import Trouble


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def trouble(clock: Clock, *, within: Trouble | None = None) -> Trouble:
    return Trouble("it is away", "it is back", within=within, clock_s=clock)


def test_what_lasts_is_told_when_it_has_begun_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    found = trouble(clock)
    for clock.now_s in range(60):
        found.failed("refused")
        assert found.lasts == (clock.now_s >= 2)
    clock.now_s = 63
    found.worked()
    found.worked()
    assert caplog.messages == ["it is away: refused", "it is back after 63 s"]
    assert (found.lasts, found.ended_s) == (False, 63)


def test_what_is_over_at_once_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    found = trouble(clock)
    for clock.now_s in range(60):
        found.failed("refused")
        found.worked()
    assert not caplog.messages


def test_another_reason_is_told_a_minute_later_and_the_same_is_not(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    found = trouble(clock)
    for clock.now_s in range(300):
        found.failed("refused" if clock.now_s < 100 else "no answer")
    assert caplog.messages == ["it is away: refused", "it is away: no answer"]


def test_what_a_greater_trouble_explains_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    server = trouble(clock)
    found = trouble(clock, within=server)
    for clock.now_s in range(60):
        server.failed("refused")
        found.failed("refused, too")
    server.worked()
    found.worked()
    assert caplog.messages == ["it is away: refused", "it is back after 59 s"]

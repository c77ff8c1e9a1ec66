"""The loop's rests: as short as is due, and longer where passes take the processor for long."""

import pytest

from dueby_operator.passes.pace import LONGEST_S, SHARE, WOKEN_SHARE, Pace


class Clocks:
    """The time, and the processor's, which a test lets pass."""

    def __init__(self) -> None:
        self.now_s = self.used_s = 0.0

    def work(self, *, seconds: float, cpu_s: float) -> None:
        self.now_s += seconds
        self.used_s += cpu_s


def passes(
    clocks: Clocks,
    *,
    seconds: float,
    cpu_s: float,
    due_s: float = 2.0,
    resting_cpu_s: float = 0,
    is_woken: bool = False,
) -> float:
    """Let ten passes go by, each woken as soon as may be or due; return the rest after the last."""
    pace = Pace(clock_s=lambda: clocks.now_s, cpu_s=lambda: clocks.used_s)
    rest_s = 0.0
    for _ in range(10):
        clocks.work(seconds=rest_s, cpu_s=resting_cpu_s)
        pace.begin()
        clocks.work(seconds=seconds, cpu_s=cpu_s)
        rest_s = pace.rest_s(due_s)
        rest_s = pace.least_s if is_woken else rest_s
    return rest_s


def test_a_cheap_pass_is_followed_by_the_next_when_that_is_due() -> None:
    assert passes(Clocks(), seconds=0.1, cpu_s=0.05) == 2.0


@pytest.mark.parametrize("resting_cpu_s", [0.0, 0.05])
def test_passes_that_cost_much_take_no_more_than_their_share(resting_cpu_s: float) -> None:
    clocks = Clocks()
    passes(clocks, seconds=0.6, cpu_s=0.3, resting_cpu_s=resting_cpu_s)
    # The first of ten has no rest before it.
    assert clocks.used_s / clocks.now_s <= SHARE * 10 / 9


def test_no_rest_is_longer_than_the_longest_unless_nothing_is_due_earlier() -> None:
    assert passes(Clocks(), seconds=5, cpu_s=4) == LONGEST_S
    assert passes(Clocks(), seconds=5, cpu_s=4, due_s=30) == 30


@pytest.mark.parametrize("resting_cpu_s", [0.0, 0.2])
def test_where_something_always_happens_passes_take_no_more_than_a_share_either(resting_cpu_s: float) -> None:
    clocks = Clocks()
    passes(clocks, seconds=1.2, cpu_s=1.0, resting_cpu_s=resting_cpu_s, is_woken=True)
    assert clocks.used_s / clocks.now_s <= WOKEN_SHARE * 10 / 9


def test_what_happens_after_a_cheap_pass_waits_for_nothing() -> None:
    assert passes(Clocks(), seconds=1.0, cpu_s=0.1, is_woken=True) == 0.0
    assert passes(Clocks(), seconds=50, cpu_s=40, is_woken=True) == LONGEST_S

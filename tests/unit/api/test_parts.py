"""Parts as runs: the same as a set of numbers, and no larger for more of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.parts import MAX_TEXT, NONE, Parts, all_parts, parts_of, parts_of_runs, parts_of_text, text_of_parts

NUMBERS = st.sets(st.integers(0, 60))
RUNS = st.lists(st.tuples(st.integers(-5, 70), st.integers(-5, 70)))


@given(NUMBERS, NUMBERS)
def test_they_are_as_sets_are(one: set[int], other: set[int]) -> None:
    a, b = parts_of(one), parts_of(other)
    assert list(a) == sorted(one)
    assert [a[place] for place in range(len(a))] == sorted(one)
    assert a | b == parts_of(one | other)
    assert a - b == parts_of(one - other)
    assert [part for part in range(-2, 70) if part in a] == sorted(one)
    assert bool(a) == bool(one)


@given(RUNS)
def test_runs_in_any_order_are_the_parts_that_they_hold_of_the_grid(
    runs: list[tuple[int, int]],
) -> None:
    held = {part for first, end in runs for part in range(max(0, first), min(end, 50))}
    found = parts_of_runs(runs, of=50)
    assert set(found) == held
    assert all(end < first for (_, end), (first, _) in zip(found.runs, found.runs[1:], strict=False))


def test_a_million_millions_are_one_run() -> None:
    whole = all_parts(10**12)
    assert len(whole) == 10**12
    assert (whole - parts_of([5])).runs == ((0, 5), (6, 10**12))
    assert parts_of_runs([(0, 10**12)], of=3) == all_parts(3)
    assert whole[10**12 - 1] == 10**12 - 1
    assert "a" not in whole
    assert not NONE
    with pytest.raises(IndexError):
        NONE[0]
    with pytest.raises(IndexError):
        Parts(((1, 2),))[1]


@given(NUMBERS)
def test_as_text_they_are_the_same_parts(numbers: set[int]) -> None:
    assert parts_of_text(text_of_parts(parts_of(numbers)), of=61) == parts_of(numbers)


def test_as_text_they_are_short_and_of_the_grid() -> None:
    assert text_of_parts(parts_of([0, 1, 2, 7])) == "0-2,7"
    assert parts_of_text("0-2,7,9-30", of=10) == parts_of([0, 1, 2, 7, 9])
    assert parts_of_text("7-3", of=10) == NONE


def test_of_more_runs_than_a_text_has_room_for_the_longest_are_kept() -> None:
    scattered = parts_of_runs([(0, 100_000), *((first, first + 1) for first in range(200_000, 300_000, 2))])
    text = text_of_parts(scattered)
    assert MAX_TEXT - 10 < len(text) <= MAX_TEXT
    kept = parts_of_text(text, of=300_000)
    assert kept.runs[0] == (0, 100_000)
    assert not kept - scattered

"""Re-planning as a pure function: the fewest devices that close the gap, what is remembered, when one is given back."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.model.capacity import PoolGroup
from dueby_planner.model.rule import Rule, Spreads
from dueby_planner.schedule.lag import FRESH, LagMemory, OngoingWorker, WorkerChange, read_lag
from support.planner import NO_SPREADS, WORKERS, choice, group, worker

LEFT, TIME_US, PAUSE_US = 1_000, 1_000, 100
FREE = group(choice(10, 10, 100), count=8)  # each does 910 images by then


def exact(images: int, *, spreads: Spreads = NO_SPREADS, confidence: float = 0.5) -> Rule:
    """Return the rule for so many images that are left."""
    return Rule(images=images, confidence=confidence, spreads=spreads)


def read(*ongoing: OngoingWorker, left: int = LEFT, **changes: Any) -> WorkerChange:
    """Return the change after one reading of the workers, with 1,000 us to go and eight GPUs free."""
    fields: dict[str, Any] = {
        "free": [FREE],
        "rule": exact(left),
        "time_us": TIME_US,
        "promised_us": TIME_US,
        "max_added": 8,
        "now_us": 5_000,
        "pause_us": PAUSE_US,
        "memory": FRESH,
        "at_once": False,
    } | changes
    return read_lag(list(ongoing), **fields)


def added(change: WorkerChange) -> int:
    """Return how many devices are added."""
    return sum(devices for _, devices in change.add)


# ---- too few


def test_a_worker_that_just_does_it_needs_no_help() -> None:
    assert read(worker(), left=1_000) == WorkerChange(memory=FRESH)


def test_one_low_reading_is_remembered_and_changes_nothing() -> None:
    assert read(worker(), left=1_001) == WorkerChange(memory=LagMemory(low_readings=1))


def test_the_second_low_reading_in_a_row_adds_and_begins_the_pause() -> None:
    change = read(worker(), left=1_001, memory=LagMemory(low_readings=1))
    assert added(change) == 1
    assert change.memory == LagMemory(low_readings=0, quiet_until_us=5_000 + PAUSE_US)


def test_a_good_reading_between_two_low_ones_forgets_the_first() -> None:
    first = read(worker(), left=1_001)
    good = read(worker(), left=1_000, memory=first.memory)
    assert read(worker(), left=1_001, memory=good.memory).add == ()


def test_in_the_pause_low_readings_only_count_up() -> None:
    change = read(worker(), left=1_001, memory=LagMemory(low_readings=1, quiet_until_us=5_001))
    assert change == WorkerChange(memory=LagMemory(low_readings=2, quiet_until_us=5_001))


def test_after_a_loss_or_an_edit_one_reading_is_enough_even_in_the_pause() -> None:
    change = read(worker(), left=1_001, memory=LagMemory(quiet_until_us=9_999), at_once=True)
    assert added(change) == 1


@pytest.mark.parametrize(
    ("left", "devices"),
    [
        pytest.param(1_854, 1, id="1,000 + 910 are 3 % more than 1,854"),
        pytest.param(1_855, 2, id="but not than 1,855"),
        pytest.param(2_737, 2, id="1,000 + 2 x 910 are than 2,737"),
        pytest.param(2_738, 3, id="but not than 2,738"),
    ],
)
def test_the_fewest_are_added_that_do_three_percent_more_than_is_left(left: int, devices: int) -> None:
    change = read(worker(), left=left, at_once=True)
    assert added(change) == devices
    assert not change.is_short


GROUPS = st.lists(
    st.builds(
        lambda size, step, start, number, name: group(choice(size, step, start), count=number, name=name),
        st.integers(1, 30),
        st.integers(5, 50),
        st.integers(0, 900),
        st.integers(1, 4),
        st.sampled_from("abc"),
    ),
    max_size=3,
)


@given(WORKERS, GROUPS, st.integers(1, 6), st.floats(1.0, 3.0))
def test_no_fewer_would_close_the_gap(
    ongoing: list[OngoingWorker], free: list[PoolGroup], most: int, factor: float
) -> None:
    able = sum(w.images_within(200) for w in ongoing)
    left = int(able * factor) + 1
    change = read(*ongoing, left=left, free=free, time_us=200, max_added=most, at_once=True)
    helpers = [
        OngoingWorker(name="", mini_batch_size=c.mini_batch_size, latency_us=c.latency_us, rest_us=c.start_us)
        for g in free
        for c in g.choices
        for _ in range(g.count)
    ]
    best = sorted((helper.images_within(200) for helper in helpers), reverse=True)[:most]
    enough = [n for n in range(1, len(best) + 1) if able + sum(best[:n]) >= left * Fraction(103, 100)]
    assert change.is_short is not bool(enough)
    if enough:
        assert added(change) == enough[0]


def test_where_none_close_the_gap_all_are_added_that_make_the_end_come_earlier() -> None:
    late = group(choice(10, 10, 5_000), name="late", count=3)  # warm before the end, but not by the deadline
    useless = group(choice(10, 10, 10**6), name="useless", count=5)
    change = read(worker(), left=20_000, free=[FREE, late, useless], max_added=99, at_once=True)
    assert change.is_short
    assert {capacity.group.device_class: n for capacity, n in change.add} == {"a": 8, "late": 3}


def test_no_more_are_added_than_may_be_used() -> None:
    change = read(worker(), left=20_000, max_added=3, at_once=True)
    assert (added(change), change.is_short) == (3, True)


def test_none_is_added_for_more_iterations_than_are_allowed() -> None:
    # Each would do 910 images; with 40 mini-batches after the first it does 410.
    assert [added(read(worker(), left=1_850, at_once=True, max_iterations=most)) for most in (None, 40)] == [1, 3]


def test_where_more_would_do_than_may_be_used_it_is_short() -> None:
    change = read(worker(), left=2_000, max_added=1, at_once=True)
    assert (added(change), change.is_short) == (1, True), "two would do, and eight are free"


def test_where_there_is_nothing_to_add_no_pause_begins() -> None:
    change = read(worker(), left=1_001, free=[], at_once=True)
    assert change == WorkerChange(is_short=True, memory=LagMemory(low_readings=1))


def test_a_worker_that_may_run_too_few_mini_batches_is_helped_although_it_has_the_time() -> None:
    limited = worker(iterations_left=50)
    assert added(read(limited, left=500, at_once=True)) == 0
    assert added(read(limited, left=501, at_once=True)) == 1


def test_where_the_workers_never_finish_every_device_that_does_anything_at_all_helps() -> None:
    slow = group(choice(10, 10, 10**6), name="slow", count=3)
    change = read(worker(iterations_left=1), left=20_000, free=[FREE, slow], max_added=99, at_once=True)
    assert change.is_short
    assert {capacity.group.device_class: n for capacity, n in change.add} == {"a": 8, "slow": 3}


def test_without_any_worker_the_fewest_new_ones_do_it_all() -> None:
    assert added(read(left=880, at_once=True)) == 1, "910 are 3 % more than 880"


# ---- too many


@pytest.mark.parametrize(
    ("left", "given_back"),
    [
        pytest.param(943, "w1", id="the other's 1,000 are 6 % more than 943"),
        pytest.param(944, None, id="but not than 944"),
    ],
)
def test_one_is_given_back_if_the_others_do_six_percent_more_than_is_left(left: int, given_back: str | None) -> None:
    assert read(worker("w0"), worker("w1", step=20), left=left).give_back == given_back


def test_the_one_that_does_least_is_given_back_and_the_pause_begins() -> None:
    change = read(worker("w0", step=30), worker("w1"), worker("w2", step=20), left=300)
    assert change == WorkerChange(give_back="w0", memory=LagMemory(quiet_until_us=5_000 + PAUSE_US))


def test_of_those_that_somebody_could_use_the_one_that_does_least_is_given_back() -> None:
    three = worker("w0", step=30), worker("w1"), worker("w2", step=20)
    assert read(*three, left=300, unwanted={"w0"}).give_back == "w2"
    assert read(*three, left=300, unwanted={"w0", "w1", "w2"}) == WorkerChange(memory=FRESH)
    # Without w1 the others do 840 images in this time, which is not 6 % more than 800.
    assert read(*three, left=800, unwanted={"w0", "w2"}).give_back is None


def test_in_the_pause_none_is_given_back() -> None:
    assert read(worker("w0"), worker("w1"), left=10, memory=LagMemory(quiet_until_us=5_001)).give_back is None


@pytest.mark.parametrize(
    ("left", "given_back"),
    [
        pytest.param(201, "w0", id="the two do 200 within the pause, so that it ends later"),
        pytest.param(200, None, id="it ends within the pause"),
        pytest.param(1, None, id="at the very end"),
    ],
)
def test_none_is_given_back_so_shortly_before_the_end_that_nobody_gains(left: int, given_back: str | None) -> None:
    two = worker("w0"), worker("w1")
    assert read(*two, left=left, pause_us=100).give_back in ({given_back, "w1"} if given_back else {None})


def test_the_last_one_is_never_given_back() -> None:
    assert read(worker("w0"), left=1).give_back is None


def test_the_others_must_keep_the_promised_finish_and_not_only_the_deadline() -> None:
    two = worker("w0"), worker("w1")
    assert read(*two, left=500, promised_us=1_000).give_back is not None
    assert read(*two, left=500, promised_us=500).give_back is None


def test_the_others_must_be_allowed_the_mini_batches_that_it_takes() -> None:
    # 500 images and 6 % are 530: 53 mini-batches of the other one.
    assert read(worker("w0", iterations_left=53), worker("w1", step=20), left=500).give_back == "w1"
    assert read(worker("w0", iterations_left=52), worker("w1", step=20), left=500).give_back is None


def test_the_others_must_be_accepted_at_the_job_s_confidence() -> None:
    two = worker("w0"), worker("w1")
    doubtful = exact(900, spreads=Spreads(run=0.1, node=0.1), confidence=0.95)
    assert read(*two, rule=exact(900)).give_back is not None
    assert read(*two, rule=doubtful).give_back is None


def test_each_of_the_others_counts_with_what_it_does_itself() -> None:
    # Without the last the others do 1,000 and 100: with a margin of some 250 less than 900. Twice the 1,000 would do.
    three = worker("w0"), worker("w1", step=100), worker("w2", step=200)
    doubtful = exact(900, spreads=Spreads(run=0.1, node=0.1), confidence=0.95)
    assert read(*three, rule=doubtful).give_back is None


def test_six_percent_more_to_the_image_are_enough_to_give_one_back() -> None:
    assert read(worker("w0", size=53, rest=900), worker("w1", size=1, rest=900), left=50).give_back == "w1"


def test_one_that_came_back_would_not_be_asked_for_at_once() -> None:
    # Hysteresis: whoever is given back leaves others that do 6 % more than is left, and help is called below 0 %.
    for left in range(1, 2_000):
        if read(worker("w0"), worker("w1"), left=left).give_back:
            assert read(worker("w1"), left=left, at_once=True).add == ()

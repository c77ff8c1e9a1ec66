"""The proof that jobs can't be done: by hand, and that what it says is needed is needed indeed."""

from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.model.capacity import DeviceChoice, capacity
from dueby_planner.schedule.calendar_job import needed_us
from dueby_planner.schedule.cut import Cuts, available_us
from dueby_planner.schedule.free_devices import CLASSES, CalendarPool, FreeDevices, proven
from dueby_planner.schedule.lag import OngoingWorker
from dueby_planner.schedule.spans import DAY_US, SEEN_US
from support.calendar import actions, always, calendar_job, changes, online, planned, steps
from support.planner import WORKERS, choice, worker

WHOLE = always({"a": 2})
CHOICES = st.lists(
    st.builds(choice, st.integers(1, 20), st.integers(1, 30), st.integers(0, 60)),
    min_size=1,
    max_size=3,
    unique_by=lambda found: found.mini_batch_size,
)


@given(choices=CHOICES, lengths=st.lists(st.tuples(st.integers(1, 300), st.integers(0, 2)), min_size=1, max_size=5))
def test_no_windows_do_so_many_images_in_less(choices: list[DeviceChoice], lengths: list[tuple[int, int]]) -> None:
    images = sum(capacity(choices[size % len(choices)], time_us=length_us) for length_us, size in lengths)
    if images:
        job = calendar_job("a", images=images, time=300, choices=tuple(choices))
        needed = needed_us(job.problem)
        assert needed is not None
        assert needed <= sum(length_us for length_us, _ in lengths)


@given(
    choices=CHOICES,
    lengths=st.lists(st.tuples(st.integers(1, 300), st.integers(0, 2)), max_size=4),
    at_work=WORKERS,
    until_us=st.integers(1, 300),
)
def test_nor_do_workers_that_are_there_already(
    choices: list[DeviceChoice], lengths: list[tuple[int, int]], at_work: list[OngoingWorker], until_us: int
) -> None:
    starts = [(min(length_us, until_us), choices[size % len(choices)]) for length_us, size in lengths]
    new = sum(capacity(found, time_us=length_us) for length_us, found in starts)
    images = new + sum(each.images_within(until_us) for each in at_work)
    if images:
        job = calendar_job("a", images=images, time=until_us, choices=tuple(choices))
        needed = needed_us(job.problem, at_work=at_work)
        assert needed is None or needed <= sum(length_us for length_us, _ in starts) + len(at_work) * until_us


def test_what_a_worker_does_that_is_there_takes_no_start() -> None:
    # It is about to end a mini-batch of 10, and does no more than 110 by the deadline.
    running = worker(size=10, step=10, rest=0)
    assert needed_us(calendar_job("a", images=100, time=100).problem, at_work=[running]) == 90
    assert needed_us(calendar_job("a", images=111, time=100).problem, at_work=[running]) == 101 + 10
    assert needed_us(calendar_job("a", images=10, time=100).problem, at_work=[running]) == 0


def test_a_worker_that_is_faster_than_planned_takes_less() -> None:
    assert needed_us(calendar_job("a", images=110, time=100).problem, at_work=[worker(size=10, step=5, rest=0)]) == 50


def test_what_is_done_on_devices_that_are_not_counted_takes_nothing_of_those_that_are() -> None:
    problem = calendar_job("a", images=100, time=100).problem
    assert needed_us(problem, elsewhere=40) == 60 + 10
    assert needed_us(problem, elsewhere=40, at_work=[worker(size=10, step=10, rest=0)]) == 50
    assert needed_us(problem, elsewhere=100) == needed_us(problem, elsewhere=110) == 0


def test_jobs_that_are_late_without_it_prove_nothing_of_another() -> None:
    late, refused = calendar_job("late", images=500, time=100), calendar_job("refused", images=30, time=50)
    assert Cuts([late], WHOLE).find(refused) is None
    assert Cuts([calendar_job("promised", images=150, time=100)], WHOLE).find(refused) is not None


def test_what_is_needed_is_steps_and_the_least_number_of_starts() -> None:
    # 10 images in 10 us; a start loses 20 - 10 us, and a device does 90 images in 100 us: 180 take two starts.
    assert needed_us(calendar_job("a", images=180, time=100).problem) == 180 + 2 * 10
    assert needed_us(calendar_job("a", images=181, time=100).problem) == 181 + 3 * 10


def test_a_job_for_which_no_device_is_soon_enough_is_no_matter_of_device_time() -> None:
    job = calendar_job("a", images=1, time=10)
    assert needed_us(job.problem) is None
    assert Cuts([], WHOLE).find(job) is None


def test_what_there_is_ends_with_each_deadline_and_with_what_the_jobs_may_hold() -> None:
    early = calendar_job("early", images=10, time=50, max_gpus=1)
    late = calendar_job("late", images=10, time=100)
    assert available_us([early], WHOLE) == 50
    assert available_us([late], WHOLE) == 200
    assert available_us([early, late], WHOLE) == 200
    one = calendar_job("one", images=10, time=100, max_gpus=1)
    assert available_us([early, one], WHOLE) == 2 * 50 + 50


def test_the_cut_names_those_only_without_whom_it_is_none() -> None:
    # `big` and `late` need 300 of the 300 us until the last deadline, and a start of each.
    small = calendar_job("small", images=10, time=150)
    big = calendar_job("big", images=130, time=150)
    late = calendar_job("late", images=160, time=150)
    calendar = planned(small, big, late)
    assert calendar.cut is not None
    assert [job.name for job in calendar.cut.jobs] == ["big", "late"]
    assert (calendar.cut.needed_us, calendar.cut.available_us) == (140 + 180, 300)


def test_a_cut_is_no_cut_for_those_who_fit() -> None:
    jobs = [calendar_job(name, images=90, time=100) for name in ("a", "b")]
    assert Cuts(jobs[:1], WHOLE).find(jobs[1]) is None


def test_jobs_on_other_classes_are_no_part_of_the_proof() -> None:
    whole = always({"a": 1, "b": 5})
    other = calendar_job("other", images=10, time=100, devices={"b": 5})
    promised, refused = (calendar_job(name, images=90, time=100, devices={"a": 1}) for name in ("promised", "refused"))
    cut = Cuts([promised, other], whole).find(refused)
    assert cut is not None
    assert [job.name for job in cut.jobs] == ["promised", "refused"]
    assert cut.available_us == 100


def test_jobs_on_several_classes_are_part_of_the_proof_where_they_take_all_of_them() -> None:
    whole = always({"a": 1, "b": 1})
    one = calendar_job("one", images=90, time=100, devices={"a": 1})
    both = calendar_job("both", images=180, time=100, devices={"a": 1, "b": 1})
    cut = Cuts([both], whole).find(one)
    assert cut is not None
    assert (cut.needed_us, cut.available_us) == (300, 200)


# ---- devices that come and go


def coming(there: FreeDevices) -> CalendarPool:
    """Return devices of the class `a` that are there over time, all of them idle."""
    tables = {kind: {"a": there} for kind in CLASSES}
    return CalendarPool(whole={"a": proven(there)}, free=tables, expected=tables)


def test_what_there_is_counts_only_while_it_is_there() -> None:
    there = {"a": steps((0, 1), (40, 3), (60, 0))}
    early, late = calendar_job("early", images=10, time=50), calendar_job("late", images=10, time=100)
    assert available_us([early], there) == 40 + 2 * 10
    assert available_us([late], there) == 40 + 2 * 20
    assert available_us([early, late], there) == 40 + 3 * 10 + 2 * 10


def test_a_job_that_is_due_before_devices_come_is_refused_with_the_proof() -> None:
    pool = coming(steps((0, 0), (100, 2)))
    calendar = online(pool, calendar_job("early", images=10, time=90), calendar_job("late", images=10, time=130))
    assert actions(calendar) == {"early": "Refuse", "late": "Reserve"}
    assert calendar.cut is not None
    assert (calendar.cut.needed_us, calendar.cut.available_us) == (20, 0)


def test_jobs_that_fill_what_comes_keep_another_one_from_it() -> None:
    pool = coming(steps((0, 1), (100, 2), (200, 0)))
    jobs = [calendar_job("first", images=180, time=200), calendar_job("second", images=50, time=250)]
    refused = calendar_job("refused", images=60, time=300)
    calendar = online(pool, *jobs, refused)
    assert actions(calendar) == {"first": "Start", "second": "Reserve", "refused": "Refuse"}
    assert calendar.cut is not None
    assert calendar.cut.available_us == 100 + 2 * 100


def test_beyond_the_weeks_that_are_seen_all_devices_count() -> None:
    nightly = proven(steps((0, 0), (DAY_US, 2), (2 * DAY_US, 0)))
    assert nightly == steps((0, 0), (DAY_US, 2), (2 * DAY_US, 0), (SEEN_US, 2))
    assert proven(steps((0, 2))) == steps((0, 2))


@given(
    times=st.sets(st.integers(1, 300), max_size=4),
    counts=st.lists(st.integers(0, 3), min_size=5, max_size=5),
    asked=st.lists(st.tuples(st.integers(1, 300), st.integers(20, 400), st.integers(1, 3)), min_size=1, max_size=5),
)
def test_what_has_room_on_devices_that_come_and_go_is_never_refused(
    times: set[int], counts: list[int], asked: list[tuple[int, int, int]]
) -> None:
    pool = coming(changes([0, *sorted(times)], counts))
    jobs = [
        calendar_job(f"job-{number}", images=images, time=time, devices={"a": 3}, max_gpus=most)
        for number, (images, time, most) in enumerate(asked)
    ]
    calendar = online(pool, *jobs)
    placed = [found.job for found in calendar.placements if found.reservation]
    for job in placed:
        assert Cuts([other for other in placed if other is not job], pool.whole).find(job) is None

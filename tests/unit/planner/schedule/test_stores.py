"""What devices take of stores that several jobs read. A device of these jobs does 10,000 photos a second."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.inference_job import JobSpec, Sink
from dueby_api.model import Model
from dueby_api.source import Source
from dueby_api.status import WindowStatus
from dueby_api.store_limits import SourceLimit
from dueby_planner.model.feed import MICRO, StoreFeed
from dueby_planner.model.problem import Problem
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.devices import DeviceGroup, DeviceGroups
from dueby_planner.schedule.free_devices import idle_pool
from dueby_planner.schedule.job import Claimant, PromisedJob
from dueby_planner.schedule.stores import StoreUse, is_store, shared_units, store_uses, window_uses, with_stores
from support.calendar import actions, calendar_job, online, windows
from support.planner import choice

RATE = 10_000
TIME = 12_000
S3 = "16,000 requests/s of s3://photos"
ONE, OTHER = ("team", "one"), ("others", "other")


def feed(
    requests: int | None = None, *, size: int = 0, bytes_per_s: int | None = None, is_own: bool = False
) -> StoreFeed:
    limit = SourceLimit(name="s3://photos", is_own=is_own, requests_per_s=requests, bytes_per_s=bytes_per_s)
    return StoreFeed(limits=(limit,), requests_per_image=Fraction(1), bytes_per_image=Fraction(size))


def asked(images: int, *, devices: int = 2, **changes: Any) -> Problem:
    steps = [choice(10, 1_000, 2_000)]
    return calendar_job("job", images=images, time=TIME, devices={"a": devices}, choices=steps, **changes).problem


@pytest.mark.parametrize(
    ("of_store", "images", "reserve", "cost"),
    [
        pytest.param(feed(4 * RATE), 10, 0, RATE, id="its own rate on a fast store"),
        pytest.param(feed(RATE // 2), 10, 0, RATE // 2, id="all of a slow store, and no more"),
        pytest.param(feed(16_000), 100, 0, RATE, id="its own rate where one device at it is enough"),
        pytest.param(feed(16_000), 150, 0, 8_000, id="its pace where two share the store"),
        pytest.param(feed(16_000), 150, 1, Fraction(16_000, 3), id="less with a device in reserve"),
        pytest.param(feed(size=8, bytes_per_s=4 * 8 * RATE), 10, 0, 8 * RATE, id="bytes"),
        pytest.param(
            replace(feed(RATE), requests_per_image=Fraction(1, 50)), 10, 0, RATE // 50, id="few requests for tars"
        ),
    ],
)
def test_a_device_takes_what_its_plan_lets_it_take(
    of_store: StoreFeed, images: int, reserve: int, cost: Fraction
) -> None:
    (use,) = store_uses(replace(asked(images, devices=4, reserve=reserve), feed=of_store))
    assert use.costs == {"a": cost * MICRO // 1}
    assert is_store(use.limit)


def test_a_limit_of_the_jobs_own_and_no_limit_are_nobody_elses() -> None:
    assert store_uses(asked(10)) == store_uses(replace(asked(10), feed=feed(10, is_own=True))) == ()


@given(
    requests=st.integers(1, 10 * RATE), count=st.integers(1, 12), reserve=st.integers(0, 2), images=st.integers(1, 500)
)
def test_as_many_devices_as_a_store_feeds_fit_into_its_limit(
    requests: int, count: int, reserve: int, images: int
) -> None:
    bound = replace(asked(images, devices=count, reserve=reserve), feed=feed(requests))
    (use,) = store_uses(bound)
    assert 0 < use.costs["a"] * bound.within_feed().most <= use.units


def test_a_job_that_is_left_alone_takes_what_its_windows_were_planned_at() -> None:
    window = WindowStatus(
        device_class="a",
        engine="openvino",
        from_time="2026-01-01T00:00:00Z",
        to_time="2026-01-01T00:00:10Z",
        count=2,
        mini_batch_size=10,
        images=4000,
    )
    spec = JobSpec(
        model=Model(name="resnet18"), source=Source(uri="s3://photos/"), sink=Sink(uri="rows"), deadline="1m"
    )
    claimant = Claimant(key=ONE, spec=spec, classes=("a",))
    job = PromisedJob(claimant=claimant, deadline_class="Hard", windows=(window,), now_us=0, feed=feed(16_000))
    assert window_uses(job) == (StoreUse(S3, 16_000 * MICRO, {"a": 200 * MICRO}),)
    assert window_uses(replace(job, feed=None)) == ()


def test_a_store_that_one_job_reads_is_no_limit_and_what_runs_on_a_shared_one_is_used() -> None:
    group = DeviceGroup(name="a", device_class="a", devices=4, idle=4, users=frozenset({ONE, OTHER}))
    groups, use = DeviceGroups(all=(group,)), StoreUse(S3, 100, {"a": 30})
    assert with_stores(groups, {ONE: [use]}, {ONE: ["a"]}) is groups
    (limit,) = with_stores(groups, {ONE: [use], OTHER: [use._replace(costs={"a": 20})]}, {ONE: ["a", "a"]}).limits
    assert (limit.name, limit.units, limit.used, limit.has_queue) == (S3, 100, 60, False)
    assert limit.costs == {ONE: {"a": 30}, OTHER: {"a": 20}}
    assert shared_units([[use], [use]]) == {S3: 100}
    assert shared_units([[use], []]) == {}


@pytest.mark.parametrize(("requests", "begins"), [(16_000, TIME), (2 * RATE, 0)], ids=["one by one", "at once"])
def test_a_second_job_waits_until_enough_of_the_store_is_left(requests: int, begins: int) -> None:
    jobs = [
        CalendarJob(name=name, deadline_class="Hard", problem=replace(asked(100), time_us=time_us))
        for name, time_us in (("first", TIME), ("second", 2 * TIME))
    ]
    uses = {job.name: store_uses(replace(job.problem, feed=feed(requests))) for job in jobs}
    units = shared_units(uses.values())
    limited = [replace(job, limits={use.limit: {"a": RATE * MICRO} for use in uses[job.name]}) for job in jobs]
    calendar = online(idle_pool({"a": 2}, limits=units), *limited)
    assert actions(calendar)["first"] == "Start"
    assert windows(calendar, "second")[0][0] in range(min(begins, 11_000), begins + 1)

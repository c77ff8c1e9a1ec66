"""When a node is away: by its annotation, and by the maintenance windows that select it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.capacity import DAYS, Timed
from dueby_api.errors import Invalid
from dueby_api.schema import validate
from dueby_api.units import to_micros
from dueby_operator.cluster.absences import DRAIN_AT, find_absences, find_weekly, read_drain_at, read_notice
from dueby_operator.objects.meta import ObjectMeta, StatusCondition
from dueby_operator.objects.nodes import NodeObject, NodeSpec, NodeStatus, Taint
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.spans import WEEKS_AHEAD, Span, from_now, with_weekly
from support.decisions import NOW, SECOND

HOUR = 3600 * SECOND


def window(from_h: int, to_h: int, **selector: str) -> Timed:
    times = {"from": f"2026-12-06T{from_h:02}:00:00Z", "to": f"2026-12-06T{to_h:02}:00:00Z"}
    document: dict[str, Any] = {**times, "nodeSelector": selector}
    return validate(Timed, document)


def test_an_annotation_says_when_a_node_is_drained() -> None:
    first = read_drain_at({DRAIN_AT: "1970-01-01T00:00:05Z", "other": "x"})
    assert first == read_drain_at({DRAIN_AT: "1970-01-01T01:00:05+01:00"}) == 5 * SECOND
    assert read_drain_at({}) is None


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-12-06T02:00:00", "2026-13-06T02:00:00Z", "5"])
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(Invalid, match=DRAIN_AT):
        read_drain_at({DRAIN_AT: text})


@pytest.mark.parametrize(
    ("key", "effect", "is_taken"),
    [
        ("karpenter.sh/disrupted", "NoSchedule", True),
        ("ToBeDeletedByClusterAutoscaler", "NoSchedule", True),
        ("cloud.google.com/impending-node-termination", "NoSchedule", True),
        # Those say that a node may be taken one day, or that it is for others.
        ("DeletionCandidateOfClusterAutoscaler", "PreferNoSchedule", False),
        ("kubernetes.azure.com/scalesetpriority", "NoSchedule", False),
        ("nvidia.com/gpu", "NoSchedule", False),
    ],
)
def test_a_taint_says_that_a_node_is_being_taken_away(key: str, effect: str, is_taken: bool) -> None:
    permanent = Taint(key="pool", value="a", effect="NoSchedule")
    taints = (permanent, Taint(key=key, value="1764630000", effect=effect))
    assert read_notice(NodeObject(metadata=ObjectMeta(), spec=NodeSpec(taints=taints))) == (0 if is_taken else None)


EVENT_US = 1740564793 * 10**6


@pytest.mark.parametrize(
    ("message", "status", "notice_us"),
    [
        ("Preempt Scheduled: Wed, 26 Feb 2025 10:13:13 GMT. DurationInSeconds: -1.", "True", EVENT_US),
        ("Terminate Scheduled: Wed, 26 Feb 2025 10:13:13 GMT. DurationInSeconds: -1.", "True", EVENT_US),
        ("Redeploy Scheduled: . DurationInSeconds: -1.", "True", 0),
        ("Reboot Scheduled: soon", "True", 0),
        ("Preempt Scheduled: Wed, 26 Feb 2025 10:13:13 GMT. DurationInSeconds: -1.", "False", None),
        # The machine stands still for some seconds and goes on.
        ("Freeze Scheduled: Wed, 26 Feb 2025 10:13:13 GMT. DurationInSeconds: 5.", "True", None),
        ("VM has no scheduled event", "True", None),
    ],
)
def test_a_condition_says_when_a_node_is_taken_away(message: str, status: str, notice_us: int | None) -> None:
    said = StatusCondition(type="VMEventScheduled", status=status, message=message)
    assert read_notice(NodeObject(metadata=ObjectMeta(), status=NodeStatus(conditions=(said,)))) == notice_us


def test_a_node_that_is_deleted_is_being_taken_away() -> None:
    assert read_notice(NodeObject(metadata=ObjectMeta(deletion_timestamp="2025-02-26T10:13:13Z"))) == 0


def test_a_node_is_away_in_the_windows_that_select_it() -> None:
    windows = [window(5, 6), window(2, 4, pool="a"), window(1, 3, pool="b")]
    a, b, none = (find_absences(labels, windows) for labels in ({"pool": "a"}, {"pool": "b"}, {}))
    assert [(each.to_us - each.from_us) // HOUR for each in a] == [2, 1]
    assert a[0].from_us - b[0].from_us == HOUR
    assert none == a[1:] == b[1:]


def test_windows_that_meet_are_one_and_a_drain_has_no_end() -> None:
    (first,) = find_absences({}, [window(2, 4)])
    (met,) = find_absences({}, [window(4, 5), window(2, 4), window(3, 4)])
    assert met == Span(first.from_us, first.from_us + 3 * HOUR)
    (for_good,) = find_absences({}, [window(2, 4)], drain_at_us=first.from_us + HOUR)
    assert for_good == Span(first.from_us, NEVER_US)


def weekly(days: str, start: str, hours: int, zone: str = "Etc/UTC") -> Timed:
    return validate(Timed, {"weekly": {"days": days, "start": start, "hours": hours, "timeZone": zone}})


def micros(text: str) -> int:
    return to_micros(datetime.fromisoformat(text))


def absences(windows: Sequence[Timed], now_us: int, labels: Mapping[str, str] | None = None) -> list[Span]:
    """When a node is away that comes to be known now."""
    once, weekly_windows = find_absences(labels or {}, windows), find_weekly(labels or {}, windows)
    return list(with_weekly(once, weekly_windows, now_us=now_us))


@pytest.mark.parametrize(
    ("window", "about", "from_time", "hours"),
    [
        pytest.param(("Sat", "22:00", 8), "2026-07-04T23:00+02:00", "2026-07-04T22:00+02:00", 8, id="in summer"),
        pytest.param(("Sat", "22:00", 8), "2026-12-05T23:00+01:00", "2026-12-05T22:00+01:00", 8, id="in winter"),
        pytest.param(("Sat", "22:00", 8), "2026-10-25T00:00+02:00", "2026-10-24T22:00+02:00", 8, id="to winter time"),
        pytest.param(("Sat", "22:00", 8), "2027-03-28T00:00+01:00", "2027-03-27T22:00+01:00", 8, id="to summer time"),
        pytest.param(("Sun", "02:30", 1), "2027-03-28T03:45+02:00", "2027-03-28T03:30+02:00", 1, id="a time left out"),
        pytest.param(("Sun", "02:30", 1), "2026-10-25T02:45+02:00", "2026-10-25T02:30+02:00", 1, id="a time twice"),
        pytest.param(("Fri", "18:00", 62), "2026-12-07T07:00+01:00", "2026-12-04T18:00+01:00", 62, id="a weekend"),
        pytest.param(("5-6", "20:00", 24), "2026-12-06T12:00+01:00", "2026-12-04T20:00+01:00", 48, id="two that meet"),
    ],
)
def test_a_weekly_window_begins_by_the_clock_of_its_zone(
    window: tuple[str, str, int], about: str, from_time: str, hours: int
) -> None:
    now_us = micros(about)
    begin_us = micros(from_time)
    found = [
        each for each in absences([weekly(*window, "Europe/Berlin")], now_us) if each.from_us <= now_us < each.to_us
    ]
    assert found == [Span(begin_us, begin_us + hours * HOUR)]


ZONES = ("Etc/UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Kiritimati", "Pacific/Niue")


@given(
    days=st.lists(st.sampled_from(DAYS), min_size=1, max_size=3, unique=True),
    # Between 2 and 3 the clocks of these zones leave times out, which no clock shows.
    start=st.times().filter(lambda time: time.hour != 2).map(lambda time: f"{time:%H:%M}"),
    hours=st.integers(1, 40),
    zone=st.sampled_from(ZONES),
    now=st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    ahead=st.integers(0, WEEKS_AHEAD * 7 * 24 * 60),
)
def test_a_node_is_away_in_exactly_the_hours_after_each_start(
    days: list[str], start: str, hours: int, zone: str, now: datetime, ahead: int
) -> None:
    try:
        window = weekly(",".join(days), start, hours, zone)
    except Invalid:
        return
    found = absences([window], to_micros(now))
    assert all(one.to_us < other.from_us for one, other in pairwise(found))
    moment = now + timedelta(minutes=ahead)
    # Back from this moment, minute by minute of the zone's clock: has one in which a window begins just passed?
    began = (moment - timedelta(minutes=minutes) for minutes in range(60 * hours))
    clock = (each.astimezone(ZoneInfo(zone)) for each in began)
    is_away = any(f"{each:%a %H:%M}" in {f"{day.title()} {start}" for day in days} and not each.fold for each in clock)
    assert is_away == any(each.from_us <= to_micros(moment) < each.to_us for each in found)


def test_weekly_windows_are_those_that_select_the_node_and_are_merged_with_the_others() -> None:
    saturday = validate(Timed, {**weekly("Sat", "22:00", 8).document(), "nodeSelector": {"pool": "a"}})
    windows, now_us = [window(4, 7), saturday], micros("2026-12-01T00:00Z")
    others = absences(windows, now_us)
    assert others == [Span(micros("2026-12-06T04:00Z"), micros("2026-12-06T07:00Z"))]
    of_pool = absences(windows, now_us, {"pool": "a"})
    assert Span(micros("2026-12-05T22:00Z"), micros("2026-12-06T07:00Z")) in of_pool
    assert Span(micros("2026-12-12T22:00Z"), micros("2026-12-13T06:00Z")) in of_pool


def test_what_is_over_does_not_count_and_what_has_begun_is_now() -> None:
    found = (Span(NOW - 9, NOW), Span(NOW - 5, NOW + 5), Span(NOW + 7, NEVER_US))
    assert from_now(found, NOW) == (Span(0, 5), Span(7, NEVER_US))

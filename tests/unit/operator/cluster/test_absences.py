"""When a node is away: by its annotation, and by the maintenance windows that select it."""

from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.schema import validate
from dueby_operator.cluster.absences import DRAIN_AT, find_absences, from_now, read_drain_at
from dueby_operator.model.stacks import Absence
from dueby_operator.settings import Maintenance
from dueby_planner.model.problem import NEVER_US
from support.decisions import NOW, SECOND

HOUR = 3600 * SECOND


def window(from_h: int, to_h: int, **selector: str) -> Maintenance:
    times = {"from": f"2026-12-06T{from_h:02}:00:00Z", "to": f"2026-12-06T{to_h:02}:00:00Z"}
    document: dict[str, Any] = {**times, "nodeSelector": selector}
    return validate(Maintenance, document)


def test_an_annotation_says_when_a_node_is_drained() -> None:
    first = read_drain_at({DRAIN_AT: "1970-01-01T00:00:05Z", "other": "x"})
    assert first == read_drain_at({DRAIN_AT: "1970-01-01T01:00:05+01:00"}) == 5 * SECOND
    assert read_drain_at({}) is None


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-12-06T02:00:00", "2026-13-06T02:00:00Z", "5"])
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(Invalid, match=DRAIN_AT):
        read_drain_at({DRAIN_AT: text})


def test_a_node_is_away_in_the_windows_that_select_it() -> None:
    windows = [window(5, 6), window(2, 4, pool="a"), window(1, 3, pool="b")]
    a, b, none = (find_absences(labels, windows) for labels in ({"pool": "a"}, {"pool": "b"}, {}))
    assert [(each.to_us - each.from_us) // HOUR for each in a] == [2, 1]
    assert a[0].from_us - b[0].from_us == HOUR
    assert none == a[1:] == b[1:]


def test_windows_that_meet_are_one_and_a_drain_has_no_end() -> None:
    (first,) = find_absences({}, [window(2, 4)])
    (met,) = find_absences({}, [window(4, 5), window(2, 4), window(3, 4)])
    assert met == Absence(first.from_us, first.from_us + 3 * HOUR)
    (for_good,) = find_absences({}, [window(2, 4)], drain_at_us=first.from_us + HOUR)
    assert for_good == Absence(first.from_us, NEVER_US)


def test_what_is_over_does_not_count_and_what_has_begun_is_now() -> None:
    found = (Absence(NOW - 9, NOW), Absence(NOW - 5, NOW + 5), Absence(NOW + 7, NEVER_US))
    assert from_now(found, NOW) == (Absence(0, 5), Absence(7, NEVER_US))

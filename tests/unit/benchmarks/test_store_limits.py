"""The proxy that stands for a store of limits, and the tables of what workers got from it."""

import pytest

from s3_latency_proxy import Limits
from store_limits import markdown


def test_a_limit_on_requests_grants_so_many_a_second_and_a_burst() -> None:
    limits = Limits(requests=50)
    granted = sum(limits.grants(number / 1000) for number in range(10_000))
    assert granted == pytest.approx(50 * 10, abs=6)
    assert all(Limits().grants(0.0) for _ in range(1000))


def test_a_limit_on_bytes_lets_them_through_one_after_the_other() -> None:
    limits = Limits(bytes_per_s=1000)
    assert [limits.passed_s(now_s, 500) for now_s in (10.0, 10.0, 20.0)] == [10.5, 11.0, 20.5]


def test_the_tables_say_what_was_planned_and_what_became_of_it() -> None:
    reading = {
        "workers": 4,
        "delay_ms": 200,
        "limit": "100 requests/s",
        "images_per_s": 91.2,
        "most_in_flight": 132,
        "refused": 0.021,
        "foreign_cores": 1.04,
    }
    plan = {
        "has_limit": True,
        "deadline": "3m",
        "is_refused": False,
        "expected_s": 20.0,
        "actual_s": 21.0,
        "in_time": True,
        "input_wait": 0.8,
    }
    refused = plan | {"is_refused": True, "deadline": "25s"}
    fleet = {
        "workers": 16,
        "limit": "bytes",
        "delay_ms": 100,
        "is_planned_for": True,
        "planned_s": 50.0,
        "actual_s": 51.0,
        "refused": 0.0,
        "load": 1.2,
    }
    results = {"machine": {"cores": 2}, "readings": [reading], "plans": [plan, refused], "fleets": [fleet]}
    lines = markdown(results).splitlines()
    assert "| 100 requests/s | 200 | 4 | 91 | 132 | 2.1% |" in lines
    assert "| yes | 3m | 20.0 | 21.0 | 1.05 | yes | 80% |" in lines
    assert "| yes | 25s | refused before it began | | | | |" in lines
    assert "| 16 | bytes | 100 | yes | 50.0 | 51.0 | 1.02 | 0.0% |" in lines

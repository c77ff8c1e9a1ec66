"""Policies of benchmarks/spot.py on traces that are made by hand."""

import json
from pathlib import Path

import pytest

from spot import DUEBY, POLICIES, UNIFORM, begins, compare, markdown
from spot_dueby import run_dueby
from spot_policies import PASS_S, Task
from spot_traces import Trace, read_traces

ALWAYS, NEVER = (1,) * 40, (0,) * 40
# Ten passes of work in twenty.
TASK = Task(begins_s=0, work_s=10 * PASS_S, time_s=20 * PASS_S, changeover_s=60)


def trace(*counts: int) -> Trace:
    return Trace("zone", PASS_S, counts)


def test_losses_are_devices_taken_over_the_hours_in_which_they_were_there(tmp_path: Path) -> None:
    (tmp_path / "zone").mkdir()
    data = [1, 1, 0, 2, 1, 0]
    (tmp_path / "zone" / "a.json").write_text(json.dumps({"metadata": {"gap_seconds": 3600}, "data": data}))
    (found,) = read_traces(tmp_path)
    assert (found.name, found.devices, found.losses_per_hour) == ("zone/a", 2, 3 / 5)
    assert trace(*NEVER).losses_per_hour is None


def test_a_trace_says_when_it_changes_and_has_nothing_after_its_end() -> None:
    found = trace(0, 1, 1, 0, 1)
    changes_s = [0.0]
    while (next_s := found.next_change_s(changes_s[-1])) < float("inf"):
        changes_s.append(next_s)
    assert changes_s == [0, 300, 900, 1200, 1500]
    assert [found.is_there(at_s) for at_s in changes_s] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("counts", "policy", "passes"),
    [
        pytest.param(ALWAYS, UNIFORM, (0, 10.2), id="spot while it is there"),
        pytest.param(ALWAYS, "on demand alone", (10.2, 0), id="no spot for who wants none"),
        pytest.param(NEVER, "greedy", (10.2, 0), id="greedy without spot: once, at the last moment"),
        # Six have 5.8 of work, and 4.2 are left.
        pytest.param((*ALWAYS[:6], *NEVER), "greedy", (4.4, 6), id="greedy after a loss"),
        # Ahead of the line by 5.8 - 3, so until the twelfth nothing.
        pytest.param((*ALWAYS[:6], *NEVER[:6], *ALWAYS), UNIFORM, (0, 10.4), id="ahead of the line it waits for spot"),
    ],
)
def test_policies_have_a_device_as_they_are_described(
    counts: tuple[int, ...], policy: str, passes: tuple[float, float]
) -> None:
    found = POLICIES[policy](trace(*counts), TASK)
    assert found is not None
    assert found.is_in_time
    assert (found.on_demand_s / PASS_S, found.spot_s / PASS_S) == pytest.approx(passes)


def test_uniform_progress_stays_on_demand_until_it_is_ahead_by_two_changeovers() -> None:
    found = POLICIES[UNIFORM](trace(0, 0, *ALWAYS), TASK)
    assert found is not None
    # At first it isn't behind. After one pass on demand 0.8 are done, and the line has 1.2 two changeovers later; after
    # two 1.8 and 1.7.
    assert (found.on_demand_s, found.restarts) == (2 * PASS_S, 1)


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param(ALWAYS, id="spot all the time"),
        pytest.param(NEVER, id="no spot"),
        pytest.param((*ALWAYS[:3], *NEVER), id="taken and not replaced"),
        pytest.param((0, 1) * 20, id="taken again and again"),
    ],
)
def test_dueby_is_in_time_and_does_the_work_on_the_devices_that_are_there(counts: tuple[int, ...]) -> None:
    found = run_dueby(trace(*counts), TASK)
    assert found is not None
    assert found.is_in_time
    assert found.on_demand_s + found.spot_s >= TASK.work_s + TASK.changeover_s
    assert (found.spot_s > 0) <= any(counts)


def test_jobs_begin_where_their_time_is_within_the_trace() -> None:
    traces = [trace(*ALWAYS), trace(*NEVER[:10]), Trace("two devices", PASS_S, (2,) * 40)]
    cases = [(found, at_s) for found, at_s in begins(traces, TASK.time_s, 3)]
    assert cases == [(traces[0], at_s) for at_s in (0, 10 * PASS_S, 20 * PASS_S)]


def test_the_table_has_every_policy() -> None:
    rows = compare([trace(*ALWAYS)], 10 * PASS_S, 60, 2, ratios=(1.5,))
    lines = markdown({"lossesPerHour": {"a": 0.1, "b": 0.5}, "deadlines": rows}).splitlines()
    assert lines[0].startswith("Losses per hour of 2 traces, median and range: 0.30 (0.10-0.50)")
    assert [line.split(" | ")[1] for line in lines[4:]] == [*POLICIES]
    assert {row["late"] + row["refused"] for row in rows if row["policy"] in (UNIFORM, DUEBY)} == {0}

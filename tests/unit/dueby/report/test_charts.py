"""The report's charts and numbers: segments, planned curves, rates, axes, and how values are written."""

import json
import re

import pytest

from dueby.report.charts.images import draw_images, planned_points, rates
from dueby.report.charts.workers import choose_lanes, segments
from dueby.report.run import parse_run
from dueby.report.sections.comparison import compare
from dueby_api.run_record import WorkerRecord
from dueby_pages.charts.axes import TimeAxis, name_time, time_axis, time_scale, time_ticks, value_ticks
from dueby_pages.charts.svg import Markup
from dueby_pages.wording import change, duration, fine, percent, size
from support.report import RUN, edit
from support.report_page import run_of
from support.simulation import SampleRun


def test_states_become_segments_and_the_last_one_lasts_to_the_end() -> None:
    worker = WorkerRecord(states=((0.0, "starting"), (4.0, "warming"), (5.0, "running"), (9.0, "tails")))
    found = [(s.state, s.start_s, s.end_s) for s in segments(worker, end_s=12.0)]
    assert found == [("starting", 0, 4), ("warming", 4, 5), ("running", 5, 9), ("tails", 9, 12)]


def test_a_lost_worker_has_no_segment_after_its_end() -> None:
    worker = WorkerRecord(states=((0.0, "starting"), (4.0, "lost")))
    assert [s.state for s in segments(worker, end_s=12.0)] == ["starting"]


def test_of_many_workers_the_lost_and_the_latest_are_shown_in_order() -> None:
    workers = {f"w{i}": WorkerRecord(states=((float(i), "done"),)) for i in range(9)}
    workers["w1"] = WorkerRecord(states=((0.5, "lost"),))
    assert list(choose_lanes(workers, most=3)) == ["w1", "w7", "w8"]


def test_workers_are_in_the_order_of_their_numbers(catalog: SampleRun) -> None:
    names = [f"w{i}" for i in (10, 2, 0, 1)]
    run = parse_run(RUN, {"progress.json": json.dumps({"workers": {name: {} for name in names}}).encode()})
    assert list(run.workers) == ["w0", "w1", "w2", "w10"]


def test_the_planned_curve_ends_with_all_images_at_the_planned_finish(catalog: SampleRun) -> None:
    run = run_of(catalog)
    assert run.first is not None
    points = planned_points(run.first, images=catalog.images)
    assert points[0] == (0.0, 0.0)
    assert points[-1] == (run.expected_s, catalog.images)
    assert points == sorted(points, key=lambda point: point[1])


def test_the_planned_curve_begins_after_the_index_step_and_the_start_up(small: SampleRun) -> None:
    (planned, *_) = small.files["plan.json"]["revisions"][0]["workers"]
    times = {"expectedStartMicros": 4_000_000, "expectedWarmupMicros": 1_000_000, "latencyMicros": 500_000}
    worker = {**planned, "miniBatchSize": 4, "iterations": 9, **times}
    plan = {"revisions": [{"atSeconds": 10.0, "reason": "Started", "plan": {}, "workers": [worker]}]}
    run = run_of(edit(small, "plan.json", **plan))
    assert run.first is not None
    assert planned_points(run.first, images=40) == [(0.0, 0.0), (13.0, 0.0), (14.0, 4.0), (18.5, 40.0)]


@pytest.mark.parametrize("end_s", [0.5, 5.0, 12.0, 23.0])
def test_a_curve_that_stays_at_0_is_named_above_the_axis(small: SampleRun, end_s: float) -> None:
    nothing = edit(small, "progress.json", samples=[[0.0, 0, 0], [end_s / 2, 0, 0], [end_s, 0, 0]])
    totals, _ = draw_images(run_of(edit(nothing, "summary.json", imagesDone=0, actualSeconds=end_s)))
    names = re.findall(r'<text x="[^"]+" y="([\d.]+)"[^>]*class="(plan|actual)-name">([^<]*)<', str(totals))
    [axis] = re.findall(r'y1="([\d.]+)"[^>]*class="grid base"', str(totals))
    assert [name for _, _, name in names] == ["plan", f"actual: 0 at {duration(end_s)}"]
    assert all(float(y) < float(axis) for y, _, _ in names)


@pytest.mark.parametrize(("pace", "sides"), [(0.6, ["start", "end"]), (1.5, ["end", "start"])], ids=["ahead", "behind"])
def test_the_names_of_the_lines_are_on_the_sides_where_the_other_is_not(
    small: SampleRun, pace: float, sides: list[str]
) -> None:
    samples = [[pace * moment, done, failed] for moment, done, failed in small.files["progress.json"]["samples"]]
    run = run_of(edit(edit(small, "progress.json", samples=samples), "summary.json", actualSeconds=samples[-1][0]))
    totals, _ = draw_images(run)
    assert re.findall(r'text-anchor="(\w+)" class="(?:plan|actual)-name">(?:plan|actual)<', str(totals)) == sides


def test_rates_add_up_to_the_images() -> None:
    points = [(0.0, 0.0), (2.0, 0.0), (6.0, 800.0), (8.0, 900.0)]
    found = rates(points, end_s=8.0, windows=16)
    assert sum(rate * 0.5 for _, rate in found) == pytest.approx(900)
    assert found[0][1] == 0
    assert found[6][1] == pytest.approx(200)


def test_a_lost_worker_is_not_compared_by_its_finish(catalog: SampleRun) -> None:
    rows = {row.worker: row for row in compare(run_of(catalog))}
    assert rows["w3"].pairs["finish"].actual is None
    assert rows["w3"].pairs["step"].actual is not None
    assert rows["w8"].pairs["finish"].expected is None


def test_the_axis_reaches_to_the_deadline_unless_that_is_far_off() -> None:
    assert time_axis(last_s=100, deadline_s=120).shows_deadline
    assert time_axis(last_s=130, deadline_s=120).shows_deadline
    assert not time_axis(last_s=13, deadline_s=600).shows_deadline
    assert not time_axis(last_s=13, deadline_s=None).shows_deadline


@pytest.mark.parametrize("end_s", [0.2, 3, 7.9, 26, 123, 3_700, 90_000, 5e6])
def test_ticks_are_few_round_and_within_the_axis(end_s: float) -> None:
    ticks = time_ticks(end_s)
    assert 2 <= len(ticks) <= 10
    assert ticks[0] == 0
    assert ticks[-1] <= end_s
    assert len({name_time(tick) for tick in ticks}) == len(ticks)


@pytest.mark.parametrize("top", [1, 7, 523, 54_000 * 1.08, 1e12])
def test_values_on_the_axis_are_few(top: float) -> None:
    assert 2 <= len(value_ticks(top)) <= 6


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (duration(None), "–"),
        (duration(26), "26s"),
        (duration(13.44), "13.4s"),
        (duration(59.97), "1m00s"),
        (duration(-8.04), "−8.0s"),
        (duration(0.85), "850ms"),
        (duration(7261), "2h01m"),
        (fine(0.2914), "291 ms"),
        (fine(4.33), "4.33 s"),
        (percent(0.9999999), ">\u00a099.9\u00a0%"),
        (percent(1.0), "100\u00a0%"),
        (percent(9 / 2_000_000, digits=2), "<\u00a00.01\u00a0%"),
        (percent(0.0), "0\u00a0%"),
        (change(103, 100), "+3.0\u00a0%"),
        (change(1, 0), "–"),
        (size(77_300), "77.3 KB"),
        (size(999_700), "1 MB"),
        (size(2_160_000_000_000), "2.16 TB"),
        (fine(0.9997), "1 s"),
    ],
)
def test_numbers_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected


def test_long_names_of_times_are_not_cut_off_at_the_edges() -> None:
    axis = TimeAxis(end_s=1000, deadline_s=None)
    ticks = [(10, "14:15"), (500, "14:23"), (990, "14:31")]
    assert anchors(time_scale(axis, top=0, bottom=10, ticks=ticks)) == ["start", "middle", "end"]
    assert anchors(time_scale(axis, top=0, bottom=10, ticks=[(0, "0"), (500, "14:23")])) == ["middle", "middle"]


def test_a_name_at_an_edge_is_left_out_where_it_would_run_into_the_next_one() -> None:
    axis = TimeAxis(end_s=1000, deadline_s=None)
    ticks = [(10 + 140 * i, f"14:{15 + i}") for i in range(8)]
    assert anchors(time_scale(axis, top=0, bottom=10, ticks=ticks)) == ["middle"] * 6


def anchors(marks: list[Markup]) -> list[str]:
    return re.findall('text-anchor="([a-z]+)"', "".join(map(str, marks)))

"""The page of a calendar: what it says, how jobs look, and what must never be on it."""

import re
from dataclasses import replace

import pytest

from dueby_api.units import parse_time_us
from dueby_pages.calendar import ShownCalendar, ShownHold, ShownJob, ShownPool
from dueby_pages.calendar_page import render_calendar
from support.report_page import Elements, words_of

HOSTILE = "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(2)></td></svg>\u202e\x07"
JOB = ShownJob(
    name="catalog",
    deadline_class="Hard",
    state="Start",
    deadline_s=600.0,
    starts_s=0.0,
    expected_s=500.0,
    sure_s=540.0,
    confidence=0.99,
    slack_s=60.0,
    gpus=2,
    holds=(ShownHold(device_class="a100", from_s=0, to_s=540, count=2, work="640 images"),),
)
LATE = replace(JOB, name="nightly", deadline_class="Soft", state="StartLate", slack_s=-90.0)
REFUSED = ShownJob(
    name="sweep",
    deadline_class="Hard",
    state="Refuse",
    deadline_s=600.0,
    is_refused=True,
    sentence="sweep: Within 10m00s sweep needs more GPU-seconds than there are.",
)
WAITS = ShownJob(name="rest", deadline_class="BestEffort", state="Wait", sentence="rest waits: no device is left.")


def calendar(*jobs: ShownJob, is_of_cluster: bool = False) -> ShownCalendar:
    return ShownCalendar(
        now_us=parse_time_us("2026-11-27T08:00:00Z"),
        jobs=jobs,
        pool=(ShownPool(device_class="a100", devices=None if is_of_cluster else 4, peak=2),),
        device="device" if is_of_cluster else "GPU",
        is_of_cluster=is_of_cluster,
    )


@pytest.mark.parametrize(
    ("jobs", "sign"),
    [([JOB, WAITS], "No job is late"), ([JOB, LATE], "1 job late"), ([JOB, LATE, REFUSED], "1 job without a place")],
)
def test_the_page_says_the_worst_at_the_top(jobs: list[ShownJob], sign: str) -> None:
    words = words_of(render_calendar(calendar(*jobs)))
    assert f"{len(jobs)} jobs on 4 GPUs {sign} " in words


def test_a_plan_is_told_in_times_from_now() -> None:
    words = words_of(render_calendar(calendar(JOB, LATE, REFUSED, WAITS)))
    assert "DueBy plan of 27 November 2026, 08:00:00 UTC" in words
    assert "2 of 4 jobs have devices now or later. The last one is expected to end in 8m20s." in words
    assert REFUSED.sentence in words
    assert WAITS.sentence not in words  # the table says so
    assert "a100 · 4 GPUs, at most 2 held at once" in words
    assert "1 catalog Hard starts now 2 now 8m20s 9m00s (99 %) 10m00s 1m00s" in words
    assert "3 sweep Hard refused – – – – 10m00s –" in words
    assert "nightly" in words
    assert "late by 1m30s" in words


def test_a_cluster_is_told_in_times_of_the_day() -> None:
    words = words_of(render_calendar(calendar(replace(JOB, state="Running", starts_s=-60.0), is_of_cluster=True)))
    assert "DueBy calendar of" in words
    assert "1 job in the cluster" in words
    assert "Running 2 07:59:00 08:08:20 08:09:00 (99 %) 08:10:00 1m00s" in words
    assert "08:02 08:04" in words
    assert "a100 · at most 2 devices" in words


def test_a_job_looks_as_sure_as_it_is() -> None:
    shown = calendar(JOB, LATE, replace(JOB, name="r", deadline_class="Relaxed"))
    page = render_calendar(replace(shown, pool=(ShownPool(device_class="a100", devices=6, peak=6),)))
    blocks = re.findall(r'<div class="block ([^"]*)" style="--hue:(\d+);--height:52.0px"', page)
    assert [looks for looks, _ in blocks] == ["hard", "soft late", "relaxed"]
    assert len({hue for _, hue in blocks}) == 3


def test_colours_are_explained_where_they_differ() -> None:
    soft = replace(JOB, name="b", deadline_class="Soft")
    assert "Hard: promised" in words_of(render_calendar(calendar(replace(JOB, deadline_class="Hard"), soft)))
    assert "Soft free deadline" not in words_of(render_calendar(calendar(soft)))


def test_what_goes_on_after_the_edge_fades() -> None:
    endless = replace(JOB, deadline_class="BestEffort", holds=(replace(JOB.holds[0], to_s=1e6),))
    page = render_calendar(calendar(JOB, endless))
    assert page.count("onward") == 2  # the block, and the style sheet


def test_many_devices_are_as_high_as_fit_and_have_no_names() -> None:
    wide = replace(JOB, holds=tuple(replace(JOB.holds[0], count=1, from_s=i, to_s=i + 1) for i in range(3)))
    shown = replace(calendar(wide), pool=(ShownPool(device_class="a100", devices=20_000, peak=1),))
    page = render_calendar(shown)
    assert '<rect x="0" y="42" width="100%" height="320" class="free">' in page
    assert "block hard thin" in page
    assert "<b>1</b>" not in page


def test_what_other_pods_have_is_at_the_top_of_what_there_is() -> None:
    shown = replace(calendar(JOB), pool=(ShownPool(device_class="a100", devices=4, peak=2, others=1),))
    page = render_calendar(shown)
    assert "a100 · 4 GPUs, at most 2 held at once, 1 by other pods now" in words_of(page)
    block = r'<foreignObject [^>]*y="(\d+)"[^>]* height="(\d+)"><div [^>]*class="block (others|hard)"'
    assert re.findall(block, page) == [("42", "26", "others"), ("94", "52", "hard")]
    assert "other pods free deadline" in words_of(page)
    assert "other pods" not in words_of(render_calendar(calendar(JOB)))


def test_more_devices_than_there_are_are_held_by_jobs_that_will_give_way() -> None:
    gives_way = replace(JOB, deadline_class="Relaxed")
    shown = replace(calendar(JOB, gives_way), pool=(ShownPool(device_class="a100", devices=3, peak=4, others=1),))
    page = render_calendar(shown)
    assert "a100 · 3 GPUs, at most 4 held at once unless some jobs give way" in words_of(page)
    assert re.findall(r'y="(\d+)"[^>]*><div [^>]*class="block others"', page) == ["68"]
    assert '<rect x="0" y="68" width="100%" height="78" class="free">' in page


def test_of_a_clusters_jobs_that_wait_only_hard_ones_say_why_above_the_chart() -> None:
    hard = replace(WAITS, deadline_class="Hard", sentence="It does not fit beside the promises.")
    words = words_of(render_calendar(calendar(hard, WAITS, is_of_cluster=True)))
    assert "It does not fit beside the promises." in words
    assert WAITS.sentence not in words


def test_of_many_sentences_the_first_are_told() -> None:
    page = render_calendar(calendar(*(replace(REFUSED, name=f"job-{i}", sentence=f"Sentence {i}.") for i in range(12))))
    words = words_of(page)
    assert "Sentence 9. There is something to say of 2 other jobs, too." in words
    assert "Sentence 10." not in words


def test_of_very_many_jobs_the_first_are_drawn_and_all_are_in_the_table() -> None:
    page = render_calendar(calendar(*(replace(WAITS, name=f"job-{i}") for i in range(201))))
    assert page.count('<span class="who"') == 200
    assert page.count("<tr>") == 202
    assert "200 of 201 jobs. The table has all of them." in words_of(page)


def test_an_empty_calendar_is_a_page_too() -> None:
    page = render_calendar(replace(calendar(is_of_cluster=True), pool=(), notes=("2 jobs are over: 2 Succeeded.",)))
    words = words_of(page)
    assert "0 jobs in the cluster No job has devices or waits for some. 2 jobs are over: 2 Succeeded." in words
    assert "<table" not in page


def test_what_the_profiles_left_open_is_a_line_below_the_chart() -> None:
    page = render_calendar(replace(calendar(JOB), warnings=("a is old", "b is old")))
    assert page.index("<summary>2 notes on the profiles</summary>") > page.index("Devices over time")


def test_hostile_words_stay_words_and_nothing_is_fetched() -> None:
    holds = (replace(JOB.holds[0], device_class=HOSTILE, work=HOSTILE),)
    bad = replace(LATE, name=HOSTILE, deadline_class=HOSTILE, state=HOSTILE, sentence=HOSTILE, holds=holds)
    pool = (ShownPool(device_class=HOSTILE, devices=4, peak=2),)
    page = render_calendar(replace(calendar(JOB, bad), pool=pool, notes=(HOSTILE,), warnings=(HOSTILE,)))
    elements = Elements(page).found
    assert not {name for name, _ in elements} & {"script", "img", "iframe", "object", "base"}
    assert not [name for name, attributes in elements for key in attributes if key.startswith("on")]
    assert not set("\u202e\x07") & set(page)
    assert [a["href"] for _, a in elements if "href" in a or "src" in a] == ["data:,"]
    assert not re.search(r"@import|url\(", page)

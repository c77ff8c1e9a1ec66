"""The report: what it says of each kind of run, that nothing of a user's becomes markup, and the command around it."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from dueby.cli.main import main
from dueby.report.charts.axes import name_time, time_axis, time_ticks, value_ticks
from dueby.report.charts.images import planned_points, rates
from dueby.report.charts.svg import Markup, element
from dueby.report.charts.workers import choose_lanes, segments
from dueby.report.page import Report, render_page
from dueby.report.parts import Part, find_parts, read_classified, read_failed, spread
from dueby.report.run import FILES, Run, parse_run
from dueby.report.sections.comparison import compare
from dueby.report.templating import render
from dueby.report.untrusted import without_credentials
from dueby.report.wording import change, duration, fine, percent, size
from dueby_api.run_record import WorkerRecord
from support.report import RUN, SampleRun, catalog_run, edit, small_run, write_sink
from support.source_tree import PACKAGES

HOSTILE = "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(2)></td></svg>\u202e\x07"
VOID = {"img", "link", "meta"}
# Words of a fixed vocabulary: others in their place make a document unreadable, or are another state of a worker.
KNOWN_WORDS = ("Started", "Succeeded", "running", "done", "openvino", "fp32")


@pytest.fixture(scope="module")
def catalog() -> SampleRun:
    return catalog_run()


@pytest.fixture(scope="module")
def small() -> SampleRun:
    return small_run()


def files_of(sample: SampleRun, *, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """JSON is YAML too."""
    return {name: json.dumps(document).encode() for name, document in sample.files.items() if name not in without}


def run_of(sample: SampleRun, *, without: tuple[str, ...] = ()) -> Run:
    return parse_run(RUN, files_of(sample, without=without))


def page_of(run: Run) -> str:
    return render_page(Report(sink="file:///results", run=run, parts=4, failed=(), photos=()))


def words_of(page: str) -> str:
    """What a reader sees, in one line."""
    words = unescape(re.sub(r"<[^>]+>", " ", page.split("</head>")[1]))
    return re.sub(r"\s+", " ", words.replace("\u00a0", " "))


class Elements(HTMLParser):
    """Every element of a page; ValueError where they don't nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        if self._open:
            raise ValueError(f"{self._open} are not closed")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            raise ValueError(f"</{tag}> closes something else")


# What the page says


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({}, "4,000 images classified in 23.2s on 2 CPU slices, 2.8s before the deadline.", id="in time"),
        pytest.param(
            {"verdict": "Late", "deadlineSeconds": 20.0, "inTime": False},
            "4,000 images classified in 23.2s on 2 CPU slices, 3.2s after the deadline.",
            id="late",
        ),
        pytest.param(
            {"verdict": "Failed", "imagesFailed": 900},
            "4,000 of 4,000 images done in 23.2s on 2 CPU slices, and 900 images failed where 40 were allowed.",
            id="too many failed",
        ),
        pytest.param(
            {"verdict": "Late", "imagesDone": 3000, "actualSeconds": 26.0},
            "3,000 of 4,000 images done after 26s on 2 CPU slices. The same command goes on from there.",
            id="stopped at the deadline",
        ),
        pytest.param(
            {"verdict": "Interrupted", "imagesDone": 1500, "actualSeconds": 9.5},
            "1,500 of 4,000 images done after 9.5s on 2 CPU slices. The same command goes on from there.",
            id="interrupted",
        ),
    ],
)
def test_the_headline_says_how_the_run_ended(small: SampleRun, changes: dict[str, Any], said: str) -> None:
    assert said in words_of(page_of(run_of(edit(small, "summary.json", **changes))))


def test_the_proof_is_in_the_headline(small: SampleRun) -> None:
    assert "No fewer can: 1 CPU slice can do at most 3,800 of 4,000 by then." in words_of(page_of(run_of(small)))


def test_a_proof_that_is_a_sentence_of_its_own_stays_as_it_is(small: SampleRun) -> None:
    first = small.files["plan.json"]["revisions"][0]
    sentence = "No plan has fewer than 1 CPU slice."
    lonely = edit(small, "plan.json", revisions=[{**first, "proofSentence": sentence}])
    page = words_of(page_of(run_of(lonely)))
    assert sentence in page
    assert "No fewer can" not in page


def test_a_resumed_run_says_what_was_there_and_plans_only_the_rest(small: SampleRun) -> None:
    first = small.files["plan.json"]["revisions"][0]
    left = {**first, "reason": "Resumed", "plan": {**first["plan"], "images": 3000}}
    samples = [[0.0, 1000, 0], [23.2, 4000, 0]]
    resumed = edit(edit(small, "plan.json", revisions=[left]), "progress.json", samples=samples)
    run = run_of(resumed)
    assert "3,000 images classified in" in words_of(page_of(run))
    assert "Earlier runs had done 1,000 of 4,000." in words_of(page_of(run))
    assert run.first is not None
    assert planned_points(run.first, images=4000, done=1000)[0] == (0.0, 1000.0)


def test_an_infeasible_plan_shows_what_would_do(small: SampleRun) -> None:
    plan = {
        "feasible": False,
        "groups": [],
        "alternatives": {
            "earliestDeadlineSeconds": 31.5,
            "largestImages": 3000,
            "extraGPUs": {"cpu-1": 1, "cpu-2": None},
            "possibleConfidence": 0.5,
        },
    }
    refused = edit(small, "plan.json", revisions=[{"atSeconds": 0, "plan": plan}])
    refused = edit(
        edit(refused, "progress.json", workers={}, samples=[]), "summary.json", verdict="Failed", imagesDone=0
    )
    page = words_of(page_of(run_of(refused)))
    assert "Nothing was started: the deadline can't be met." in page
    assert "earliest deadline 31.5s" in page
    assert "1 more of cpu-1" in page
    assert "cpu-2" not in page.split("more devices")[1].split("possible confidence")[0]


def test_a_replan_is_numbered_on_the_time_line_and_told_under_it(catalog: SampleRun) -> None:
    page = page_of(run_of(catalog))
    assert 'class="replan-number">1</text>' in page
    assert "After 42.9s: A worker was lost: 7 to 8 workers." in words_of(page)
    assert "Added after 42.9s: a worker was lost" in words_of(page)


def test_without_a_summary_the_replans_come_from_the_plans(catalog: SampleRun) -> None:
    assert "After 42.9s: a worker was lost." in words_of(page_of(run_of(catalog, without=("summary.json",))))


def test_warnings_stand_at_the_top(small: SampleRun) -> None:
    said = "The weights are random: the results mean nothing."
    page = words_of(page_of(run_of(edit(small, "summary.json", weightsWarning=said))))
    assert page.index(said) < page.index("Plan and proof")


def test_equal_parity_is_said_once_for_all_workers(catalog: SampleRun) -> None:
    page = words_of(page_of(run_of(catalog)))
    assert page.count("of torch eager fp32") == 1
    assert "w0, w1, w2, w3, …" in page


# What is missing


@pytest.mark.parametrize("missing", FILES)
def test_a_missing_file_is_said_and_the_page_is_made_of_the_rest(catalog: SampleRun, missing: str) -> None:
    run = run_of(catalog, without=(missing,))
    page = page_of(run)
    assert f"{missing} is missing: " in words_of(page)
    assert Elements(page).found
    assert run.job_name == "catalog"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(b'{"revisions": [{"atSec', "plan.json can't be read (Unterminated string", id="half a file"),
        pytest.param(b'{"\xff', "plan.json can't be read ('utf-8' codec", id="not text"),
        pytest.param(b'{"revisions": [{"atSeconds": NaN}]}', "plan.json can't be read (NaN is not a number", id="NaN"),
        pytest.param(b"[1]", "plan.json can't be read (PlanFile: expected a mapping", id="another document"),
        pytest.param(b'{"revisions": 7}', "plan.json can't be read (revisions: must be a list", id="a wrong type"),
    ],
)
def test_a_damaged_file_is_said_and_counts_as_missing(small: SampleRun, damage: bytes, said: str) -> None:
    run = parse_run(RUN, {**files_of(small), "plan.json": damage})
    assert any(note.startswith(said) for note in run.notes)
    assert run.first is None
    assert Elements(page_of(run)).found


def test_a_damaged_manifest_is_not_cited(small: SampleRun) -> None:
    run = parse_run(RUN, {**files_of(small), "job.yaml": b"env: [{value: a-secret-that-no-page-shows]"})
    assert "a-secret-that-no-page-shows" not in page_of(run)


def test_a_run_killed_at_once_still_shows_when_it_was_to_end(small: SampleRun) -> None:
    early = edit(small, "progress.json", samples=[[0.0, 0, 0], [0.5, 0, 0]])
    workers = early.files["progress.json"]["workers"]
    early = edit(
        early, "progress.json", workers={name: {**w, "states": w["states"][:1]} for name, w in workers.items()}
    )
    page = page_of(run_of(early, without=("summary.json",)))
    places = re.findall(r'<line x1="([\d.]+)%"[^>]*class="planned-finish"', page)
    assert len(places) == 2
    assert all(80 < float(place) < 90 for place in places)


@pytest.mark.parametrize("damage", [b"{", b"kind: Other", b"- 1", b"\xff", b""], ids=repr)
def test_a_damaged_manifest_is_said(small: SampleRun, damage: bytes) -> None:
    run = parse_run(RUN, {**files_of(small), "job.yaml": damage})
    assert run.job is None
    assert run.notes[0].startswith("job.yaml can't be read")


def test_an_empty_folder_is_a_page_too() -> None:
    run = parse_run(RUN, {})
    page = page_of(run)
    assert len(run.notes) == len(FILES)
    assert "Unfinished" in words_of(page)
    assert Elements(page).found


def test_fields_of_another_release_are_passed_over(small: SampleRun) -> None:
    assert not run_of(edit(small, "summary.json", temperature=451, plan={"a": 1})).notes


def test_synthetic_images_are_called_so() -> None:
    assert "The images were synthetic" in words_of(page_of(run_of(small_run(source={"synthetic": {}}))))


# What must never be on the page


def hostile_run(small: SampleRun) -> SampleRun:
    """Hostile words wherever the run's files can carry some, and in the rows."""

    def poison(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: poison(item) for key, item in value.items()}
        if isinstance(value, list):
            return [poison(item) for item in value]
        return HOSTILE + value if isinstance(value, str) and value not in KNOWN_WORDS else value

    poisoned = {name: poison(document) for name, document in small.files.items() if name != "job.yaml"}
    poisoned["summary.json"]["model"] = {"name": HOSTILE[:63], "weights": HOSTILE}
    poisoned["summary.json"]["software"] = {HOSTILE: HOSTILE}
    poisoned["progress.json"]["workers"] = {HOSTILE: poisoned["progress.json"]["workers"]["w0"]}
    return replace(small, files={**small.files, **poisoned}, failed={5: "gone"}, hostile=HOSTILE)


def test_hostile_words_stay_words(small: SampleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = edit(hostile_run(small), "summary.json", imagesFailed=1)
    assert not run_of(sample).notes  # each document is shown
    assert main(["report", str(write_sink(tmp_path / "sink", sample))]) == 0
    page = Path(capsys.readouterr().out.strip()).read_text()
    elements = Elements(page).found
    assert not {name for name, _ in elements} & {"script", "iframe", "object", "base"}
    assert not [name for name, attributes in elements for key in attributes if key.startswith("on")]
    assert not set("\u202e\x07") & set(page)
    assert page.count("&lt;script&gt;") > 50


def test_the_page_asks_nothing_of_anybody(
    catalog: SampleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(write_sink(tmp_path / "sink", catalog))]) == 0
    page = Path(capsys.readouterr().out.strip()).read_text()
    addresses = [
        attributes[key] or "" for _, attributes in Elements(page).found for key in ("src", "href") if key in attributes
    ]
    assert len(addresses) > 20
    assert all(address.startswith("data:") for address in addresses)
    assert not re.search(r"@import|url\(", page)


def test_secrets_of_the_manifest_stay_out(small: SampleRun) -> None:
    assert "a-secret-that-no-page-shows" in json.dumps(small.files["job.yaml"])
    assert "a-secret-that-no-page-shows" not in page_of(run_of(small))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/a b.jpg", "s3://bucket/a b.jpg"),
        ("https://host/a.jpg?X-Amz-Signature=abc&b=c", "https://host/a.jpg?…"),
        ("https://user:pass@host/a.jpg", "https://…@host/a.jpg"),
        ("404 for https://u@host/a?k=v, twice", "404 for https://…@host/a?… twice"),
        ("file:///what?/is this.jpg", "file:///what?/is this.jpg"),
        ("someone@example.org", "someone@example.org"),
    ],
)
def test_credentials_are_not_passed_on(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


def test_templates_escape_everything_but_the_style_sheet() -> None:
    templates = {file.name: file.read_text() for root in PACKAGES.values() for file in root.rglob("*.j2")}
    exceptions = [
        (name, found)
        for name, text in templates.items()
        for found in re.findall(r"\{[{%][^}]*\b(?:safe|autoescape)\b[^}]*\}+", text)
    ]
    assert len(templates) > 5
    assert exceptions == [("document.html.j2", "{{ style | safe }}")]


def test_a_template_that_asks_for_a_value_it_was_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'headline' is undefined"):
        render("headline.html.j2")


def test_an_element_escapes_texts_and_attributes_but_not_markup() -> None:
    made = element("p", "<b>&\a", Markup("<i></i>"), ["a", None], title='"<', class_="x", data_x=0.5, id=None)
    assert made == '<p title="&#34;&lt;" class="x" data-x="0.5">&lt;b&gt;&amp;\ufffd<i></i>a</p>'


# Figures


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
    ],
)
def test_numbers_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected


# Rows


def test_photos_are_spread_evenly_over_the_rows_that_are_there() -> None:
    parts = [Part(name=str(first), first=first, last=first + 99) for first in (0, 100, 500)]
    chosen = spread(parts, 6)
    assert {part.first: indices for part, indices in chosen.items()} == {0: [25, 75], 100: [125, 175], 500: [525, 575]}


@pytest.mark.parametrize(("images", "count"), [(0, 24), (1, 24), (7, 24), (25, 24)])
def test_few_rows_give_few_photos_each_once(images: int, count: int) -> None:
    parts = [Part(name="p", first=0, last=images - 1)] if images else []
    indices = [index for indices in spread(parts, count).values() for index in indices]
    assert len(set(indices)) == len(indices) == min(images, count)


def test_rows_without_a_result_are_listed_and_not_shown(small: SampleRun, tmp_path: Path) -> None:
    sink = write_sink(tmp_path, replace(small, failed={0: "empty", 300: "bomb", 301: "bomb", 3999: "gone"}))
    parts = find_parts(path.name for path in sink.iterdir())

    def read(name: str) -> bytes:
        return (sink / name).read_bytes()

    assert [(row.index, row.error) for row in read_failed(parts, read, most=3)] == [
        (0, "empty"),
        (300, "bomb"),
        (301, "bomb"),
    ]
    shown = [row.index for row in read_classified(parts, read, count=4000)]
    assert len(shown) == len(set(shown)) == 3996
    assert shown == sorted(shown)
    assert not {0, 300, 301, 3999} & set(shown)


# The command


def test_the_page_lies_beside_the_newest_run(
    small: SampleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sink(tmp_path, small)
    newer = tmp_path / "_dueby" / "runs" / "20261126T000000Z"
    newer.mkdir()
    (newer / "summary.json").write_text(json.dumps({"job": "newer"}))
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(newer / "report.html")
    assert "newer" in (newer / "report.html").read_text()


def test_a_run_can_be_chosen_and_the_page_put_elsewhere(
    small: SampleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = write_sink(tmp_path / "sink", small)
    (sink / "_dueby" / "runs" / "20991126T000000Z").mkdir()
    assert main(["report", sink.as_uri(), "--run", RUN, "-o", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "page.html")
    assert "small" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("folders", "arguments", "said"),
    [
        pytest.param([], [], "is not a DueBy sink: it has no _dueby/runs", id="a folder of something else"),
        pytest.param(
            ["_dueby/index"],
            [],
            "has no _dueby/runs: no `dueby run` has started workers for it",
            id="a sink without a run",
        ),
        pytest.param(["_dueby/runs/a"], ["--run", "b"], "has no run 'b'; it has a", id="an unknown run"),
        pytest.param(["_dueby/runs/a"], ["-o", "/nowhere/x"], "-o: /nowhere/x can't be written", id="no such place"),
    ],
)
def test_what_cannot_be_reported_is_the_users_to_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folders: list[str], arguments: list[str], said: str
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    assert main(["report", str(tmp_path), *arguments]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert not told.out


def test_a_photo_that_is_gone_leaves_its_row_and_the_reason(
    small: SampleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(write_sink(tmp_path, small))]) == 0
    page = Path(capsys.readouterr().out.strip()).read_text()
    assert page.count("<figure") == 24
    gone = words_of(page).count("The photo can't be read now: there is no such file")
    assert gone > 0
    assert page.count("data:image/jpeg;base64,") == 24 - gone

"""The page of a run: what it says about each kind of run, and about files that are missing or damaged."""

import re
from typing import Any

import pytest

from dueby.report.charts.images import planned_points
from dueby.report.run import FILES, parse_run
from dueby_api.units import format_duration
from support.report import RUN, due, edit, small_run
from support.report_page import Elements, files_of, page_of, run_of, words_of
from support.simulation import SampleRun


def changed(sample: SampleRun, **summary: Any) -> SampleRun:
    """The same run with another end, and maybe with a deadline that it had from the start."""
    if "deadlineSeconds" in summary:
        sample = due(sample, summary["deadlineSeconds"])
    return edit(sample, "summary.json", **summary)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({}, "4,000 images classified in 23.2s on 2 CPU slices, 2.8s before the deadline.", id="in time"),
        pytest.param(
            {"deadlineSeconds": 20.0},
            "4,000 images classified in 23.2s on 2 CPU slices, 3.2s after the deadline.",
            id="late",
        ),
        pytest.param(
            {"verdict": "Failed", "imagesFailed": 900},
            "4,000 of 4,000 images done in 23.2s on 2 CPU slices. "
            "900 of 4,000 images (22 %) have an error, and spec.maxFailedImages allows 40.",
            id="too many failed",
        ),
        pytest.param(
            {"verdict": "Late", "imagesDone": 3000, "actualSeconds": 26.0},
            "3,000 of 4,000 images done after 26s on 2 CPU slices. Run the same command again to continue.",
            id="stopped at the deadline",
        ),
        pytest.param(
            {"verdict": "Interrupted", "imagesDone": 1500, "actualSeconds": 9.5},
            "1,500 of 4,000 images done after 9.5s on 2 CPU slices. Run the same command again to continue.",
            id="interrupted",
        ),
    ],
)
def test_the_headline_says_how_the_run_ended(small: SampleRun, changes: dict[str, Any], said: str) -> None:
    assert said in words_of(page_of(run_of(changed(small, **changes))))


def test_the_machine_is_said_in_people_s_words(small: SampleRun) -> None:
    machine = {"cores": 2.0, "memoryMiB": 23_679, "devices": {"cpu-1": 2}}
    page = page_of(run_of(edit(small, "summary.json", machine=machine)))
    assert re.search(r"<dt>cores</dt><dd>2</dd>", page)
    assert re.search(r"<dt>memory</dt><dd>24\.8 GB</dd>", page)
    assert "memoryMiB" not in page


def test_the_rate_of_the_whole_run_is_not_taken_for_the_chart_s(small: SampleRun) -> None:
    assert "images per second, start-up included" in words_of(page_of(run_of(small)))


def test_the_time_for_which_workers_waited_for_images_is_shown(small: SampleRun) -> None:
    assert "waiting for images" not in words_of(page_of(run_of(small)))
    page = words_of(page_of(run_of(edit(small, "summary.json", inputWait=0.43))))
    assert "waiting for images 43% of the workers' time after their warm-up" in page.replace("\u2019", "'")


def test_what_start_ups_consisted_of_is_shown(small: SampleRun) -> None:
    assert "start-up, on average" not in words_of(page_of(run_of(small)))
    workers = small.files["progress.json"]["workers"]
    parts = [{"import": 400_000, "load": seconds * 10**6, "images": 100_000} for seconds in range(1, len(workers) + 1)]
    told = {
        name: worker | {"startParts": part, "warmupMicros": 250_000}
        for (name, worker), part in zip(workers.items(), parts, strict=True)
    }
    page = words_of(page_of(run_of(edit(small, "progress.json", workers=told))))
    mean = format_duration((1 + len(workers)) * 500_000)
    assert (
        f"start-up, on average process and imports 400ms, network and engine {mean}, first images 100ms, "
        "first mini-batch 250ms"
    ) in page


def test_the_proof_is_in_the_headline(small: SampleRun) -> None:
    assert "No fewer can: 1 CPU slice can do at most 3,800 of 4,000 by then." in words_of(page_of(run_of(small)))


def test_a_proof_that_is_a_sentence_of_its_own_stays_as_it_is(small: SampleRun) -> None:
    first = small.files["plan.json"]["revisions"][0]
    sentence = "No plan has fewer than 1 CPU slice."
    lonely = edit(small, "plan.json", revisions=[{**first, "proofSentence": sentence}])
    page = words_of(page_of(run_of(lonely)))
    assert sentence in page
    assert "No fewer can" not in page


@pytest.mark.parametrize(
    ("changes", "is_late"),
    [
        pytest.param({}, False, id="in time"),
        pytest.param({"deadlineSeconds": 20.0}, True, id="late"),
        pytest.param({"verdict": "Failed", "deadlineSeconds": 20.0}, True, id="failed and late"),
        pytest.param(
            {"verdict": "Late", "imagesDone": 3000, "actualSeconds": 26.0}, True, id="stopped at the deadline"
        ),
        pytest.param({"verdict": "Interrupted", "imagesDone": 15, "actualSeconds": 9.5}, False, id="interrupted"),
    ],
)
def test_of_a_late_run_the_plan_is_not_said_to_meet_the_deadline(
    small: SampleRun, changes: dict[str, Any], is_late: bool
) -> None:
    page = words_of(page_of(run_of(changed(small, **changes))))
    assert ("CPU slices of this pool that meet the deadline" in page) is not is_late
    assert ("They did not meet it." in page) is is_late


@pytest.mark.parametrize(("deadline_s", "slack"), [(8.0, "−15.2s"), (120.0, "1m37s")], ids=["earlier", "later"])
def test_numbers_of_before_an_edit_are_told_from_those_after_it(
    small: SampleRun, deadline_s: float, slack: str
) -> None:
    page = words_of(page_of(run_of(edit(small, "summary.json", deadlineSeconds=deadline_s, confidence=0.5))))
    assert "edited; at first 26s" in page
    assert f"slack {slack} planned 2.4s at 95 %, before the edit" in page
    assert "that were to meet the deadline of 26s" in page
    assert "% sure" not in page
    assert "before the edit" not in words_of(page_of(run_of(small)))


def test_a_resumed_run_says_what_was_there_and_plans_only_the_rest(small: SampleRun) -> None:
    first = small.files["plan.json"]["revisions"][0]
    left = {**first, "reason": "Resumed", "plan": {**first["plan"], "images": 3000}}
    samples = [[0.0, 1000, 0], [23.2, 4000, 0]]
    resumed = edit(edit(small, "plan.json", revisions=[left]), "progress.json", samples=samples)
    run = run_of(resumed)
    assert "3,000 images classified in" in words_of(page_of(run))
    assert "Earlier runs had classified 1,000 of 4,000." in words_of(page_of(run))
    assert run.first is not None
    assert planned_points(run.first, images=4000, done=1000)[0] == (0.0, 1000.0)


def test_a_run_that_found_every_row_there_claims_none_of_them(small: SampleRun) -> None:
    nothing = edit(edit(small, "plan.json", revisions=[]), "progress.json", samples=[[1.0, 4000, 0]], workers={})
    page = words_of(page_of(run_of(edit(nothing, "summary.json", actualSeconds=1.1, gpus=0))))
    assert "Each of the 4,000 images had a row before this run." in page
    assert "classified in" not in page


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


def test_what_the_profiles_left_open_is_told_once_in_a_line_that_unfolds(catalog: SampleRun) -> None:
    page = page_of(run_of(edit(catalog, "summary.json", warnings=["a was measured while the machine was busy"])))
    assert "<summary>2 notes on the profiles</summary>" in page
    assert page.count("no spread between nodes") == page.count("while the machine was busy") == 1


def test_equal_parity_is_said_once_for_all_workers(catalog: SampleRun) -> None:
    page = words_of(page_of(run_of(catalog)))
    assert page.count("of torch eager fp32") == 1
    assert "w0, w1, w2, w3, …" in page


def test_rows_with_a_warning_are_counted_where_there_are_any(small: SampleRun) -> None:
    said = "rows with a warning: the image is classified, and the column warning says what is wrong with its file."
    assert f"1,200 {said}" in words_of(page_of(run_of(edit(small, "summary.json", imagesWarned=1200))))
    assert said not in words_of(page_of(run_of(small)))


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

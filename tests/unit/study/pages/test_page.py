"""The page of a study: its numbers as sentences, its figures, and what it says about stages that were not measured."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dueby_api.schema import validate
from dueby_study.command import main
from dueby_study.make import write_pages
from dueby_study.measurements.features import FeatureRanking, RankedFeature
from dueby_study.pages.document import Chapter, Figure, StudyPage, Table, render_study, render_text
from dueby_study.pages.page import study_page
from dueby_study.study import run_study
from dueby_study.summary import StudySummary
from support.study import a_context, measure_all

STAGES = ["memory", "times", "together", "models"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study."""
    context = a_context(tmp_path_factory.mktemp("study"))
    measure_all(context)
    run_study(context, STAGES)
    return context.folder


@pytest.fixture
def summary(folder: Path) -> StudySummary:
    return validate(StudySummary, json.loads((folder / "summary.json").read_bytes()))


def sentences(summary: StudySummary) -> dict[str, str]:
    """Return what each chapter says."""
    return {chapter.title: " ".join(chapter.findings) for chapter in study_page(summary, {}).chapters}


def test_every_chapter_says_its_numbers(summary: StudySummary) -> None:
    said = sentences(summary)
    assert "With openvino on cpu-1, each further image of a mini-batch takes" in said[MEMORY]
    assert (
        "2.0 times as long as a steady one at mini-batch size 1, and 2.0 times as long at mini-batch size 16"
        in (said[TIMES])
    )
    assert "the mean of 10 mini-batches that include the first one exceeds the steady mean by 10\u00a0%" in said[TIMES]
    assert "On this device an affine L fits about as well as any other curve" in said[LATENCY]
    assert "64 × cpu-1 can classify at most" in said[ANSWERS]
    assert "2 processes of 1 core each reach 184 images/s at the best size, 1.19 times as much" in said[TOGETHER]
    assert "The planner takes the fastest layout as the machine's pool: 2 × cpu-1." in said[TOGETHER]
    assert "The processor takes at least 0.5 J per image" in said[TOGETHER]


def test_without_a_counter_the_page_says_so_and_gives_no_joules(summary: StudySummary) -> None:
    assert summary.together is not None
    rates = tuple(rate.replace(cpu_j=None) for rate in summary.together.rates)
    without = summary.replace(together=summary.together.replace(rates=rates))
    assert (
        "The energy of the processor can't be read on this machine, so no number is given."
        in (sentences(without)[TOGETHER])
    )
    chapter = next(c for c in study_page(without, {}).chapters if c.title == TOGETHER)
    assert chapter.table is not None
    assert not any("J per image" in name for name in chapter.table.head)


def test_a_latency_that_is_not_affine_is_called_so(summary: StudySummary) -> None:
    assert summary.times is not None
    assert summary.times.latency is not None
    bent = summary.times.latency.replace(errors={"hinge": 0.02, "affine": 0.2, "spline": 0.05}, best="hinge")
    said = sentences(summary.replace(times=summary.times.replace(latency=bent)))
    assert "L is not affine here: the hinge is 2\u00a0% off, a + s b is 20\u00a0% off." in said[LATENCY]
    noisy = summary.replace(times=summary.times.replace(latency=bent.replace(spread=0.18)))
    assert (
        "Processes differ by 18\u00a0% at one size here, so this run can't show whether L is affine."
        in (sentences(noisy)[LATENCY])
    )


@pytest.mark.parametrize("stage", ["memory", "times", "together", "models", "features"])
def test_the_chapter_of_a_missing_stage_says_how_to_measure_it(stage: str, summary: StudySummary) -> None:
    nothing: dict[str, Any] = {stage: () if stage == "models" else None}
    said = sentences(summary.replace(**nothing)).values()
    assert f"Not measured yet: run dueby-study with --stage {stage}." in said


def test_the_page_says_what_was_learnt_of_warm_ups(summary: StudySummary) -> None:
    most = tuple(
        RankedFeature(name=name, others=(), importance=high / 2, low=low, high=high)
        for name, low, high in (("image_flops", 0.3, 0.9), ("mini_batch_size", 0.2, 0.6), ("cpu_load", -0.1, 0.1))
    )
    errors = {"model": 0.04, "four": 0.05, "family_line": 0.2, "line": 0.6, "constant": 0.9}
    learnt = FeatureRanking(
        device_class="cpu-1", rows=80, configurations=40, known=50, most=most, four=("image_flops",), errors=errors
    )
    said = sentences(summary.replace(features=learnt))[FEATURES]
    assert "learnt from 80 first mini-batches of 40 configurations; 50 features carry information" in said
    assert "The most informative are image_flops, mini_batch_size and cpu_load." in said
    assert "1 of the 3 may carry no information" in said
    assert "the median error of the predicted W is 4\u00a0% with all features" in said


def test_the_page_holds_everything_and_loads_nothing(folder: Path, summary: StudySummary) -> None:
    page = write_pages(summary, folder)[0].read_text()
    assert page.count("data:image/png;base64,") == 7
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    assert page.count("<h2>") == len(study_page(summary, {}).chapters)


def test_the_same_words_are_there_as_markdown(folder: Path, summary: StudySummary) -> None:
    pictures = {path.stem: path.read_bytes() for path in (folder / "figures").glob("*.png")}
    text = render_text(study_page(summary, pictures))
    words = text.replace("\\", "").split()
    for chapter in study_page(summary, pictures).chapters:
        for sentence in (chapter.title, chapter.intro, *chapter.findings):
            assert " ".join(sentence.split()) in " ".join(words)
    assert "![Both models as meant and as printed](figures/study-printed.png)" in text
    assert "| resnet50 | openvino |" in text.replace("\\", "")
    assert max(len(line) for line in text.splitlines() if not line.startswith(("|", "!"))) <= 120


def test_a_busy_machine_is_not_overlooked(summary: StudySummary) -> None:
    assert study_page(summary.replace(busy=True), {}).warnings
    assert not study_page(summary, {}).warnings


def test_no_text_becomes_markup() -> None:
    evil = "<b>&"
    chapter = Chapter(
        title=evil,
        intro=evil,
        findings=(evil,),
        pictures=(Figure(name="x", png=b"x", label=evil + '"'),),
        table=Table(head=(evil,), rows=((evil,),)),
        differs=evil,
    )
    page = StudyPage(
        title=evil, eyebrow=evil, lead=evil, warnings=(evil,), facts=[(evil, evil)], chapters=[chapter], footer=evil
    )
    assert evil not in render_study(page)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param(["--stage", "memroy"], "--stage: there is no stage 'memroy'; there are subject", id="stage"),
        pytest.param(["--model", "resnet19"], "There is no model 'resnet19'; did you mean", id="model"),
        pytest.param(["--image-size", "7"], "the model: imageSize: must be an integer of at least 32", id="image size"),
        pytest.param(["--engine", "cuda"], "cuda doesn't run on", id="engine"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_code_2(
    options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-o", str(tmp_path / "study"), "--quick", *options]) == 2
    assert sentence in capsys.readouterr().err


def test_a_folder_that_can_not_be_made_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["-o", str(tmp_path / "file" / "study"), "--quick"]) == 2
    assert "--output" in capsys.readouterr().err


FEATURES = "What predicts the time of the first mini-batch"
MEMORY = "Memory over image size and mini-batch size"
TIMES = "Inference time with and without warm-up"
LATENCY = "L as a function of the mini-batch size"
ANSWERS = "What the two models answer"
TOGETHER = "Several processes at once, and energy"

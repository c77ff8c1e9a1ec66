"""The page of a study: its numbers as sentences, its figures inside it, and what it says where something is missing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dueby_api.schema import validate
from dueby_study.command import main, write_pages
from dueby_study.measurements.features import Feature, Features
from dueby_study.pages.document import Chapter, Picture, StudyPage, Table, render_study
from dueby_study.pages.markdown import render_text
from dueby_study.pages.page import study_page
from dueby_study.study import run_study
from dueby_study.summary import Summary
from support.study import a_lab, measure_all

STAGES = ["memory", "times", "together", "models"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that is done."""
    lab = a_lab(tmp_path_factory.mktemp("study"))
    measure_all(lab)
    run_study(lab, STAGES)
    return lab.folder


@pytest.fixture
def summary(folder: Path) -> Summary:
    return validate(Summary, json.loads((folder / "summary.json").read_bytes()))


def sentences(summary: Summary) -> dict[str, str]:
    """What each chapter says."""
    return {chapter.title: " ".join(chapter.said) for chapter in study_page(summary, {}).chapters}


def test_every_chapter_says_its_numbers(summary: Summary) -> None:
    said = sentences(summary)
    assert "With openvino on cpu-1, each further image of a mini-batch takes" in said[MEMORY]
    assert "takes 2.0 times a steady one at mini-batches of 1 and 2.0 times at mini-batches of 16" in said[TIMES]
    assert "a mean of 10 mini-batches with the first among them is 10\u00a0% above" in said[TIMES]
    assert "On this device an affine L does about as well as any" in said[LATENCY]
    assert "64 × cpu-1 can do at most" in said[ANSWERS]
    assert "2 processes of 1 core each do 184 images/s at the best size, 1.19 times as much" in said[TOGETHER]
    assert "The planner takes the fastest layout as the machine's pool: 2 × cpu-1." in said[TOGETHER]
    assert "The processor takes 0.5 J an image at the least" in said[TOGETHER]


def test_without_a_counter_there_is_no_joule_and_it_is_said(summary: Summary) -> None:
    assert summary.together is not None
    rates = tuple(rate.replace(cpu_j=None) for rate in summary.together.rates)
    without = summary.replace(together=summary.together.replace(rates=rates))
    assert (
        "The energy of the processor can't be read on this machine, so there is no number of it."
        in (sentences(without)[TOGETHER])
    )
    chapter = next(c for c in study_page(without, {}).chapters if c.title == TOGETHER)
    assert chapter.table is not None
    assert not any("J an image" in name for name in chapter.table.head)


def test_a_latency_that_is_not_affine_is_called_so(summary: Summary) -> None:
    assert summary.times is not None
    assert summary.times.latency is not None
    bent = summary.times.latency.replace(errors={"hinge": 0.02, "affine": 0.2, "spline": 0.05}, best="hinge")
    said = sentences(summary.replace(times=summary.times.replace(latency=bent)))
    assert "L is not affine here: the hinge is off by 2\u00a0%, a + s b by 20\u00a0%." in said[LATENCY]
    noisy = summary.replace(times=summary.times.replace(latency=bent.replace(spread=0.18)))
    assert (
        "Processes of one size differ by 18\u00a0% here, so from this run nobody can tell"
        in (sentences(noisy)[LATENCY])
    )


@pytest.mark.parametrize("stage", ["memory", "times", "together", "models", "features"])
def test_what_was_not_measured_says_how_to(stage: str, summary: Summary) -> None:
    nothing: dict[str, Any] = {stage: () if stage == "models" else None}
    said = sentences(summary.replace(**nothing)).values()
    assert f"Not measured yet: run dueby-study with --stage {stage}." in said


def test_what_was_learnt_of_warm_ups_is_said(summary: Summary) -> None:
    most = tuple(
        Feature(name=name, others=(), importance=high / 2, low=low, high=high)
        for name, low, high in (("image_flops", 0.3, 0.9), ("mini_batch_size", 0.2, 0.6), ("cpu_load", -0.1, 0.1))
    )
    errors = {"model": 0.04, "four": 0.05, "family_line": 0.2, "line": 0.6, "constant": 0.9}
    learnt = Features(
        device_class="cpu-1", rows=80, configurations=40, known=50, most=most, four=("image_flops",), errors=errors
    )
    said = sentences(summary.replace(features=learnt))[FEATURES]
    assert "From 80 first mini-batches of 40 configurations" in said
    assert "image_flops, mini_batch_size and cpu_load tell most" in said
    assert "1 of the 3 might as well tell nothing" in said
    assert "within 4\u00a0% in the median" in said


def test_the_page_holds_everything_and_asks_nobody(folder: Path, summary: Summary) -> None:
    page = write_pages(summary, folder)[0].read_text()
    assert page.count("data:image/png;base64,") == 7
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    assert page.count("<h2>") == len(study_page(summary, {}).chapters)


def test_the_same_words_are_there_as_markdown(folder: Path, summary: Summary) -> None:
    pictures = {path.stem: path.read_bytes() for path in (folder / "figures").glob("*.png")}
    text = render_text(study_page(summary, pictures))
    words = text.replace("\\", "").split()
    for chapter in study_page(summary, pictures).chapters:
        for sentence in (chapter.title, chapter.intro, *chapter.said):
            assert " ".join(sentence.split()) in " ".join(words)
    assert "![Both models as meant and as printed](figures/study-printed.png)" in text
    assert "| resnet50 | openvino |" in text.replace("\\", "")
    assert max(len(line) for line in text.splitlines() if not line.startswith(("|", "!"))) <= 120


def test_a_busy_machine_is_not_overlooked(summary: Summary) -> None:
    assert study_page(summary.replace(busy=True), {}).warnings
    assert not study_page(summary, {}).warnings


def test_nothing_that_is_said_becomes_markup() -> None:
    evil = "<b>&"
    chapter = Chapter(
        title=evil,
        intro=evil,
        said=(evil,),
        pictures=(Picture(name="x", png=b"x", label=evil + '"'),),
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
        pytest.param(["--model", "resnet19"], "there is no model 'resnet19'; did you mean", id="model"),
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


FEATURES = "What tells the time of the first mini-batch"
MEMORY = "Memory over image size and mini-batch size"
TIMES = "Inference time with and without warm-up"
LATENCY = "L as a function of the mini-batch size"
ANSWERS = "What the two models answer"
TOGETHER = "Several processes at once, and energy"

"""What `dueby-study` can't do, it refuses with a sentence before it measures or writes anything."""

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.engines import EngineName, Precision
from dueby_profiler.machine.machine import this_machine
from dueby_study.command import main
from dueby_study.row_store import RowStore
from dueby_study.stages import NAMES


def is_image_size(word: str) -> bool:
    try:
        return 32 <= int(word) <= 4096
    except ValueError:
        return False


_words = st.text(max_size=12)
# Each has no meaning, whatever the other options are.
WRONG = st.one_of(
    _words.filter(lambda word: word not in NAMES).map(lambda word: f"--stage={word}"),
    (_words | st.sampled_from(["nan", "inf", "-1", "0", "31", "4097", "1e3", "224.5", "9" * 5000]))
    .filter(lambda word: not is_image_size(word))
    .map(lambda word: f"--image-size={word}"),
    _words.filter(lambda word: word not in ("auto", *get_args(EngineName))).map(lambda word: f"--engine={word}"),
    _words.filter(lambda word: word not in get_args(Precision)).map(lambda word: f"--precision={word}"),
    _words.map(lambda word: f"--model={word} of no name"),
    st.sampled_from(["--output=", "--output=a\0b", "--output=file", "--output=file/study", "--output=/proc/study"]),
    st.sampled_from([f"--output={'x' * 300}", "--output=/dev/null", "--output=/proc"]),
)
RIGHT = st.lists(
    st.sampled_from(["--quick", "--stage=times", "--model=resnet18", "--image-size=96", "--engine=eager"]), max_size=3
)


def code_of(words: list[str]) -> int:
    """The exit code, whoever found the fault: the command, or argparse."""
    try:
        return main(words)
    except SystemExit as stopped:
        return int(stopped.code or 0)


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert code_of([*words, "--stage=subject", "--quick"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@given(right=RIGHT, wrong=WRONG)
def test_any_wrong_option_is_refused_with_a_sentence_and_nothing_is_written(
    tmp_path_factory: pytest.TempPathFactory, right: list[str], wrong: str
) -> None:
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("file").write_text("here before")
        assert code_of([f"--output={folder / 'out'}", *right, wrong]) == 2
    assert [path.name for path in folder.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--image-size=-1"], "imageSize: must be an integer of at least 32, but is -1"),
        (["--image-size=nan"], "argument --image-size: invalid int value: 'nan'"),
        (["--model=resnet999"], "There is no model 'resnet999'; did you mean resnet"),
        (["--stage=memroy"], "--stage: there is no stage 'memroy'; there are subject, memory"),
        (["--model=vit_b_16", "--image-size=100"], "spec.model.imageSize: vit_b_16 can't take images of 100 px: "),
        (["--model=resnet18", "--model=alexnet", "--image-size=32"], "alexnet can't take images of 32 px: "),
        (["--output="], "argument -o/--output: is empty; name a folder, or . for this one"),
        (["--output=a\0b"], "--output: 'a\\x00b' can't be created: embedded null byte"),
        (["--output=/proc"], "--output: nothing can be written into /proc: "),
    ],
)
def test_the_sentence_names_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert sentence in refusal(capsys, f"--output={tmp_path / 'out'}", *words)
    assert not list(tmp_path.iterdir())


def test_an_engine_that_the_machine_has_no_device_for_is_refused_before_the_study_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if this_machine().gpus:
        pytest.skip("this machine has a device for each engine")
    said = refusal(capsys, f"--output={tmp_path / 'out'}", "--engine=cudagraph", "--model=resnet18")
    assert "--engine: cudagraph doesn't run on cpu-1" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["study.json", "summary.json", "study.html", "study.md", "raw/log.jsonl"])
def test_a_folder_in_the_place_of_a_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    said = refusal(capsys, f"--output={tmp_path}")
    assert f"--output: {tmp_path / name} is a folder where a study has a file; name another folder" in said
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["raw", "profiles", "figures"])
def test_a_file_in_the_place_of_a_folder_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).write_text("here before")
    said = refusal(capsys, f"--output={tmp_path}")
    assert f"--output: {tmp_path / name} is a file where a study has a folder; name another folder" in said
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("line", ["[]", "1", '{"stage": "times"}', '{"stage": [], "seconds": 1}', "\xff"])
def test_a_damaged_line_of_the_log_is_skipped(tmp_path: Path, line: str) -> None:
    (tmp_path / "raw").mkdir()
    good = json.dumps({"stage": "times", "seconds": 2.5})
    (tmp_path / "raw" / "log.jsonl").write_bytes(f"{line}\n{good}\n".encode("latin-1"))
    assert RowStore(tmp_path).seconds()["times"] == 2.5

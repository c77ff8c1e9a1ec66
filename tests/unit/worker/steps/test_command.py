"""What a step's process prints on stderr for whoever watches it, and what its log has."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: a step sets up the logging of the whole process.
SCRIPT = """
import logging
from dueby_api.step_messages import FinishResult
from dueby_worker.steps.command import run_to_end

def step():
    logging.getLogger("botocore.credentials").info("Found credentials in environment variables.")
    logging.getLogger("botocore.credentials").warning("these credentials expire soon")
    logging.getLogger("dueby_worker.output.sink").info("a file may stay there")
    logging.getLogger("dueby_worker.models.loading").warning("the weights are %s", "\\x1b[31m\\nrandom")
    return FinishResult(rows=1, errors=0)

raise SystemExit(run_to_end(step, for_people={for_people}))
"""


def logged(*, for_people: bool) -> list[str]:
    command = [sys.executable, "-c", SCRIPT.format(for_people=for_people)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()


def test_people_get_sentences_and_nothing_of_what_libraries_tell_by_the_way() -> None:
    assert logged(for_people=True) == [
        "Warning: these credentials expire soon",
        "a file may stay there",
        "Warning: the weights are \ufffd[31m random",
    ]


def test_a_log_has_the_time_and_the_level_of_each_line() -> None:
    found = logged(for_people=False)
    assert [re.sub(r"^[-\d]{10} [:,\d]{12} ", "", line) for line in found] == [
        "WARNING these credentials expire soon",
        "INFO a file may stay there",
        "WARNING the weights are \ufffd[31m random",
    ]


@pytest.mark.parametrize(
    ("options", "times"),
    [
        pytest.param([], 1, id="in a pod its log has the sentence"),
        pytest.param(["--for-people"], 0, id="the command that has started it tells it"),
    ],
)
def test_an_error_is_told_once(tmp_path: Path, options: list[str], times: int) -> None:
    command = [sys.executable, "-m", "dueby_worker", "index", "--config", str(tmp_path / "none.json"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["error"] == "can't be read: No such file or directory"
    assert done.stderr.count("can't be read") == times


FAILING = """
from dueby_api.errors import Invalid, Transient
from dueby_api.parts import parts_of
from dueby_worker.output.other_grid import OtherGrid
from dueby_worker.steps.command import run_to_end

def step():
    raise {error}

run_to_end(step)
"""


@pytest.mark.parametrize("letter", ["x", '"', "\n", "ф", "图", "\U0001f4f7"])
@pytest.mark.parametrize(
    "error",
    [
        pytest.param("Invalid(text, text)", id="the input is wrong"),
        pytest.param("Transient(text)", id="a store doesn't answer"),
        pytest.param("RuntimeError(text)", id="a bug"),
        pytest.param(
            "OtherGrid(text, part_size=1, parts_there=parts_of(range(10**6, 10**6 + 1000, 2)))", id="another grid"
        ),
    ],
)
def test_a_pods_last_words_are_whole_in_any_language(tmp_path: Path, error: str, letter: str) -> None:
    script = FAILING.format(error=error.replace("text", repr(5000 * letter)))
    environment = {**os.environ, "DUEBY_TERMINATION_LOG": str(tmp_path / "last-words")}
    subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, check=True)
    assert letter in json.loads((tmp_path / "last-words").read_text())["error"].replace("\\n", "\n")

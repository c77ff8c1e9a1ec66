"""The tutorial's first half, as a reader types it: its commands, in its order, on its manifest.

The machine is not measured: that takes most of a minute on an idle machine, and test_profile.py does it. A profile is
there instead of it, with the times of some machine.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.run import profile_document
from support.source_tree import REPOSITORY

TUTORIAL = (REPOSITORY / "docs" / "tutorial.md").read_text()
HERE, _, CLUSTER = TUTORIAL.partition("## The same in a cluster")
BLOCK = re.compile(r"^    (\S.*)$", re.M)
MEASURE = "dueby profile --model efficientnet_lite0 --quick -o profiles"
# What needs the clone's own environment, which the tests run in.
INSTALL = ("make install", ". .venv/bin/activate")


def commands(text: str) -> list[str]:
    """The commands in a text's blocks."""
    return BLOCK.findall(text)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """What each command said, and its exit code."""
    clone = tmp_path_factory.mktemp("clone")
    (clone / "examples").symlink_to(REPOSITORY / "examples")
    folder = clone / "build" / "tutorial"
    folder.mkdir(parents=True)
    (manifest,) = re.findall(r"^```yaml\n(.*?)^```$", HERE, re.M | re.S)
    (folder / "job.yaml").write_text(manifest)
    profile = profile_document()
    profile["spec"]["model"] = {"name": "efficientnet_lite0", "imageSize": 224, "precision": "fp32"}
    (folder / "profiles").mkdir()
    (folder / "profiles" / "cpu-1.yaml").write_text(yaml.safe_dump(profile))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = {}
    for command in commands(HERE):
        if command not in (*INSTALL, MEASURE):
            done[command] = subprocess.run(
                ["bash", "-c", command.replace("mkdir -p build/tutorial && cd build/tutorial", ":")],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
    return done


def outcome(said: dict[str, subprocess.CompletedProcess[str]], words: str) -> tuple[int, str]:
    """The exit code of the one command with these words, and what it said."""
    (done,) = (done for command, done in said.items() if words in command)
    return done.returncode, done.stdout + done.stderr


def test_the_tutorial_measures_and_installs_with_commands_that_there_are() -> None:
    assert {MEASURE, *INSTALL} <= set(commands(HERE))
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M)
    assert "install" in targets


def test_the_job_is_planned_with_a_proof(said: dict[str, subprocess.CompletedProcess[str]]) -> None:
    code, text = outcome(said, "dueby plan -f job.yaml")
    assert code == 0, text
    assert "Proof (" in text


def test_too_early_a_deadline_is_refused_with_what_is_possible(
    said: dict[str, subprocess.CompletedProcess[str]],
) -> None:
    code, text = outcome(said, "dueby plan -f -")
    assert code == 3, text
    assert "Any one of these would be enough:" in text
    assert "more time" in text


def test_the_job_runs_and_the_damaged_photos_have_rows(said: dict[str, subprocess.CompletedProcess[str]]) -> None:
    code, text = outcome(said, "dueby run")
    assert code in (0, 4), text  # a machine that does something else may be late
    assert "600 of 600 images, 2 of them with an error" in text
    code, text = outcome(said, "dueby report results")
    assert code == 0, text
    code, text = outcome(said, "dueby.read(")
    assert code == 0, text
    assert "600 rows of 600 images, 2 of them with an error" in text


def test_files_that_the_second_half_names_are_there() -> None:
    named = re.findall(r"(?:-f |install dueby )([\w./-]+)", "\n".join(commands(CLUSTER)))
    assert len(named) == 5
    assert [name for name in named if not (REPOSITORY / name).exists()] == []

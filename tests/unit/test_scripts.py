"""Scripts beside the product read their words with argparse: `--help` helps, and does nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.source_tree import REPOSITORY

SCRIPTS = sorted(
    path
    for folder in ("benchmarks", "examples", "tests/chaos")
    for path in (REPOSITORY / folder).rglob("*.py")
    if 'if __name__ == "__main__":' in path.read_text()
)


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_a_script_parses_its_words(script: Path) -> None:
    text = script.read_text()
    assert "argparse.ArgumentParser(" in text
    assert "sys.argv[" not in text


@pytest.mark.parametrize("script", [s for s in SCRIPTS if "examples" in s.parts], ids=name)
@pytest.mark.parametrize("words", [["--help"], ["--nope"], []], ids=" ".join)
def test_an_example_that_is_asked_for_help_writes_nothing(script: Path, words: list[str], tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, script, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if words == ["--help"] else 2)
    assert (done.stdout + done.stderr).startswith("usage: ")
    assert not list(tmp_path.iterdir())

"""The study's two commands: their help, and what they say where the extra `study` is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = {
    "dueby-study": ("dueby_study.command", ["--quick", "-o", "study"]),
    "warmup learn": ("dueby_study.warmup.__main__", ["learn", "rows.parquet", "-o", "figures"]),
    "warmup add": ("dueby_study.warmup.__main__", ["add", "rows.parquet", "profiles", "-o", "profiles"]),
}


@pytest.mark.parametrize(("module", "arguments"), COMMANDS.values(), ids=COMMANDS)
def test_without_the_extra_the_command_names_what_to_install(module: str, arguments: list[str], tmp_path: Path) -> None:
    # In a process of its own, in which Python finds no scikit-learn.
    script = f"import sys; sys.modules['sklearn'] = None; import {module} as m; sys.exit(m.main({arguments}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "needs sklearn; install it with: pip install 'dueby[study]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["dueby_study.command", "dueby_study.warmup"])
def test_the_help_has_two_examples(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--help"], stdout=subprocess.PIPE, text=True, check=True)
    examples = done.stdout.partition("examples:\n")[2].splitlines()
    assert len(examples) == 2
    assert all(example.strip().startswith(("dueby-study ", "python -m dueby_study.warmup ")) for example in examples)

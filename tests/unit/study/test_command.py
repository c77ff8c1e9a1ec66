"""The study's two commands: their help, and what they say where the extra `study` is not installed."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dueby_study.make import parse

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
def test_the_help_has_two_examples_and_fits_a_terminal(module: str) -> None:
    words = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(words, env=os.environ | {"COLUMNS": "80"}, stdout=subprocess.PIPE, text=True, check=True)
    options, _, examples = done.stdout.partition("examples:\n")
    assert max(map(len, options.splitlines())) <= 80
    commands = [line.strip().partition("   ")[0] for line in examples.splitlines()]
    assert len(commands) == 2
    for command in commands:
        program, *words = shlex.split(command)
        if program == "dueby-study":
            assert str(parse(words).output) in words
        else:
            assert [program, *words][:3] == ["python", "-m", "dueby_study.warmup"]

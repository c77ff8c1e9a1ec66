"""How commands end: a sentence and an exit code, whatever was raised."""

import os
import subprocess
import sys

import pytest

from dueby.cli.main import exit_code
from dueby_api.errors import DueByError, Invalid, Transient


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (Invalid("spec.images", "must be a number"), 2, "dueby run: spec.images: must be a number\n"),
        (Transient("the store is away"), 1, "dueby run: the store is away. Try the same command again later.\n"),
        (DueByError("2 workers ended before their time"), 1, "dueby run: 2 workers ended before their time\n"),
    ],
)
def test_what_goes_wrong_is_told_in_a_line(
    error: Exception, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error

    assert exit_code("dueby run", fail) == code
    assert capsys.readouterr().err == sentence


def run_with(stdout: int, program: str) -> tuple[int, str]:
    """The exit code and what is on stderr of a program that ends as our commands do."""
    text = f"import sys\nfrom dueby.cli.main import exit_code\n{program}\nsys.exit(exit_code('dueby plan', run))"
    done = subprocess.run([sys.executable, "-c", text], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr


PRINTS = "def run(): print('a plan'); return 0"
DRAWS = """
def run():
    from dueby.terminal.console import people_console
    people_console().print('a plan')
    return 0
"""


@pytest.mark.parametrize("program", [PRINTS, DRAWS], ids=["print", "table"])
def test_what_finds_no_room_on_stdout_is_a_sentence(program: str) -> None:
    with open("/dev/full", "wb") as full:
        assert run_with(full.fileno(), program) == (1, "dueby plan: can't write: no space left on device\n")


@pytest.mark.parametrize("program", [PRINTS, DRAWS], ids=["print", "table"])
def test_a_command_whose_reader_has_gone_ends_quietly_as_others_do(program: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run_with(writer, program) == (141, "")
    finally:
        os.close(writer)

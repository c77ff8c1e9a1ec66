"""The help of each subcommand ends with examples, and these are what the command takes."""

import re
import shlex

import pytest

from dueby.cli.arguments import parser_of
from dueby.cli.main import SUBCOMMANDS, main


def examples_of(command: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines at the end of its help, without what they say of themselves."""
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    lines = capsys.readouterr().out.partition("\nexamples:\n")[2].splitlines()
    return [line.strip().partition("   ")[0].partition("  ")[0] for line in lines]


@pytest.mark.parametrize("command", SUBCOMMANDS)
def test_each_example_parses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    examples = examples_of(command, capsys)
    assert 2 <= len(examples) <= 4
    for example in examples:
        # What it reads and writes, and who writes what it reads, is the shell's.
        program, *words = shlex.split(re.split(" [<>]", example.rpartition("| ")[2])[0])
        assert program == "dueby"
        assert parser_of(words).parse_args(words).command == command

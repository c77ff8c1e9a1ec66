"""What the command prints is text: nothing that comes from other people's files is obeyed by a terminal."""

import io

import pytest
from rich.bar import Bar
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dueby.cli.main import exit_code
from dueby.terminal.console import PeopleConsole
from dueby.terminal.tables import Column, fitted_table
from dueby_api.errors import DueByError, Invalid, Transient

# Sets the window's title, clears the screen, colours what follows, and turns the letters after it around.
HOSTILE = "\x1b]0;title\x1b\\\x1b[2J\x9b31m\u202ea"
SHOWN = "\ufffd]0;title\ufffd\\\ufffd[2J\ufffd31m\ufffda"


def printed(what: object, **options: bool) -> str:
    out = io.StringIO()
    PeopleConsole(file=out, width=80, **options).print(what)
    return out.getvalue().rstrip("\n")


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(HOSTILE, id="text"),
        pytest.param(Text(HOSTILE), id="text that is not markup"),
        pytest.param(fitted_table([Column(heading="", cells=[HOSTILE], is_text=True)], width=80), id="a cell"),
    ],
)
def test_escape_sequences_are_letters(what: str | Text | Table) -> None:
    assert SHOWN in printed(what)
    assert not set("\x1b\x9b\u202e") & set(printed(what))


def test_brackets_and_colons_are_letters() -> None:
    assert printed("[bold]a[/bold] [link=https://x]b :smile:") == "[bold]a[/bold] [link=https://x]b :smile:"


def test_the_commands_own_colours_and_moves_of_the_cursor_stay() -> None:
    out = io.StringIO()
    console = PeopleConsole(file=out, width=80, force_terminal=True, color_system="standard")
    with Live(Bar(1, 0, 1, width=4), console=console, auto_refresh=False) as live:
        live.update(Text("red", style="red"), refresh=True)
        live.update(Text("done"), refresh=True)
    assert "\x1b[31mred\x1b[0m" in out.getvalue()
    assert "\x1b[2K" in out.getvalue()


@pytest.mark.parametrize(
    "error",
    [Invalid("spec.source.uri", HOSTILE), Transient(HOSTILE), DueByError(HOSTILE)],
    ids=lambda e: type(e).__name__,
)
def test_errors_are_printable(error: DueByError, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise error

    exit_code("dueby run", fail)
    assert SHOWN in capsys.readouterr().err

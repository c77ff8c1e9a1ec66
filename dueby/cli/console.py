"""The console on which the command speaks to people: a terminal, or a file that is read later."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from rich.console import Console
from rich.text import Text

# Wide enough for the widest table, so that a log file has each row on one line.
_WIDTH_OF_FILES = 130


def people_console(*, stderr: bool = False) -> Console:
    """Return a console on stdout, or on stderr; tables keep their columns if it is no terminal."""
    # highlight=False: rich would colour every number, and a plan consists of numbers.
    console = Console(highlight=False, stderr=stderr)
    if console.is_terminal:
        return console
    return Console(highlight=False, stderr=stderr, width=_WIDTH_OF_FILES, soft_wrap=True)


def plain_console(file: IO[str]) -> Console:
    """Return a console that writes into the file, and nothing but text, wherever this process runs.

    A notebook tells programs to use colours, and rich to show everything in the notebook.
    """
    return Console(
        file=file,
        highlight=False,
        width=_WIDTH_OF_FILES,
        soft_wrap=True,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
    )


def can_redraw(console: Console) -> bool:
    """Return whether what was drawn can be drawn over; elsewhere progress is a line now and then."""
    return console.is_terminal and not console.is_dumb_terminal


@dataclass(frozen=True, kw_only=True)
class Teller:
    """Who tells people of one job."""

    console: Console
    prefix: str = ""
    """The job's name, if there are others."""

    def say(self, sentence: str) -> None:
        """Print a sentence."""
        self.console.print(Text(f"{self.prefix}{sentence}"))

    @property
    def say_of_step(self) -> Callable[[str], None] | None:
        """Say what a step's process has said; None if it may speak for itself, on a stderr that shows nothing else."""
        return None if self.console.stderr and not self.prefix else self.say

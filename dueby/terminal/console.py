"""The console on which the command speaks to people: a terminal, or a file that is read later."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from dueby_api.untrusted import printable
from dueby_api.words import counted

# Wide enough for the widest table, so that a log file has each row on one line.
_WIDTH_OF_FILES = 130


class PeopleConsole(Console):
    """A console that prints text as it is, without what a terminal would obey.

    Names, labels and errors come from other people's files. rich leaves their escape sequences in, and would take their
    brackets for styles.
    """

    def __init__(self, **options: Any) -> None:
        # highlight=False: rich would colour every number, and a plan consists of numbers.
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def on_broken_pipe(self) -> None:
        """Raise the error for `main`, which knows how to end; rich's own way is exit code 1."""
        raise  # the BrokenPipeError that rich is handling

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of what is printed; those of rich's own are kept, such as the cursor's moves."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def people_console(*, stderr: bool = False) -> Console:
    """Return a console on stdout, or on stderr; tables keep their columns if it is no terminal."""
    console = PeopleConsole(stderr=stderr)
    if console.is_terminal:
        return console
    return PeopleConsole(stderr=stderr, width=_WIDTH_OF_FILES, soft_wrap=True)


def plain_console(file: IO[str]) -> Console:
    """Return a console that writes into the file, and nothing but text, wherever this process runs.

    A notebook tells programs to use colours, and rich to show everything in the notebook.
    """
    return PeopleConsole(
        file=file,
        width=_WIDTH_OF_FILES,
        soft_wrap=True,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
    )


def can_redraw(console: Console) -> bool:
    """Return whether what was drawn can be drawn over; elsewhere progress is a line now and then."""
    return console.is_terminal and not console.is_dumb_terminal


def print_warnings(
    warnings: Sequence[str], console: Console, *, notes: Collection[str] = (), is_verbose: bool = False
) -> None:
    """Print each warning in a line of its own, but of those that are `notes` only how many, unless all are wanted."""
    for warning in warnings:
        if warning not in notes:
            console.print(Text(f"Warning: {warning}.", style="yellow"))
        elif is_verbose:
            console.print(Text(f"Note: {warning}."))
    if notes and not is_verbose:
        console.print(Text(f"{counted(len(notes), 'note')} on the profiles: see `dueby plan -v`."))


@dataclass(frozen=True, kw_only=True)
class Teller:
    """Who tells people of one job."""

    console: Console
    prefix: str = ""
    """The job's name, if there are others."""

    def say(self, sentence: str) -> None:
        self.console.print(Text(f"{self.prefix}{sentence}"))

    @property
    def say_of_step(self) -> Callable[[str], None] | None:
        """Say what a step's process has said; None if it may speak for itself, on a stderr that shows nothing else."""
        return None if self.console.stderr and not self.prefix else self.say

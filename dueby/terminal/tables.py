"""Tables that keep every word at the width of the console.

rich alone shortens what does not fit to `CLA…`, headings and figures alike. Here a table that is too wide first has its
headings broken over lines, then its gaps narrowed, then the columns left out that can be missed, and at last its first
column, the name of a device class or a worker, broken at hyphens.
"""

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dueby_api.untrusted import printable

Cell = str | Text | ProgressBar
_GAPS = (2, 1)
# `IMAGES EACH` is two words, `S + W` is one figure.
_BETWEEN_WORDS = re.compile(r"(?<=\w\w) (?=\w\w)")
# A name in fewer columns can't be read any more.
_MIN_NAME = 8


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column and its cells."""

    heading: str
    cells: Sequence[Cell]
    is_text: bool = False
    """Whether it is aligned to the left, as words are; figures are aligned to the right."""
    expendable: int | None = None
    """Where the console is too narrow, the column with the lowest number is left out first; None: never left out."""

    @property
    def width(self) -> int:
        """Columns of the console that it needs."""
        lines = self.heading.splitlines()
        return max((*(len(line) for line in lines), *(_width(cell) for cell in self.cells)))


def fitted_table(columns: Sequence[Column], *, width: int) -> Table:
    fitted, gap = _fit([_printable(column) for column in columns], width)
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for column in fitted:
        # fold: below the width of any terminal words are broken, but none is lost.
        table.add_column(column.heading, justify="left" if column.is_text else "right", overflow="fold")
    for row in zip(*(column.cells for column in fitted), strict=True):
        # As they are: a name may hold what rich takes for markup.
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def _printable(column: Column) -> Column:
    """Return the column as the console prints it: what a terminal would obey has no width before."""
    return replace(column, cells=[printable(cell) if isinstance(cell, str) else cell for cell in column.cells])


def broken(name: str, room: int) -> str:
    """Return the name over several lines of at most so many columns, broken at hyphens where it has any."""
    return "\n".join(textwrap.wrap(name.replace("\n", ""), room))


def _fit(columns: list[Column], width: int) -> tuple[list[Column], int]:
    """Return the columns that are shown, and the gap between them."""
    narrow = [_with_broken_heading(column) for column in columns]
    for shown, gap in ((columns, _GAPS[0]), *((narrow, gap) for gap in _GAPS)):
        if _total(shown, gap) <= width:
            return shown, gap
    gap = _GAPS[-1]
    for column in sorted((c for c in narrow if c.expendable is not None), key=lambda c: c.expendable or 0):
        narrow.remove(column)
        if _total(narrow, gap) <= width:
            return narrow, gap
    first, others = narrow[0], narrow[1:]
    room = max(_MIN_NAME, width - _total(others, gap) - gap)
    names = [cell if isinstance(cell, ProgressBar) else broken(str(cell), room) for cell in first.cells]
    return [replace(first, cells=names), *others], gap


def _with_broken_heading(column: Column) -> Column:
    """Return the column with its heading over several lines, if that makes it narrower."""
    narrow = replace(column, heading=_BETWEEN_WORDS.sub("\n", column.heading))
    return narrow if narrow.width < column.width else column


def _total(columns: Iterable[Column], gap: int) -> int:
    widths = [column.width for column in columns]
    return sum(widths) + gap * (len(widths) - 1)


def _width(cell: Cell) -> int:
    if isinstance(cell, ProgressBar):
        return cell.width or 0
    return max((cell_len(line) for line in str(cell).splitlines()), default=0)

"""What a column says the images of a table are called: as it stands in a URI, and the same for no two rows."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from dueby_worker.index.sorting import sort_externally
from dueby_worker.storage.uris import member_uri

_ROW_DIGITS = 12


def quoted_name(name: str | int | None, column: str, row: int, *, option: str) -> str:
    """Return a name as it stands in a URI. Raise ValueError, which names the manifest's option, if there is none."""
    if name is None or name == "":
        raise ValueError(f"has no name in its column `{column}` in row {row:,}; leave out {option}")
    return member_uri("", str(name))[1:]


def line_of(name: str, row: int) -> str:
    """Return the line of a row, which sorts by its name. A quoted name has no blank."""
    return f"{name} {row:0{_ROW_DIGITS}d}\n"


def names_in(lines: Iterator[str]) -> Iterator[str]:
    """Yield the names of such lines."""
    for line in lines:
        yield line.partition(" ")[0]


def require_different(lines: Iterator[str], column: str, *, option: str, scratch: Path) -> None:
    """Raise ValueError if two lines have the same name. They are sorted in files in `scratch`."""
    previous, before = "", ""
    for line in sort_externally((line.rstrip("\n") for line in lines), folder=scratch):
        name, _, row = line.partition(" ")
        if name == previous:
            raise ValueError(
                f"has the name {unquote(name)!r} twice in its column `{column}`, in rows {int(before):,} and "
                f"{int(row):,}; names tell images apart, so take another column, or leave out {option}"
            )
        previous, before = name, row

"""Write files whole or not at all: first under another name, then renamed over the old file.

A reader never sees half a file, and whoever is killed while writing leaves the old file as it was. The temporary name
contains the process id, so that two processes that write the same file don't write into each other's half.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def part_of(path: Path) -> Path:
    """Return the name under which to write the file at `path` until it is whole."""
    return path.with_name(f"{path.name}.part{os.getpid()}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name to write to, and rename it to `path` if the block succeeds; make the folder first if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> Path:
    """Write the text as the file at `path`, whole or not at all; return the path."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
    return path

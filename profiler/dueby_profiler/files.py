"""Write files whole or not at all: first under another name, then renamed over the old file.

A reader never sees half a file, and whoever is killed while writing leaves the old file as it was. What such a process
has left is deleted by the next one that writes into the same folder.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dueby_worker.system.temporary_files import make_temporary, sweep_temporary


class PartFile:
    """A file until it is whole. `keep` or `drop` ends it."""

    def __init__(self, path: Path) -> None:
        """Begin the file that is to be at `path`; make the folder first if need be."""
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_temporary(path.parent)
        self._final, self._held = path, make_temporary(path.parent)
        self.path = Path(self._held.name)
        """The name to write to."""

    def keep(self) -> Path:
        """Give the file its name, and return that."""
        self.path.replace(self._final)
        self._held.close()
        return self._final

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self._held.close()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name to write to, and rename it to `path` if the block succeeds; make the folder first if need be."""
    part = PartFile(path)
    try:
        yield part.path
        part.keep()
    except BaseException:
        part.drop()
        raise


def write_text(path: Path, text: str) -> Path:
    """Write the text as the file at `path`, whole or not at all; return the path."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
    return path

"""Find out which images of a source a sink doesn't know yet, and how many that it knows the source has no longer.

Both lists may be longer than memory should hold, and the members of tars come in no order. So both are sorted on disk
and read side by side; in memory is one byte for each image of the source, and 16 for each whose file has changed.
Images are compared by their URIs, and where both lists have versions of their files, by these.
"""

import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dueby_worker.index.sorting import sort_externally

# Ends a URI, before its place in the source. Members' names and files' are written with escapes and don't have it.
_END = "\1"
# As many digits as the largest number of rows has, so that rows are sorted as numbers.
_ROW_DIGITS = 15


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How the images of a source differ from those that a sink knows."""

    is_new: NDArray[np.bool_]
    """For each image of the source, in its order, whether the sink doesn't know it, or knows another version of it."""
    gone: int
    """Images that the sink knows, and the source has no longer."""
    _changed: "array[int]"
    """Places, in order, of the images of which the sink knows another version."""
    _rows: "array[int]"
    """The row that the sink has of each of them."""

    @property
    def images(self) -> int:
        return len(self.is_new)

    @property
    def new(self) -> int:
        """Images that the sink doesn't know, or knows another version of."""
        return int(self.is_new.sum())

    def replaced_by(self, place: int) -> int | None:
        """Return the row that the sink has of another version of this image; None if it has none."""
        position = bisect_left(self._changed, place)
        return self._rows[position] if position < len(self._changed) and self._changed[position] == place else None


def compare_images(
    listed: Iterable[tuple[str, str]], seen: Iterable[tuple[str, str]], *, images: int, scratch: Path
) -> Difference:
    """Return how the source's images differ from those known, both as URI and version, which may be empty.

    There are so many `images`. The known ones are in the order of their rows, and of one that has several, the last one
    counts. Images with versions are listed in the order of their URIs.
    """
    is_new, gone, changed, rows = np.ones(images, dtype=bool), 0, array("q"), array("q")
    placed = _sorted((f"{uri}{_END}{place} {version}" for place, (uri, version) in enumerate(listed)), scratch)
    entry = next(placed, "")
    for uri, (*_, newest) in groupby(_sorted(map(_known, count(), seen), scratch), _uri_of):
        while entry and _uri_of(entry) < uri:
            entry = next(placed, "")
        gone += _uri_of(entry) != uri
        while _uri_of(entry) == uri:
            place, _, version = entry[len(uri) :].partition(" ")
            row, _, known_version = newest[len(uri) :].partition(" ")
            is_new[int(place)] = version != known_version
            if version != known_version:
                changed.append(int(place))
                rows.append(int(row))
            entry = next(placed, "")
    return Difference(is_new=is_new, gone=gone, _changed=changed, _rows=rows)


def _known(row: int, image: tuple[str, str]) -> str:
    uri, version = image
    return f"{uri}{_END}{row:0{_ROW_DIGITS}} {version}" if version else uri + _END


def _sorted(texts: Iterable[str], scratch: Path) -> Iterator[str]:
    return sort_externally(texts, folder=Path(tempfile.mkdtemp(dir=scratch)))


def _uri_of(entry: str) -> str:
    """Return the URI of an entry with its end; empty if there is no entry."""
    return entry[: entry.rfind(_END) + 1]

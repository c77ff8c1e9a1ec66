"""Find out which images of a source a sink doesn't know yet, and how many that it knows the source has no longer.

Both lists may be longer than memory should hold, and the members of tars come in no order. So both are sorted on disk
and read side by side; in memory is one byte for each image of the source. Images are compared by their URIs.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dueby_worker.index.sorting import sort_externally

# Ends a URI, before its place in the source. Members' names and files' are written with escapes and don't have it.
_END = "\1"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How the images of a source differ from those that a sink knows."""

    is_new: NDArray[np.bool_]
    """For each image of the source, in its order, whether the sink doesn't know it."""
    gone: int
    """Images that the sink knows, and the source has no longer."""

    @property
    def images(self) -> int:
        """Images of the source."""
        return len(self.is_new)

    @property
    def new(self) -> int:
        """Images that the sink doesn't know."""
        return int(self.is_new.sum())


def compare_images(uris: Iterable[str], known: Iterable[str], *, images: int, scratch: Path) -> Difference:
    """Return how the source's `uris`, of which there are `images`, differ from the `known` ones of a sink."""
    is_new, gone = np.ones(images, dtype=bool), 0
    placed = _sorted((f"{uri}{_END}{place}" for place, uri in enumerate(uris)), scratch)
    entry = next(placed, "")
    for uri, _ in groupby(_sorted((uri + _END for uri in known), scratch)):
        while entry and _uri_of(entry) < uri:
            entry = next(placed, "")
        gone += _uri_of(entry) != uri
        while _uri_of(entry) == uri:
            is_new[int(entry[len(uri) :])] = False
            entry = next(placed, "")
    return Difference(is_new=is_new, gone=gone)


def _sorted(texts: Iterable[str], scratch: Path) -> Iterator[str]:
    return sort_externally(texts, folder=Path(tempfile.mkdtemp(dir=scratch)))


def _uri_of(entry: str) -> str:
    """Return the URI of an entry with its end; empty if there is no entry."""
    return entry[: entry.rfind(_END) + 1]

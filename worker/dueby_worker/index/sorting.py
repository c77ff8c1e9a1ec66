"""Sort more URIs than memory should hold: write sorted runs to disk and merge them while they are read.

Sources that come in order anyway (object stores, many manifests) make one long run, which costs a file and no merge.
"""

import heapq
from collections.abc import Iterable, Iterator
from itertools import count, islice
from pathlib import Path

# URIs that are sorted in memory. 2^18 of a hundred characters are some 40 MB.
CHUNK = 1 << 18
# Files that are open at the same time, of which a process may have 1,024. Up to 67 million URIs are merged only once.
FAN_IN = 256
# Ends each URI in a file. It is the one character that no store allows in a name.
_END = "\0"
# Characters that are read at a time.
_BLOCK = 1 << 16


class _SortedRun:
    """A file of URIs in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last = ""
        self.length = 0

    def extend(self, uris: list[str]) -> None:
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.writelines(uri + _END for uri in uris)
        self.last = uris[-1]
        self.length += len(uris)

    def __iter__(self) -> Iterator[str]:
        with self.path.open(encoding="utf-8", newline="") as file:
            rest = ""
            while block := file.read(_BLOCK):
                *uris, rest = (rest + block).split(_END)
                yield from uris


def sort_externally(uris: Iterable[str], *, folder: Path, chunk: int = CHUNK, fan_in: int = FAN_IN) -> Iterator[str]:
    """Yield all of `uris`, including repeated ones, in order of their code points.

    The files are in `folder`, which must exist until the last URI has been taken.
    """
    runs: list[_SortedRun] = []
    names = (folder / f"run-{number}" for number in count())
    for piece in _chunks(uris, chunk):
        piece.sort()
        # A piece that follows the last run in order simply continues it.
        if not runs or piece[0] < runs[-1].last:
            if len(runs) == fan_in:
                # The shortest half: what is merged already isn't written again each time.
                runs.sort(key=lambda run: run.length, reverse=True)
                half = (fan_in - 1) // 2
                runs[half:] = [_merge(runs[half:], _SortedRun(next(names)), chunk)]
            runs.append(_SortedRun(next(names)))
        runs[-1].extend(piece)
    return heapq.merge(*runs)


def _merge(runs: list[_SortedRun], into: _SortedRun, chunk: int) -> _SortedRun:
    for piece in _chunks(heapq.merge(*runs), chunk):
        into.extend(piece)
    for run in runs:
        run.path.unlink()
    return into


def _chunks(uris: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(uris)
    while piece := list(islice(iterator, size)):
        yield piece

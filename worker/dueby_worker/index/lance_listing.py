"""List the images in a column of a Lance dataset: the rows of one of its versions, by their numbers.

The order is that of the dataset. An image's bytes are never read here: a version says how many rows it has. If a column
names the images, that column is read, and its names are sorted on this machine's disk to see that none comes twice. Of
a blob column the descriptions are read, which say how long the blobs are, and whether they are in the dataset at all.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, count, repeat
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dueby_api.errors import Invalid
from dueby_api.source import Lance
from dueby_worker.images.fetch import Fetcher
from dueby_worker.images.lance_rows import VERSIONS, LanceRow
from dueby_worker.index.chunks import Row
from dueby_worker.index.kept import KeptColumns, kept_text, kept_type, kept_values
from dueby_worker.index.row_names import line_of, names_in, quoted_name, require_different
from dueby_worker.storage.lance_datasets import FIELD, LanceDataset, open_dataset
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import NotFound, Store, Unavailable
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import split

_NAME = "source.lance.name"
# Returns what the function does, which is asked again while the store is away.
_Ask = Callable[[Callable[[], Any]], Any]


def list_lance(source: Lance, *, scratch: Path, retry: RetryPolicy, kept: KeptColumns) -> Iterator[Row]:
    """Yield each image's URI and where it is. Raise Invalid, with the dataset, if it or its column is wrong.

    The source's URI is absolute.
    """
    uri = source.uri.rstrip("/")
    try:
        yield from _list(source.replace(uri=uri), scratch, retry, kept)
    except (ValueError, Unavailable) as error:
        raise Invalid(FIELD, f"{uri}: {error}") from None


def _list(source: Lance, scratch: Path, retry: RetryPolicy, kept: KeptColumns) -> Iterator[Row]:
    root, path = split(source.uri)
    folder = partial(_require_folder, open_store(root, field=FIELD, retry=retry), path)
    folder()
    # What isn't found is missed only if the folder is there: a gateway that has lost its server finds nothing. What
    # fails is never given up: it is the dataset, and not one image of many.
    fetcher = Fetcher(retry=retry, give_up_after_s=inf, field=FIELD)
    ask = partial(fetcher.persist, what=source.uri, require_source=folder)
    dataset = _open(source, ask)
    if (fault := dataset.find_fault(source.column)) is not None:
        raise ValueError(fault)
    rows, checksum = ask(lambda: dataset.rows), ask(lambda: dataset.checksum)
    length = ask(partial(_blob_bytes, dataset, source.column)) or ask(partial(dataset.mean_bytes, source.column))
    place = partial(
        LanceRow, dataset=source.uri, version=dataset.version, checksum=checksum, column=source.column, length=length
    )
    kept.declare({name: kept_type(dataset.type_at(name), name) for name in kept.names}, by=source.uri)
    with (
        closing(_names(dataset, source, rows, scratch, ask)) as names,
        closing(_kept(dataset, kept.names, scratch, ask)) as texts,
    ):
        for row, (name, text) in enumerate(zip(names, texts)):
            yield Row(f"{source.uri}#{name}", place(row=row), text)


def _require_folder(store: Store, path: str) -> None:
    """Raise ValueError if there is no dataset: our own stores believe that only if their server says so."""
    if not store.is_folder(f"{path}/{VERSIONS}"):
        raise ValueError(f"is no Lance dataset: there is no folder {VERSIONS} in it")


def _open(source: Lance, ask: _Ask) -> LanceDataset:
    """Return the version that is wanted. Raise ValueError if there is none."""
    try:
        dataset: LanceDataset = ask(partial(open_dataset, source.uri, source.version))
        return dataset
    except NotFound:
        if source.version is None:
            raise
        raise ValueError(
            f"has no version {source.version}, or no longer; leave out source.lance.version for the newest one"
        ) from None


def _blob_bytes(dataset: LanceDataset, column: str) -> int:
    """Return the mean size of blobs; 0 for another column. Raise ValueError if one lies elsewhere."""
    row = size = 0
    for blobs in dataset.blobs(column):
        for length, elsewhere in blobs:
            if elsewhere:
                raise ValueError(
                    f"has a blob in row {row:,} of its column `{column}` whose bytes are elsewhere ({elsewhere}), and "
                    "only what is in the dataset is read; write them into it"
                )
            row, size = row + 1, size + length
    return -(-size // max(row, 1))


def _names(dataset: LanceDataset, source: Lance, rows: int, scratch: Path, ask: _Ask) -> Generator[str, None, None]:
    """Yield the rows' names, of which each is another one."""
    if source.name is None:
        yield from map(str, range(rows))
        return
    if (fault := dataset.find_names_fault(source.name)) is not None:
        raise ValueError(fault)
    with TemporaryDirectory(dir=scratch) as folder:
        kept = Path(folder, "names")
        ask(partial(_write_names, dataset, source.name, kept))
        with kept.open(encoding="utf-8", newline="") as file:
            require_different(file, source.name, option=_NAME, scratch=Path(folder))
        with kept.open(encoding="utf-8", newline="") as file:
            yield from names_in(file)


def _kept(dataset: LanceDataset, keep: Sequence[str], scratch: Path, ask: _Ask) -> Generator[str, None, None]:
    """Yield what is kept of each row, as kept.py has it."""
    if not keep:
        yield from repeat("")
    with TemporaryDirectory(dir=scratch) as folder:
        file = Path(folder, "kept")
        ask(partial(_write_kept, dataset, keep, file))
        with file.open(encoding="utf-8", newline="") as lines:
            yield from (line.rstrip("\n") for line in lines)


def _write_kept(dataset: LanceDataset, keep: Sequence[str], file: Path) -> None:
    """Write a line for each row. Raise ValueError for one of which too much is to be kept."""
    with file.open("w", encoding="utf-8", newline="") as lines:
        columns = [chain.from_iterable(map(kept_values, dataset.values(name))) for name in keep]
        for row, *values in zip(count(), *columns):
            print(kept_text(None, values, keep, where=f"row {row:,}"), file=lines)


def _write_names(dataset: LanceDataset, column: str, kept: Path) -> None:
    """Write a line for each row. Raise ValueError for one without a name."""
    numbers = count()
    with kept.open("w", encoding="utf-8", newline="") as file:
        for values in dataset.values(column):
            rows = list(zip(values.to_pylist(), numbers))
            file.writelines(line_of(quoted_name(name, column, row, option=_NAME), row) for name, row in rows)

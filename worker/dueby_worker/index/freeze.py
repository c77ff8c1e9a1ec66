"""Freeze the list of a source's images: sort it, compute its digest, and cut it into Parquet files.

Only a part of the list is in memory at any time, whatever its length.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count, groupby, islice, repeat
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dueby_api.errors import Invalid, Transient
from dueby_api.source import REPLACES, Source
from dueby_worker.index.chunks import BESIDE, KEPT, VERSION, Row, chunk_digest, columns_of, row_at, table_of, text_of
from dueby_worker.index.frozen_index import ROWS, chunk_name
from dueby_worker.index.kept import KeptColumns
from dueby_worker.index.lance_listing import list_lance
from dueby_worker.index.listing import Unlisted, canonical_source, field_of, list_source, shards_of, why_empty
from dueby_worker.index.parquet_listing import list_parquet
from dueby_worker.index.shards import list_shards
from dueby_worker.index.sorting import sort_externally
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import ListingAnswers
from dueby_worker.system.temporary_files import scratch_folder

Counted = TypeVar("Counted")
# A disk of this machine is there or not.
_AT_ONCE = RetryPolicy(total_s=0)
# Listing reports its progress every so many images.
_REPORT_EVERY = 10_000
# Stands between an image's URI, what its list says of it, and its version while they are sorted. JSON has no such
# character.
_BESIDE = "\1"


@dataclass(frozen=True, kw_only=True)
class FrozenFiles:
    """An index's files before they are in the sink."""

    folder: Path
    images: int
    digest: str
    replaced: int = 0
    """Rows of earlier generations that the images had."""
    unlisted: str = ""
    """Files in the source's folder that are no images by their endings, such as "3 .txt"."""
    chunk_digests: tuple[str, ...] = ()
    """Of each file's rows."""
    kept_digest: str = ""
    """Of the rows with what the source says of the images besides; empty if it says nothing."""
    versions_digest: str = ""
    """Of the rows with everything that is known of the images; empty if no versions are."""
    kept_types: Mapping[str, str] = field(default_factory=dict)
    """The types of the columns of source.keep."""

    @property
    def chunks(self) -> int:
        return -(-self.images // ROWS)

    def chunk(self, number: int) -> Path:
        return self.folder / chunk_name(number)

    def uris(self, *, with_versions: bool) -> Iterator[tuple[str, str]]:
        """Yield URI and version of all images in their order; empty versions if nobody asks for them."""
        columns = ["uri", VERSION] if with_versions else ["uri"]
        for number in range(self.chunks):
            with pq.ParquetFile(self.chunk(number)) as file:
                uris, *versions = (column.to_pylist() for column in file.read(columns=columns).columns)
                yield from zip(uris, versions[0] if versions else repeat(""))

    def rows_where(self, wanted: NDArray[np.bool_]) -> Iterator[Row]:
        """Yield the images of which this is true, in their order."""
        for number in range(self.chunks):
            with pq.ParquetFile(self.chunk(number)) as file:
                table = file.read()
            for row in np.flatnonzero(wanted[number * ROWS : (number + 1) * ROWS]):
                yield row_at(table, int(row))

    def rows(self, images: Collection[int]) -> list[Row]:
        """Return these images in the order given. Each file is read once."""
        rows: dict[int, Row] = {}
        for number, wanted in groupby(sorted(images), key=lambda image: image // ROWS):
            # Not read_table, which loads the library for datasets of many files.
            with pq.ParquetFile(self.chunk(number)) as file:
                table = file.read()
            rows |= {image: row_at(table, image % ROWS) for image in wanted}
        return [rows[image] for image in images]


def count_images(source: Source) -> int:
    """Return how many images a source on this machine has. Raise Invalid, with the field, if it has none."""
    with (
        scratch_folder("count") as scratch,
        closing(_listed(source.replace(keep=()), scratch, None, _say_nothing, _AT_ONCE, [], KeptColumns(()))) as rows,
    ):
        images = sum(1 for _ in rows)
    return _require_some(source, images)


def freeze(
    source: Source,
    scratch: Path,
    limit: int | None,
    on_progress: Callable[[str, int], None],
    retry: RetryPolicy,
    *,
    with_versions: bool = False,
    answers: ListingAnswers | None = None,
) -> FrozenFiles:
    """List the source and write the first `limit` of its images, in order, to files in `scratch`.

    With versions, the files of a folder can be compared with what they are later. What `answers` have of the listing
    isn't asked for again.
    """
    # The last one is of the attempt that has listed the whole source.
    unlisted: list[Unlisted] = []
    kept = KeptColumns(source.keep)
    with closing(_listed(source, scratch, limit, on_progress, retry, unlisted, kept, with_versions, answers)) as listed:
        frozen = write_frozen(islice(listed, limit), scratch, kept, on_progress)
    _require_some(source, frozen.images)
    return replace(frozen, unlisted=str(unlisted[-1]) if unlisted else "")


def write_frozen(
    rows: Iterator[Row], folder: Path, kept: KeptColumns, on_progress: Callable[[str, int], None]
) -> FrozenFiles:
    """Write an index's files of these images."""
    digest, images, chunk_digests = hashlib.sha256(), 0, []
    kept_digest, says_more = hashlib.sha256(json.dumps(kept.names).encode()), bool(kept.names)
    versions_digest, has_versions, replaced = hashlib.sha256(), False, 0
    for number in count():
        chunk = list(islice(rows, ROWS))
        if not chunk:
            break
        columns = columns_of(chunk)
        text = text_of(columns)
        # Of most sources there is nothing beside the images, and the three digests are of the same text.
        is_bare = columns.keys().isdisjoint(BESIDE)
        # Two generations may be of the same images, but no row is replaced twice.
        digest.update(text if is_bare else text_of(columns, without=(KEPT, VERSION)))
        kept_digest.update(text if is_bare else text_of(columns, without=(VERSION, REPLACES)))
        chunk_digests.append(chunk_digest(text))
        versions_digest.update(text)
        says_more |= KEPT in columns
        has_versions |= VERSION in columns
        replaced += sum(row is not None for row in columns.get(REPLACES, ()))
        for row in chunk if kept.names else ():
            kept.note(row.kept, uri=row.uri)
        pq.write_table(table_of(columns), folder / chunk_name(number), compression="zstd", row_group_size=ROWS)
        images += len(chunk)
        on_progress("freezing", images)
    return FrozenFiles(
        folder=folder,
        images=images,
        digest=digest.hexdigest(),
        chunk_digests=tuple(chunk_digests),
        kept_digest=kept_digest.hexdigest() if says_more else "",
        versions_digest=versions_digest.hexdigest() if has_versions else "",
        replaced=replaced,
        kept_types=kept.types,
    )


def _say_nothing(_stage: str, _images: int) -> None:
    pass


def _require_some(source: Source, images: int) -> int:
    if not images:
        raise Invalid(field_of(source), f"there are no images: {why_empty(source)}")
    return images


def _listed(
    source: Source,
    scratch: Path,
    limit: int | None,
    on_progress: Callable[[str, int], None],
    retry: RetryPolicy,
    unlisted: list[Unlisted],
    kept: KeptColumns,
    with_versions: bool = False,
    answers: ListingAnswers | None = None,
) -> Generator[Row, None, None]:
    """Yield the source's images in their order."""

    def counted(rows: Iterable[Counted]) -> Iterator[Counted]:
        number = 0
        for number, row in enumerate(rows, 1):
            if number % _REPORT_EVERY == 0:
                on_progress("listing", number)
            yield row
        if number > _REPORT_EVERY:
            on_progress("listing", number)

    def sort() -> Iterator[str]:
        # Each attempt has a folder of its own and starts from the beginning.
        unlisted.append(Unlisted())
        listed = list_source(
            source,
            scratch=scratch,
            retry=retry,
            unlisted=unlisted[-1],
            kept=kept,
            with_versions=with_versions,
            answers=answers,
        )
        lines = (_BESIDE.join((row.uri, row.kept, row.version)) for row in counted(listed))
        return sort_externally(lines, folder=Path(tempfile.mkdtemp(dir=scratch)))

    try:
        if (shards := shards_of(source)) is not None:
            yield from counted(list_shards(shards, scratch=scratch, retry=retry, kept=kept, answers=answers))
        elif (parquet := canonical_source(source).parquet) is not None:
            yield from counted(list_parquet(parquet, scratch=scratch, retry=retry, limit=limit, kept=kept))
        elif (lance := canonical_source(source).lance) is not None:
            yield from counted(list_lance(lance, scratch=scratch, retry=retry, kept=kept))
        else:
            for line in retry.call(sort, what=field_of(source)):
                uri, said, version = line.rsplit(_BESIDE, 2)
                yield Row(uri, None, said, version)
    except Transient as error:
        raise Transient(f"{field_of(source)}: the images can't be listed: {error}") from error

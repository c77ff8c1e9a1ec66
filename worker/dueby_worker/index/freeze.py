"""Freeze the list of a source's images: sort it, compute its digest, and cut it into Parquet files.

Only a part of the list is in memory at any time, whatever its length.
"""

import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import count, groupby, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dueby_api.errors import Invalid, Transient
from dueby_api.inference_job import Source
from dueby_worker.index.frozen_index import ROWS, chunk_name
from dueby_worker.index.listing import field_of, list_source, why_empty
from dueby_worker.index.sorting import sort_externally
from dueby_worker.storage.retry import RetryPolicy

# Listing reports its progress every so many images.
_REPORT_EVERY = 10_000


@dataclass(frozen=True, kw_only=True)
class FrozenFiles:
    """An index's files before they are in the sink."""

    folder: Path
    images: int
    digest: str

    @property
    def chunks(self) -> int:
        """Number of files."""
        return -(-self.images // ROWS)

    def chunk(self, number: int) -> Path:
        """Return the path of a file."""
        return self.folder / chunk_name(number)

    def uris(self, images: Collection[int]) -> list[str]:
        """Return the URIs of these images in the order given. Each file is read once."""
        found: dict[int, str] = {}
        for number, wanted in groupby(sorted(images), key=lambda image: image // ROWS):
            column = pq.read_table(self.chunk(number)).column("uri")
            found |= {image: column[image % ROWS].as_py() for image in wanted}
        return [found[image] for image in images]


def freeze(
    source: Source, scratch: Path, limit: int | None, on_progress: Callable[[str, int], None], retry: RetryPolicy
) -> FrozenFiles:
    """List the source and write the first `limit` of its images, in order, to files in `scratch`."""
    uris = islice(_sorted_uris(source, scratch, on_progress, retry), limit)
    digest, images = hashlib.sha256(), 0
    for number in count():
        chunk = list(islice(uris, ROWS))
        if not chunk:
            break
        digest.update(("\0".join(chunk) + "\0").encode())
        pq.write_table(pa.table({"uri": chunk}), scratch / chunk_name(number), compression="zstd", row_group_size=ROWS)
        images += len(chunk)
        on_progress("freezing", images)
    if not images:
        raise Invalid(field_of(source), f"there are no images: {why_empty(source)}")
    return FrozenFiles(folder=scratch, images=images, digest=digest.hexdigest())


def _sorted_uris(
    source: Source, scratch: Path, on_progress: Callable[[str, int], None], retry: RetryPolicy
) -> Iterator[str]:
    def listed() -> Iterator[str]:
        for number, uri in enumerate(list_source(source, scratch=scratch, retry=retry), 1):
            if number % _REPORT_EVERY == 0:
                on_progress("listing", number)
            yield uri

    def sort() -> Iterator[str]:
        # Each attempt has a folder of its own and starts from the beginning: a listing can't be resumed.
        return sort_externally(listed(), folder=Path(tempfile.mkdtemp(dir=scratch)))

    try:
        return retry.call(sort, what=field_of(source))
    except Transient as error:
        raise Transient(f"{field_of(source)}: the images can't be listed: {error}") from error

"""The frozen list of a job's images: made once, by one process, and read by every worker.

The source is listed, sorted and digested, and frozen in the sink as Parquet, one row group of 65,536 URIs a file, so
that a worker gets what it needs of it with plain reads. The files lie in a folder named after the digest, and
`index.json`, which says N and where they are, is created last and once: an index is whole or isn't there, a killed
index step is simply run again, and of two at a time one wins. No step holds more than a part of the list in memory.
Synthetic images leave nothing in the sink: their index follows from their size and number.
"""

import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dueby_api.errors import Invalid, Transient
from dueby_api.inference_job import Source
from dueby_api.input_cost import InputCost
from dueby_api.schema import Spec, validate
from dueby_worker.images.decode import MAX_PIXELS
from dueby_worker.images.synthetic import SyntheticImages, synthetic_uris
from dueby_worker.index.listing import canonical_source, emptiness_of, field_of, list_source
from dueby_worker.index.sampling import choose, sample_files, sample_synthetic
from dueby_worker.index.sorting import sort_externally
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.images.fetch import Fetcher
from dueby_worker.storage.retry import Patience
from dueby_worker.storage.store import NotFound, Store, Unavailable

__all__ = ["Index", "IndexSummary", "InputCost", "build_index", "find_index", "open_index", "resolve_index"]

FOLDER = "_dueby/index"
DOCUMENT = f"{FOLDER}/index.json"
ROWS = 65_536
FORMAT = 1
# Listing is the first that is asked of a store: a wrong address should be noticed before the deadline is.
LISTING_PATIENCE = Patience(longest_s=10.0, total_s=60.0)

Progress = Callable[[str, int], None]


class IndexSummary(Spec, frozen=True, kw_only=True):
    """What planning needs to know about the images."""

    images: int
    """N."""
    digest: str
    """SHA-256 over the URIs in their order, each with a NUL after it."""
    input_cost: InputCost
    """What an image costs before the model sees it."""


class _Document(Spec, frozen=True, kw_only=True):
    """index.json."""

    format: int
    source: Source
    limit: int | None = None
    summary: IndexSummary
    witnesses: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Index:
    """A sink's index."""

    store: Store
    summary: IndexSummary
    source: Source
    limit: int | None
    """The most images that were wanted."""
    witnesses: tuple[str, ...]
    """Images that could be read when the index was made."""
    _chunks: dict[int, pa.ChunkedArray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def images(self) -> int:
        """N."""
        return self.summary.images

    @property
    def digest(self) -> str:
        """The summary's."""
        return self.summary.digest

    def uris(self, first: int, last: int) -> list[str]:
        """The URIs of the images first..last, both inclusive."""
        return [uri for _, uri in self.items(first, last)]

    def items(self, first: int, last: int) -> Iterator[tuple[int, str]]:
        """(index, URI) of the images first..last, both inclusive; a chunk at a time is read and held."""
        if not 0 <= first <= last + 1 <= self.images:
            raise IndexError(f"images {first} to {last} of {self.images}")
        for number in range(first // ROWS, last // ROWS + 1):
            start = max(first, number * ROWS)
            end = min(last + 1, (number + 1) * ROWS)
            yield from zip(range(start, end), self._read(start, end))

    def _read(self, start: int, end: int) -> Iterable[str]:
        if (made := self.source.synthetic) is not None:
            return synthetic_uris(made.width, made.height, start, end)
        number = start // ROWS
        if number not in self._chunks:
            self._chunks.clear()
            self._chunks[number] = pq.read_table(io.BytesIO(self._chunk(number))).column("uri")
        uris: list[str] = self._chunks[number].slice(start % ROWS, end - start).to_pylist()
        return uris

    def _chunk(self, number: int) -> bytes:
        path = f"{_folder(self.digest)}/{_chunk_name(number)}"
        try:
            return self.store.read(path)
        except Unavailable as error:  # it was there before index.json was
            raise Transient(f"{self.store.uri_of(path)}, a part of the index, can't be read: {error}") from error


def find_index(sink: Store) -> Index | None:
    """The sink's index, if it has one."""
    try:
        text = sink.read(DOCUMENT)
    except NotFound:
        return None
    try:
        content = json.loads(text)
    except ValueError:
        raise Invalid(
            sink.field, f"{sink.uri_of(DOCUMENT)} is not JSON; use another sink, or ifExists: Overwrite"
        ) from None
    return _index(sink, validate(_Document, content, origin=sink.uri_of(DOCUMENT)))


def open_index(sink: Store) -> Index:
    """The sink's index; Invalid if it has none."""
    if (index := find_index(sink)) is None:
        raise Invalid(sink.field, f"{sink.uri} has no index; run the index step first")
    return index


def resolve_index(source: Source, sink: Store, *, images: int, preprocessing: Preprocessing) -> Index:
    """A worker's index: the sink's, or that of synthetic images. That it is this job's, the claim tells: the digest is
    part of it."""
    if source.synthetic is None:
        return open_index(sink)
    return _index(sink, _document_of_synthetic(_sized(source, preprocessing), images, preprocessing))


def build_index(
    source: Source,
    sink: Store,
    *,
    limit: int | None,
    preprocessing: Preprocessing,
    max_pixels: int = MAX_PIXELS,
    replace: bool = False,
    progress: Progress = lambda stage, count: None,
    patience: Patience = LISTING_PATIENCE,
) -> IndexSummary:
    """List, freeze and sample the source, and leave it in the sink, unless it is synthetic.

    An index of the same images that is there already stays and counts, unless `replace`. `progress` is told "listing",
    "freezing" or "sampling" and how many images.
    """
    source = _sized(canonical_source(source), preprocessing)
    if source.synthetic is not None:
        return _document_of_synthetic(source, limit, preprocessing).summary
    if not replace and (found := find_index(sink)) is not None:
        return _require_same(found, source, limit).summary
    with tempfile.TemporaryDirectory(prefix="dueby-index-") as scratch:
        frozen = _freeze(source, Path(scratch), limit, progress, patience)
        for number in range(-(-frozen.images // ROWS)):
            sink.create(f"{_folder(frozen.digest)}/{_chunk_name(number)}", frozen.chunk(number).read_bytes())
        cost, witnesses = sample_files(
            frozen.uris(choose(frozen.images, seed=frozen.digest)),
            preprocessing=preprocessing,
            max_pixels=max_pixels,
            fetcher=Fetcher(patience=patience),
            progress=lambda count: progress("sampling", count),
        )
    summary = IndexSummary(images=frozen.images, digest=frozen.digest, input_cost=cost)
    document = _Document(format=FORMAT, source=source, limit=limit, summary=summary, witnesses=witnesses)
    return _commit(sink, document, replace=replace)


@dataclass(frozen=True, kw_only=True)
class _Frozen:
    """An index's files before they are in the sink."""

    folder: Path
    images: int
    digest: str

    def chunk(self, number: int) -> Path:
        return self.folder / _chunk_name(number)

    def uris(self, images: Collection[int]) -> list[str]:
        """Of some images, in the order given; each chunk is read once."""
        found: dict[int, str] = {}
        for number, wanted in groupby(sorted(images), key=lambda image: image // ROWS):
            column = pq.read_table(self.chunk(number)).column("uri")
            found |= {image: column[image % ROWS].as_py() for image in wanted}
        return [found[image] for image in images]


def _freeze(source: Source, scratch: Path, limit: int | None, progress: Progress, patience: Patience) -> _Frozen:
    """List, sort, digest and write the source's images, in pieces."""

    def listed() -> Iterator[str]:
        for count, uri in enumerate(list_source(source, scratch=scratch, patience=patience), 1):
            if count % 10_000 == 0:
                progress("listing", count)
            yield uri

    def sort() -> Iterator[str]:
        """From the beginning each time: a listing that broke off can't be resumed."""
        return sort_externally(listed(), folder=Path(tempfile.mkdtemp(dir=scratch)))

    try:
        uris = islice(patience.call(sort, what=field_of(source)), limit)
    except Transient as error:
        raise Transient(f"{field_of(source)}: the images can't be listed: {error}") from error
    digest, images = hashlib.sha256(), 0
    for number, start in enumerate(range(0, limit or 10**18, ROWS)):
        chunk = list(islice(uris, ROWS))
        if not chunk:
            break
        digest.update(("\0".join(chunk) + "\0").encode())
        pq.write_table(pa.table({"uri": chunk}), scratch / _chunk_name(number), compression="zstd", row_group_size=ROWS)
        images = start + len(chunk)
        progress("freezing", images)
    if not images:
        raise Invalid(field_of(source), f"there are no images: {emptiness_of(source)}")
    return _Frozen(folder=scratch, images=images, digest=digest.hexdigest())


def _index(sink: Store, document: _Document) -> Index:
    return Index(
        store=sink,
        summary=document.summary,
        source=document.source,
        limit=document.limit,
        witnesses=document.witnesses,
    )


def _sized(source: Source, preprocessing: Preprocessing) -> Source:
    """The source with the size of its synthetic images."""
    if (made := source.synthetic) is None:
        return source
    side = preprocessing.crop_side
    return source.replace(synthetic=made.replace(width=made.width or side, height=made.height or side))


def _document_of_synthetic(source: Source, limit: int | None, preprocessing: Preprocessing) -> _Document:
    if limit is None:
        raise Invalid("spec.images", "is missing; a synthetic source has as many images as you say")
    made = SyntheticImages.of(source, preprocessing)
    digest = hashlib.sha256(f"synthetic {made.width} x {made.height}, {limit}".encode()).hexdigest()
    summary = IndexSummary(images=limit, digest=digest, input_cost=sample_synthetic(made))
    return _Document(format=FORMAT, source=source, limit=limit, summary=summary)


def _commit(sink: Store, document: _Document, *, replace: bool) -> IndexSummary:
    """The document's summary, or that of the process that was first."""
    data = json.dumps(document.document(), indent=1).encode()
    if replace:
        sink.replace(DOCUMENT, data)
    elif not sink.create(DOCUMENT, data):
        return _require_same(open_index(sink), document.source, document.limit).summary
    return document.summary


def _require_same(found: Index, source: Source, limit: int | None) -> Index:
    """Listed once, a source isn't listed again; but another one is another job."""
    if (found.source, found.limit) != (source, limit):
        raise Invalid(
            found.store.field,
            f"{found.store.uri} holds the index of another source or another limit ({found.source.document()}, "
            f"images: {found.limit}); use another sink, or ifExists: Overwrite",
        )
    return found


def _folder(digest: str) -> str:
    return f"{FOLDER}/{digest[:16]}"


def _chunk_name(number: int) -> str:
    return f"uris-{number * ROWS:012d}.parquet"

"""The frozen index: the list of a job's images, made once by one process and read by every worker.

It is kept in the sink as Parquet files of 65,536 URIs, one row group each, so that a worker gets what it needs with
plain reads. The files lie in a folder named after the digest of the list. `index.json`, which says N and where they
are, is created last and once: an index is complete or does not exist. A killed index step is simply run again, and of
two at the same time one wins.

What is added to a sink has an index of its own, with the number of its generation in its document's name. Images in
tars, Parquet files and Lance datasets have rows that also say where they are (chunks.py). Synthetic images
leave nothing in the sink: their index follows from their size and number. build.py makes an index.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any
from urllib.parse import unquote_to_bytes

import pyarrow as pa
import pyarrow.parquet as pq

from dueby_api.errors import Invalid, Transient, first_line
from dueby_api.input_cost import InputCost
from dueby_api.schema import Spec, validate
from dueby_api.schema import field as spec_field
from dueby_api.source import REPLACES, Source
from dueby_worker.images.synthetic import SyntheticImages, synthetic_uris
from dueby_worker.images.within import Place
from dueby_worker.index.chunks import KEPT, VERSION, digest_of, places_at
from dueby_worker.index.kept import read_kept
from dueby_worker.index.listing import canonical_source, shards_of
from dueby_worker.index.sampling import sample_synthetic
from dueby_worker.index.shards import names_shards
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.storage.generations import newest_generation, path_in
from dueby_worker.storage.store import NotFound, Store, Unavailable
from dueby_worker.storage.uris import literal_folder, member_uri, parent, split
from dueby_worker.system.text_columns import text_column

FOLDER = "_dueby/index"
DOCUMENT = f"{FOLDER}/index.json"
# URIs in a file: as many as the largest part has images.
ROWS = 65_536
# Neighbours whose places are taken from a file together.
_PLACES = 256
FORMAT = 1
# Enough of a digest to name a folder.
_DIGITS = 16
# What to do about an index that can't be used.
_ADVICE = "use another sink, or set sink.ifExists: Overwrite"


class IndexSummary(Spec, frozen=True, kw_only=True):
    """What planning needs to know about the images."""

    images: int
    """N."""
    digest: str
    """SHA-256 over the rows in order, each value followed by a NUL: URIs, and for images within something larger
    where they are."""
    input_cost: InputCost
    """What an image costs before the model sees it."""
    unlisted: str = ""
    """Files in the source's folder that are no images by their endings, such as "3 .txt"."""
    kept: str = ""
    """SHA-256 over the rows with what the source says of the images besides; empty if that follows from their URIs."""


class IndexDocument(Spec, frozen=True, kw_only=True):
    """The content of index.json."""

    format: int
    source: Source
    limit: int | None = None
    summary: IndexSummary
    witnesses: tuple[str, ...] = ()
    chunk_digests: tuple[str, ...] = ()
    """Of the rows of each file; empty in an index of before there were any."""
    named_by: Source | None = None
    """The source that names the images; None in an index of before images had names. Where the index is known by
    another source later, the names stay."""
    kept_types: dict[str, str] = spec_field(default_factory=dict)
    """The types of the columns of source.keep."""
    first_image: int | None = None
    """Images of the generations before this one; absent in the first one."""
    versions: str = ""
    """SHA-256 over the rows with everything that is known of the images; empty if no versions of their files are."""
    replaced: int = 0
    """Rows that those of this generation and of the ones before it replace."""

    def chunk_path(self, number: int) -> str:
        """Return where a file of the index is in the sink."""
        return chunk_path(self.versions or self.summary.kept or self.summary.digest, number)


@dataclass(frozen=True, kw_only=True)
class Index:
    """A sink's index."""

    store: Store
    document: IndexDocument
    generation: int = 1
    """Which of the sink's generations it is of."""
    _chunks: dict[int, pa.Table] = field(default_factory=dict, repr=False, compare=False)
    """The file that was read last, by its number."""

    @property
    def images(self) -> int:
        """N."""
        return self.document.summary.images

    @property
    def digest(self) -> str:
        """Digest of the URIs."""
        return self.document.summary.digest

    @property
    def witnesses(self) -> tuple[str, ...]:
        """Images that could be read when the index was made."""
        return self.document.witnesses

    def uris(self, first: int, last: int) -> list[str]:
        """Return the URIs of the images first..last, both inclusive."""
        return [uri for _, uri in self.items(first, last)]

    @property
    def path(self) -> str:
        return path_in(self.generation, DOCUMENT)

    def uris_of_all(self, *, with_versions: bool) -> Iterator[tuple[str, str]]:
        """Yield URI and version of all images, empty versions if nobody asks. One file at a time is held in memory."""
        for start, end in self._pieces(0, self.images - 1):
            yield from zip(self._read(start, end), self._beside(VERSION, start, end) if with_versions else repeat(""))

    def items(self, first: int, last: int) -> Iterator[tuple[int, str]]:
        """Yield (index, URI) of the images first..last, both inclusive. One file at a time is held in memory."""
        for start, end in self._pieces(first, last):
            yield from zip(range(start, end), self._read(start, end))

    def described(self, first: int, last: int) -> tuple[list[str], dict[str, pa.Array]]:
        """Return the URIs of the images first..last, both inclusive, and the columns that rows have of the source.

        These are `name`, what the source calls the images, and those of source.keep; none in an index of before images
        had names, nor of synthetic images. Where rows replace others, `replaces` says which ones.
        """
        uris, texts, replaces = list[str](), list[str | None](), list[int | None]()
        for start, end in self._pieces(first, last):
            uris += self._read(start, end)
            texts += self._beside(KEPT, start, end)
            replaces += self._beside(REPLACES, start, end) if self.document.replaced else ()
        if (named_by := self.document.named_by) is None:
            return uris, {}
        said, columns = read_kept(texts, self.document.kept_types)
        namer, folder = namer_of(named_by), f"{parent(named_by.manifest.uri)}/" if named_by.manifest else ""
        # The number is BELOW_LIST.
        names = (
            uri.removeprefix(folder) if isinstance(name, int) else name or namer(uri) for name, uri in zip(said, uris)
        )
        if self.document.replaced:
            columns[REPLACES] = pa.array(replaces, pa.int64())
        return uris, {"name": text_column(names)} | columns

    @property
    def member_of(self) -> Callable[[int], Place] | None:
        """Return the function that says where an image is; None if the images are objects of their own."""
        source = self.document.source
        if source.parquet is None and source.lance is None and shards_of(source) is None:
            return None
        held = 0, list[Place]()

        def place_of(image: int) -> Place:
            nonlocal held
            first, places = held
            if not first <= image < first + len(places):
                first, places = held = image, places_at(self._table(image // ROWS), image % ROWS, _PLACES)
            return places[image - first]

        return place_of

    def _pieces(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield the images of each file of the index among first..last, both inclusive: the first, the last and 1."""
        if not 0 <= first <= last + 1 <= self.images:
            raise IndexError(f"images {first} to {last} of {self.images}")
        for number in range(first // ROWS, last // ROWS + 1):
            yield max(first, number * ROWS), min(last + 1, (number + 1) * ROWS)

    def _beside(self, name: str, start: int, end: int) -> list[Any]:
        """Return a column's values, or None for each, of these images, which are in one file."""
        if self.document.source.synthetic is not None or name not in self._table(start // ROWS).column_names:
            return [None] * (end - start)
        values: list[Any] = self._table(start // ROWS).column(name).slice(start % ROWS, end - start).to_pylist()
        return values

    def _read(self, start: int, end: int) -> Iterable[str]:
        if (synthetic := self.document.source.synthetic) is not None:
            return synthetic_uris(synthetic.width, synthetic.height, start, end)
        column = self._table(start // ROWS).column("uri")
        uris: list[str] = column.slice(start % ROWS, end - start).to_pylist()
        return uris

    def _table(self, number: int) -> pa.Table:
        if number not in self._chunks:
            self._chunks.clear()
            self._chunks[number] = self._read_chunk(number)
        return self._chunks[number]

    def _read_chunk(self, number: int) -> pa.Table:
        """Return the rows of a file. Raise Invalid if it is damaged or gone, Transient if it can't be read now."""
        path, digests = self.document.chunk_path(number), self.document.chunk_digests
        uri = self.store.uri_of(path)
        try:
            data = self.store.read(path)
        except Unavailable as error:
            # The file was there before index.json was: it is missed only if the store is there, and shows that.
            if isinstance(error, NotFound) and self.store.exists(self.path):
                raise Invalid(self.store.field, f"{uri}, a file of the index, is gone; {_ADVICE}") from None
            raise Transient(f"{uri}, a file of the index, can't be read: {error}") from error
        try:
            table = pq.ParquetFile(io.BytesIO(data)).read()
            if digests and digest_of(table) != digests[number]:
                raise ValueError("its rows are others than those that were indexed")
        except MemoryError:  # pyarrow's is one of its other exceptions, too
            raise
        except (pa.ArrowException, OSError, ValueError, LookupError) as error:
            damage = f"{uri}, a file of the index, is damaged ({first_line(error)})"
            raise Invalid(self.store.field, f"{damage}; {_ADVICE}") from None
        return table


def find_index(sink: Store, generation: int | None = None) -> Index | None:
    """Return the sink's index of a generation, by default of the newest that has one; None if there is none."""
    generation = generation or max(1, newest_generation(sink, DOCUMENT))
    path = path_in(generation, DOCUMENT)
    try:
        text = sink.read(path)
    except NotFound:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid(sink.field, f"{sink.uri_of(path)} is not JSON; {_ADVICE}") from None
    document = validate(IndexDocument, content, origin=sink.uri_of(path))
    return Index(store=sink, document=document, generation=generation)


def open_index(sink: Store) -> Index:
    """Return the newest index of the sink. Raise Invalid if it has none."""
    if (index := find_index(sink)) is None:
        raise Invalid(
            sink.field,
            f"{sink.uri} has no index: it was emptied while the job ran; delete what is left of it, or set "
            "sink.ifExists: Overwrite, and run the job again",
        )
    return index


def resolve_index(source: Source, sink: Store, *, images: int, preprocessing: Preprocessing) -> Index:
    """Return a worker's index: the sink's newest, or that of synthetic images. Raise Invalid if it is another's.

    Whether it is this job's index in every other way is checked with the sink's manifest, because the digest is part of
    the fingerprint.
    """
    if source.synthetic is None:
        return _require_source(open_index(sink), canonical_source(source))
    return Index(store=sink, document=describe_synthetic(sized(source, preprocessing), images, preprocessing))


def _require_source(index: Index, source: Source) -> Index:
    frozen = index.document.source
    if frozen != source:
        raise Invalid(
            index.store.field,
            f"{index.store.uri} holds the index of another source ({frozen.document()}, not {source.document()}): "
            "the job was edited, or another one has used the sink. Create the job again, with a sink of its own",
        )
    return index


def sized(source: Source, preprocessing: Preprocessing) -> Source:
    """Return the source with the size of its synthetic images, which by default is that of the model's input."""
    if (synthetic := source.synthetic) is None:
        return source
    side = preprocessing.crop_side
    return source.replace(synthetic=synthetic.replace(width=synthetic.width or side, height=synthetic.height or side))


def describe_synthetic(source: Source, limit: int | None, preprocessing: Preprocessing) -> IndexDocument:
    """Return the index of `limit` synthetic images. Raise Invalid if their number is missing."""
    if limit is None:
        raise Invalid("spec.images", "is missing; say how many images a synthetic source has")
    images = SyntheticImages.of(source, preprocessing)
    digest = hashlib.sha256(f"synthetic {images.width} x {images.height}, {limit}".encode()).hexdigest()
    summary = IndexSummary(images=limit, digest=digest, input_cost=sample_synthetic(images))
    return IndexDocument(format=FORMAT, source=source, limit=limit, summary=summary)


def chunk_name(number: int) -> str:
    """Return the name of the index's file of this number."""
    return f"uris-{number * ROWS:012d}.parquet"


def chunk_path(digest: str, number: int) -> str:
    """Return the path, in the sink, of the index's file of this number."""
    return f"{FOLDER}/{digest[:_DIGITS]}/{chunk_name(number)}"


def namer_of(source: Source) -> Callable[[str], str]:
    """Return the function from an image's URI to what the source, whose own URI is absolute, calls the image.

    That is what a user's own table knows images by: the rows' column `name`. It is derived from the URI, so an index is
    no larger for it.

        folder, glob      the path below the folder                      cats/1.jpg
        tars              the member's name                              cats/1.jpg
        Parquet, Lance    what the column says that names the images     cat-1
                          without one, FILE#ROW below the folder, or ROW of a Lance dataset
        list              what the list says; the index has it (kept.py) where it is no part of the URI
    """
    if (uri := source.images_uri) is None:
        return str
    column = source.parquet or source.lance
    if source.lance is not None or (column.name is not None if column is not None else names_shards(uri)):
        return _label
    path = split(uri)[1].rstrip("/")
    # A folder's name may have a [, so the path of an image tells it from a glob.
    fixed = literal_folder(path)

    def below(image: str) -> str:
        path_in_store = split(image)[1]
        top = path if path_in_store.startswith(f"{path}/") else fixed
        name = path_in_store.removeprefix(f"{top}/") if top else path_in_store
        return _label(member_uri("", name))

    return below


def _label(image: str) -> str:
    """Return what stands after the last # of a URI, without escapes if it is UTF-8."""
    quoted = image.rpartition("#")[2]
    try:
        return unquote_to_bytes(quoted).decode()
    except UnicodeDecodeError:
        return quoted

"""`dueby.read`: the rows in a job's sink, whether the job is done or not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dueby.inputs.needs import needing
from dueby.library.inputs import AnyPath, path_of
from dueby.library.pages import Section, framed, render_sections
from dueby_api.errors import Invalid, Transient
from dueby_api.words import counted, faults, unlisted_words

if TYPE_CHECKING:
    from dueby.report.dataset import Batch, Dataset, Expression, Scan, Table

# Rows that a notebook shows, and of a list in one of them the values.
_SHOWN_ROWS, _SHOWN_VALUES = 10, 3


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Results:
    """The rows of finished parts, sorted by index. They stay in the sink until they are asked for."""

    sink: str
    """Where they are."""
    dataset: "Dataset"
    """Every row as a pyarrow Dataset, for whatever scans one, such as DuckDB. The column `error` says why an image was
    not classified, and is null in the rows of all others. If there is a column `replaces`, rows whose index is in it no
    longer count."""
    done: int
    """Images that have a row, with or without an error, of the file that is known to be there."""
    images: int | None
    """N; None if the sink doesn't say."""
    unlisted: str = ""
    """Files in the source's folder that are no images by their endings, such as "3 .txt"."""
    classified: "Scan"
    """What `rows` reads."""
    failed: "Scan"
    """What `errors` reads."""
    warned: "Scan"
    """The rows with a warning."""

    @property
    def is_complete(self) -> bool:
        """Whether every image has a row."""
        return self.done == self.images

    @cached_property
    def rows(self) -> "Table":
        """Images that were classified, as a pyarrow Table, which is read into memory at its first use.

        Its columns are index, uri, name (what the source calls the image), those of source.keep, classes, labels and
        scores (the best answer first) or what else spec.output asks for, and warning, which says what is wrong with the
        file of an image that was classified all the same. Of a sink that was added to (sink.ifExists: Append),
        generation says by which job, from 1. With sink.changed, an image whose file has changed has the row of its
        newest generation alone, and replaces is the index of the row that it had before.
        """
        return self.classified.table()

    @cached_property
    def errors(self) -> "Table":
        """All images that were not classified, as a pyarrow Table, with what the source says of them, and error."""
        return self.failed.table()

    def batches(self) -> Iterator["Batch"]:
        """Yield `rows` as pyarrow RecordBatches, of which few are in memory at a time."""
        return self.classified.batches()

    def to_pandas(self) -> Any:
        """Return the rows as a pandas DataFrame. Raise Invalid if pandas isn't installed."""
        with needing("to_pandas"):
            return self.rows.to_pandas()

    def __len__(self) -> int:
        """Return the number of `rows`."""
        return len(self.classified)

    def __repr__(self) -> str:
        # Known of every sink that DueBy has begun; not of a folder to which somebody has copied the parts alone.
        of_all = "" if self.images is None else f" of {counted(self.images, 'image')}"
        failed = len(self.failed)
        rows = f"{counted(self.done, 'row')}{of_all}{faults(failed, len(self.warned))}, in {self.sink}"
        passed = f"{len(self):,} pass the filter" if len(self) + failed < self.done else ""
        return ". ".join(filter(None, (rows, passed, unlisted_words(self.unlisted))))

    def _repr_html_(self) -> str | None:
        return framed(lambda: render_sections("Results", list(self._sections())))

    def _sections(self) -> Iterator[Section]:
        yield _section("Results", repr(self), self.classified)
        if failed := len(self.failed):
            yield _section("Errors", f"{counted(failed, 'image')} without a result", self.failed)


def read(sink: AnyPath, *, columns: Sequence[str] | None = None, filter: "Expression | None" = None) -> Results:
    """Return the rows in a job's sink, by its `_SUCCESS`; of a job that isn't done, those of the parts that are.

    `sink` is the job's sink.uri: a folder, s3://, gs:// or az://, with the credentials that the job uses. `columns` are
    those that `rows` shall have, by default all of them, and `filter` is an expression of pyarrow.compute that is true
    of each of them. Until the rows are asked for, only the ends of the files are read, and which rows replace others. A
    job without a finished part has no rows, but their columns. Raise Invalid if nothing is in the sink, or if the
    columns or the filter are of none of its rows, and Transient if its job has no worker yet.

        results = dueby.read("s3://bucket/results")
        results.rows["labels"], results.errors["error"], results.to_pandas()
        dueby.read("s3://bucket/results", columns=["uri"], filter=pyarrow.compute.field("flagged")).to_pandas()
    """
    with needing("read", "worker"):
        from dueby.report.dataset import HAS_ERROR, HAS_WARNING, Scan, counting, dataset_of, known_of_failed, scan_of
        from dueby.report.parts import find_parts
        from dueby_worker.index.frozen_index import find_index
        from dueby_worker.output.sink_manifest import read_newest_manifest
        from dueby_worker.output.success import names_of_rows
        from dueby_worker.storage.stores import open_store

    store = open_store(path_of(sink, field="sink"), field="sink")
    manifest = read_newest_manifest(store)
    index = find_index(store, manifest.grid.generation if manifest else None)
    parts = find_parts(names_of_rows(store))
    if not parts and not manifest:
        if index:
            raise Transient(f"{store.uri} has no rows yet: the images are listed, and no worker has begun")
        raise Invalid("sink", f"{store.uri} has no results (yet); give the job's sink.uri")
    components = manifest.components if manifest else None
    dataset = dataset_of(store, [part.name for part in parts], components=components, index=index)
    counts = counting(dataset)
    replaced = index.document.replaced if index else 0
    return Results(
        sink=store.uri,
        dataset=dataset,
        done=sum(part.last - part.first + 1 for part in parts) - replaced,
        images=manifest.grid.first_image + manifest.images - replaced if manifest else None,
        unlisted=index.document.summary.unlisted if index else "",
        classified=scan_of(store.uri, dataset, columns=columns, wanted=filter, counts=counts),
        failed=Scan(sink=store.uri, dataset=dataset, columns=known_of_failed(dataset), wanted=HAS_ERROR & counts),
        warned=Scan(sink=store.uri, dataset=dataset, columns=(), wanted=HAS_WARNING & counts),
    )


def _section(heading: str, lead: str, scan: "Scan") -> Section:
    rows = scan.head(_SHOWN_ROWS)
    more = f"; the first {len(rows)} by index are shown" if len(rows) < len(scan) else ""
    cells = [[_cell(row[name]) for name in scan.columns] for row in rows]
    return Section(heading=heading, lead=f"{lead}{more}.", columns=scan.columns, rows=cells)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_cell, value[:_SHOWN_VALUES])) + (", …" if len(value) > _SHOWN_VALUES else "")
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)

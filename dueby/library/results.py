"""`dueby.read`: the rows in a job's sink, whether the job is done or not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dueby.inputs.needs import needing
from dueby.library.inputs import AnyPath, path_of
from dueby.library.pages import Section, framed, render_sections
from dueby_api.errors import Invalid
from dueby_api.words import counted, faults, unlisted_words

if TYPE_CHECKING:
    from dueby.report.parts import Table

_HEIGHT_PX = 420
# Rows that a notebook shows, and of a list in one of them the values.
_SHOWN_ROWS, _SHOWN_VALUES = 10, 3


@dataclass(frozen=True, kw_only=True, repr=False)
class Results:
    """The rows of finished parts, sorted by index."""

    sink: str
    """Where they are."""
    rows: "Table"
    """Images that were classified, as a pyarrow Table: index, uri, classes, labels and scores (the best answer first)
    or what else spec.output asks for, and warning, which says what is wrong with the file of an image that was
    classified all the same."""
    errors: "Table"
    """Images that were not: index, uri, and in error the reason."""
    images: int | None
    """N; None if the sink doesn't say."""
    unlisted: str = ""
    """Files in the source's folder that are no images by their endings, such as "3 .txt"."""

    @property
    def done(self) -> int:
        """Images that have a row, with or without an error."""
        return len(self.rows) + len(self.errors)

    @property
    def is_complete(self) -> bool:
        """Whether every image has a row."""
        return self.done == self.images

    def to_pandas(self) -> Any:
        """Return the rows as a pandas DataFrame. Raise Invalid if pandas isn't installed."""
        try:
            return self.rows.to_pandas()
        except ModuleNotFoundError as error:
            raise Invalid("to_pandas", f"needs {error.name}; install it with: pip install {error.name}") from error

    def __repr__(self) -> str:
        # Known of every sink that DueBy has begun; not of a folder to which somebody has copied the parts alone.
        of_all = "" if self.images is None else f" of {counted(self.images, 'image')}"
        warned = len(self.rows) - self.rows["warning"].null_count
        rows = f"{counted(self.done, 'row')}{of_all}{faults(len(self.errors), warned)}, in {self.sink}"
        return f"{rows}. {unlisted_words(self.unlisted)}" if self.unlisted else rows

    def _repr_html_(self) -> str | None:
        return framed(lambda: render_sections("Results", list(self._sections())), height_px=_HEIGHT_PX)

    def _sections(self) -> Iterator[Section]:
        yield _section("Results", repr(self), self.rows)
        if len(self.errors):
            yield _section("Errors", f"{counted(len(self.errors), 'image')} without a result", self.errors)


def read(sink: AnyPath) -> Results:
    """Return the rows in a job's sink, by its `_SUCCESS`; of a job that isn't done, those of the parts that are.

    `sink` is the job's sink.uri: a folder, s3:// or gs://, with the credentials that the job uses. Raise Invalid if
    there are no rows.

        results = dueby.read("s3://bucket/results")
        results.rows["labels"], results.errors["error"], results.to_pandas()
    """
    with needing("read", "worker"):
        from dueby.report.parts import find_parts, read_table, split_errors
        from dueby_worker.index.frozen_index import find_index
        from dueby_worker.output.sink_manifest import read_sink_manifest
        from dueby_worker.output.success import names_of_rows
        from dueby_worker.storage.stores import open_store

    store = open_store(path_of(sink, field="sink"), field="sink")
    manifest = read_sink_manifest(store)
    parts = find_parts(names_of_rows(store))
    if not parts:
        raise Invalid("sink", f"{store.uri} has no results (yet); give the job's sink.uri")
    rows, errors = split_errors(read_table(parts, store))
    index = find_index(store) if manifest else None
    return Results(
        sink=store.uri,
        rows=rows,
        errors=errors,
        images=manifest.images if manifest else None,
        unlisted=index.document.summary.unlisted if index else "",
    )


def _section(heading: str, lead: str, table: "Table") -> Section:
    shown = table.slice(0, _SHOWN_ROWS).to_pylist()
    more = "" if len(table) <= len(shown) else f"; the first {len(shown)} by index are shown"
    rows = [[_cell(row[name]) for name in table.column_names] for row in shown]
    return Section(heading=heading, lead=f"{lead}{more}.", columns=table.column_names, rows=rows)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_cell, value[:_SHOWN_VALUES])) + (", …" if len(value) > _SHOWN_VALUES else "")
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)

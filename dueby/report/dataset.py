"""A sink's parts as one pyarrow Dataset, of which nothing is read but what is asked for.

Arrow reads the columns and row groups that it needs, from a folder or an object store. The footer of each part is read
beforehand: it says which columns there are, and a damaged part is found before anybody waits for rows.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from dueby_api.errors import Invalid, Transient, first_line
from dueby_api.output import Output
from dueby_api.source import REPLACES
from dueby_worker.index.frozen_index import Index
from dueby_worker.models.columns import columns_of, empty_columns
from dueby_worker.output.damaged_parts import read_end_of_part, read_part
from dueby_worker.output.part_names import generation_in
from dueby_worker.output.rows import LABELS_KEY, Origin, Rows, comes_of_source, encode_rows
from dueby_worker.output.sink_manifest import Components
from dueby_worker.storage.arrow_readers import file_system_of
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store

Table: TypeAlias = pa.Table
Batch: TypeAlias = pa.RecordBatch
Dataset: TypeAlias = ds.Dataset
Expression: TypeAlias = pc.Expression

HAS_ERROR = pc.is_valid(pc.field("error"))
HAS_WARNING = pc.is_valid(pc.field("warning"))
# These threads wait for a store and don't compute: enough of them to hide an object store's latency.
_READERS = 32
_LABELS = LABELS_KEY.encode()
# Parts of an older DueBy lack this column.
_LATER = pa.schema([("warning", pa.string())])
# Of a sink that was added to; it is in the parts' names.
_GENERATION = pa.field("generation", pa.int32())
# One part is decoded while the caller works on the one before. (By default it would be dozens.)
_AHEAD = {"batch_readahead": 1, "fragment_readahead": 1}


def dataset_of(store: Store, names: Sequence[str], *, components: Components | None, index: Index | None) -> Dataset:
    """Return the rows of these parts, in their order, with every column that one of them has.

    In a sink that was added to, `generation` says by which job: 1 for the first one. Without parts its columns are
    those of the rows that a job of these components and this index makes. Raise Invalid if a part is damaged.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        schemas = list(pool.map(lambda name: read_end_of_part(store, name, _schema_in), names))
    if not schemas and components:
        schemas = [_schema_of(components, index)]
    # The labels of probabilities are the same in all parts; what else their metadata say differs.
    labels = next((metadata[_LABELS] for schema in schemas if _LABELS in (metadata := schema.metadata or {})), None)
    schema = pa.unify_schemas([*(schema.remove_metadata() for schema in schemas), _LATER])
    generations = [generation_in(name) for name in names]
    if max(generations, default=1) > 1:
        schema = schema.append(_GENERATION)
    schema = schema.with_metadata(labels and {_LABELS: labels})
    return ds.FileSystemDataset.from_paths(
        list(names),
        schema=schema,
        format=ds.ParquetFileFormat(),
        filesystem=file_system_of(store.uri),
        partitions=[pc.field(_GENERATION.name) == pa.scalar(number, _GENERATION.type) for number in generations],
    )


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Some columns of some rows of a sink, which are read when they are asked for.

    What can't be read is raised as Invalid, with the part, if it is damaged, and as Transient if the store fails.
    """

    sink: str
    dataset: Dataset
    columns: tuple[str, ...]
    wanted: Expression

    def __len__(self) -> int:
        with self._naming_damage():
            rows: int = self.dataset.count_rows(filter=self.wanted)
            return rows

    def table(self) -> Table:
        with self._naming_damage():
            return self.dataset.to_table(columns=list(self.columns), filter=self.wanted)

    def head(self, most: int) -> list[dict[str, Any]]:
        with self._naming_damage():
            rows = self.dataset.head(most, columns=list(self.columns), filter=self.wanted, **_AHEAD)
            return rows.to_pylist()  # type: ignore[no-any-return]

    def batches(self) -> Iterator[Batch]:
        """Yield them part by part; few parts are in memory at a time."""
        with self._naming_damage():
            for batch in self.dataset.to_batches(columns=list(self.columns), filter=self.wanted, **_AHEAD):
                if batch.num_rows:
                    yield batch.replace_schema_metadata(self.dataset.schema.metadata)

    @contextmanager
    def _naming_damage(self) -> Iterator[None]:
        try:
            yield
        except MemoryError:  # pyarrow's is one of its other exceptions, too
            raise
        except (pa.ArrowException, OSError) as error:
            store = open_store(self.sink, field="sink")
            for name in self.dataset.files:
                read_part(store, name, lambda data: pq.read_table(pa.BufferReader(data)).num_rows)
            raise Transient(f"{self.sink} can't be read now: {first_line(error)}") from error


def scan_of(
    sink: str, dataset: Dataset, *, columns: Sequence[str] | None, wanted: Expression | None, counts: Expression
) -> Scan:
    """Return the rows without an error that count and are wanted, by default all that count.

    Raise Invalid if there are no such columns, or if what is wanted says nothing of such rows.
    """
    names = [name for name in dataset.schema.names if name != "error"]
    if isinstance(columns, str) or not isinstance(columns, Sequence | None):
        raise Invalid("columns", f"must be a list of names, but is of type {type(columns).__name__}")
    for name in columns or ():
        if name not in names:
            raise Invalid("columns", f"{name!r} is none of the rows' columns, which are {', '.join(names)}")
    try:
        both = ~HAS_ERROR & counts if wanted is None else ~HAS_ERROR & counts & wanted
        dataset.scanner(filter=both)
    except (TypeError, ValueError, NotImplementedError) as error:  # of pyarrow
        raise Invalid(
            "filter", f"must be an expression of pyarrow.compute about these rows: {first_line(error)}"
        ) from None
    return Scan(sink=sink, dataset=dataset, columns=tuple(names if columns is None else columns), wanted=both)


def counting(dataset: Dataset) -> Expression:
    """Return what is true of the rows that count: no other row replaces them, as the image's file has not changed."""
    if REPLACES not in dataset.schema.names:
        return pc.scalar(True)
    replaced = dataset.to_table(columns=[REPLACES], filter=pc.is_valid(pc.field(REPLACES)))[REPLACES]
    return ~pc.field("index").isin(replaced.combine_chunks())


def _schema_in(end: bytes) -> pa.Schema:
    return pq.read_schema(pa.BufferReader(end))


def known_of_failed(dataset: Dataset) -> tuple[str, ...]:
    """Return the columns that say something of an image without a result."""
    always = ("index", "uri", "error")
    return tuple(name for name in dataset.schema.names if name in always or comes_of_source(name))


def _schema_of(components: Components, index: Index | None) -> pa.Schema:
    output = components.output or Output()
    columns = empty_columns(columns_of(output, components.classes), 0)
    origin = Origin(engine="", precision="", device_class="", fingerprint="")
    _, from_source = index.described(0, -1) if index else ((), {})
    rows = Rows(first=0, uris=(), columns=columns, errors={}, from_source=from_source)
    schema = _schema_in(encode_rows(rows, labels=(), origin=origin))
    if output.kind == "Embedding":  # how long its vectors are is not known before the first part
        place = schema.get_field_index("embedding")
        schema = schema.set(place, pa.field("embedding", pa.list_(schema.field(place).type.value_type)))
    return schema.remove_metadata()

"""What a source says of its images, as a worker reads it: for tests of names and of source.keep."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from dueby_api.input_cost import InputCost
from dueby_api.source import ListedSource, Source
from dueby_worker.index.freeze import FrozenFiles, freeze
from dueby_worker.index.frozen_index import Index, IndexDocument, IndexSummary, chunk_path
from dueby_worker.index.listing import canonical_source
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.stores import open_store


def frozen(source: Source, scratch: Path, limit: int | None = None) -> FrozenFiles:
    """List the source into a folder of its own."""
    scratch.mkdir()
    return freeze(canonical_source(source), scratch, limit, lambda stage, count: None, RetryPolicy(total_s=0))


def described(source: Source, tmp_path: Path, limit: int | None = None) -> dict[str, list[Any]]:
    """Return what columns_of does, as lists."""
    return {name: column.to_pylist() for name, column in columns_of(source, tmp_path, limit).items()}


def columns_of(source: Source, tmp_path: Path, limit: int | None = None) -> dict[str, pa.Array]:
    """Return the source's columns as a worker reads them from its index."""
    index = unsampled_index(source, tmp_path, limit)
    return index.described(0, index.images - 1)[1]


def unsampled_index(source: Source, tmp_path: Path, limit: int | None = None) -> Index:
    """Return the index of a source whose images need be none."""
    files = frozen(source, tmp_path / "scratch", limit)
    store = open_store(str(tmp_path / "sink"))
    for number in range(files.chunks):
        path = chunk_path(files.kept_digest or files.digest, number)
        store.create(path, files.chunk(number).read_bytes())
    cost = InputCost(decode_us=0, get_us=0, bytes_per_image=0, bandwidth_bytes_per_s=0)
    summary = IndexSummary(images=files.images, digest=files.digest, kept=files.kept_digest, input_cost=cost)
    document = IndexDocument(
        format=1,
        source=canonical_source(source),
        named_by=canonical_source(source),
        summary=summary,
        chunk_digests=files.chunk_digests,
        kept_types=dict(files.kept_types),
    )
    return Index(store=store, document=document)


def written(rows: list[dict[str, Any]], folder: Path, kind: str) -> Source:
    """Return a source that is a list of this kind with these rows."""
    path = folder / f"list.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=1)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        data = io.BytesIO()
        options = pa.csv.WriteOptions(delimiter="\t" if kind == "tsv" else ",")
        pa.csv.write_csv(pa.Table.from_pylist(rows), data, options)
        path.write_bytes(data.getvalue())
    return Source(manifest=ListedSource(uri=str(path)))

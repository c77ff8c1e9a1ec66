"""Builders for tests of the index: files below a folder, and the index of a source in a sink."""

from pathlib import Path

from dueby_api.inference_job import Source
from dueby_worker.index.build import build_index
from dueby_worker.index.frozen_index import Index, IndexSummary, open_index
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Store
from dueby_worker.storage.uris import file_uri
from support.pictures import SMALL, encode, photo

JPEG = encode(photo(size=(40, 30)), "JPEG")
HURRIED = RetryPolicy(first_pause_s=0.01, total_s=0.1)


def build(source: Source, sink: Store, *, limit: int | None = None, replace: bool = False) -> IndexSummary:
    """Build the index of the source, without waiting long for a store."""
    return build_index(source, sink, limit=limit, preprocessing=SMALL, replace=replace, retry=HURRIED)


def index_of(source: Source, sink: Store, *, limit: int | None = None) -> Index:
    """Build the index of the source and open it."""
    build(source, sink, limit=limit)
    return open_index(sink)


def names_of(index: Index, folder: Path) -> list[str]:
    """Return the images' paths relative to the folder."""
    return [uri.removeprefix(file_uri(str(folder)) + "/") for uri in index.uris(0, index.images - 1)]


def write_files(folder: Path, *names: str, data: bytes = JPEG) -> None:
    """Write the data to files of these names, whose folders are made."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

"""Builders for tests of the index: files below a folder, and the index of a source in a sink."""

from collections.abc import Generator
from pathlib import Path

from dueby_api.source import Source
from dueby_worker.images.read_ahead import DecodedImage, read_images
from dueby_worker.index.build import build_index
from dueby_worker.index.frozen_index import Index, IndexSummary, open_index
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Store
from dueby_worker.storage.uris import file_uri
from support.pictures import SMALL, encode, photo

JPEG = encode(photo(size=(40, 30)), "JPEG")
HURRIED = RetryPolicy(first_pause_s=0.01, max_pause_s=0.05, total_s=0.5)
PATIENT = RetryPolicy(first_pause_s=0.01, max_pause_s=0.05, total_s=60)


def build(
    source: Source, sink: Store, *, limit: int | None = None, replace: bool = False, is_own: bool = False
) -> IndexSummary:
    """Build the index of the source, without waiting long for a store."""
    index = build_index(source, sink, limit=limit, preprocessing=SMALL, replace=replace, is_own=is_own, retry=HURRIED)
    assert index is not None
    return index.document.summary


def index_of(source: Source, sink: Store, *, limit: int | None = None) -> Index:
    """Build the index of the source and open it."""
    build(source, sink, limit=limit)
    return open_index(sink)


def read(index: Index, *, ahead: int = 32, retry: RetryPolicy = HURRIED) -> Generator[DecodedImage, None, None]:
    """Read every image of the index, as a worker does."""
    return read_images(
        index.items(0, index.images - 1),
        source=index.document.source,
        preprocessing=SMALL,
        threads=2,
        ahead=ahead,
        witnesses=index.witnesses,
        retry=retry,
        member_of=index.member_of,
    )


def names_of(index: Index, folder: Path) -> list[str]:
    """Return the images' paths relative to the folder."""
    return [uri.removeprefix(file_uri(str(folder)) + "/") for uri in index.uris(0, index.images - 1)]


def write_files(folder: Path, *names: str, data: bytes = JPEG) -> None:
    """Write the data to files of these names, whose folders are made."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

"""Lance datasets of images for tests, and reading an index of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

from dueby_api.source import Lance, Source
from dueby_worker.images.fetch import Fetcher
from dueby_worker.images.lance_rows import LanceReader, LanceRow
from dueby_worker.index.frozen_index import Index
from dueby_worker.storage.store import Store
from support.index import HURRIED
from support.parquets import STRUCT
from support.within import place_of, taken_all

Images = Sequence[bytes | None]
FORMATS = ("legacy", "2.0", "2.1", "2.2")


def table_of(images: Images, *, first: int = 0) -> pa.Table:
    """Return a table with a binary column `image` and others, numbered from `first`."""
    numbers = range(first, first + len(images))
    columns = {
        "key": pa.array([f"k{number:05d}" for number in numbers]),
        "image": pa.array(images, pa.binary()),
        "label": pa.array(numbers, pa.int64()),
    }
    return pa.table(columns)


def struct_of(images: Images, *, paths: Sequence[str | None] | None = None) -> pa.Table:
    """Return a table as Hugging Face's datasets have it: a struct of bytes and path."""
    names = [f"{number:05d}.jpg" for number in range(len(images))] if paths is None else paths
    structs = [{"bytes": data, "path": name} for data, name in zip(images, names, strict=True)]
    return pa.table({"image": pa.array(structs, STRUCT)})


def blobs_of(images: Images, *, generation: int) -> pa.Table:
    """Return a table with a column of blobs, as they were marked first or as they are marked now."""
    if generation == 2:
        return pa.table({"image": lance.blob_array(list(images))})
    field = pa.field("image", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
    return pa.table({"image": pa.array(images, pa.large_binary())}, schema=pa.schema([field]))


def write_lance(path: Path, table: pa.Table, *, rows: int = 10, **options: Any) -> Any:
    """Write the dataset, in fragments of so many rows, and return the library's own object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return lance.write_dataset(table, path, max_rows_per_file=rows, **options)


def append(path: Path, table: pa.Table) -> None:
    """Write another version, with these rows at the end."""
    lance.write_dataset(table, path, mode="append")


def delete(path: Path, where: str) -> None:
    """Write another version, without these rows."""
    lance.dataset(path).delete(where)


def upload(path: Path, store: Store) -> None:
    """Put the dataset's files into the store, under its name."""
    for file in sorted(path.rglob("*")):
        if file.is_file():
            store.replace(f"{path.name}/{file.relative_to(path)}", file.read_bytes())


def data_files(path: Path) -> list[Path]:
    """Return the files of the fragments, in their order."""
    return [path / "data" / fragment.data_files()[0].path for fragment in lance.dataset(path).get_fragments()]


def source_of(uri: str | Path, **fields: Any) -> Source:
    """Return the source of the dataset at this URI."""
    return Source(lance=Lance(uri=str(uri), **fields))


def place(index: Index, image: int) -> LanceRow:
    """Return where an image of the index is."""
    return place_of(index, image, LanceRow)


def take(index: Index, *, images: Sequence[int] | None = None, most: int = 1000) -> list[bytes | str]:
    """Return each image's bytes, or why it has none."""
    fetcher = Fetcher(witnesses=index.witnesses, retry=HURRIED)
    wanted = range(index.images) if images is None else images
    rows = LanceReader(fetcher, lambda image: place(index, image), threads=4)
    return taken_all(rows, ((image, "") for image in wanted), most=most)

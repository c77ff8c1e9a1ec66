"""Parquet files of images for tests, and reading an index of them."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dueby_api.source import Parquet, Source
from dueby_worker.images.fetch import Fetcher
from dueby_worker.images.row_groups import ParquetRow
from dueby_worker.images.within import RowReader
from dueby_worker.index.frozen_index import Index
from support.index import HURRIED
from support.tars import CountingStore, jpeg
from support.within import place_of, taken_all

# Otherwise pages' headers have images as their least and largest values.
PAGES: dict[str, Any] = {"use_dictionary": False, "write_batch_size": 1, "data_page_size": 1, "write_statistics": False}
# As Hugging Face's datasets write an image.
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
Images = Sequence[bytes | None]


def parquet_of(images: Images, *, rows: int = 10, **options: Any) -> bytes:
    """Return a file with a binary column `image` and others, in row groups of so many rows."""
    columns = {
        "key": pa.array([f"k{number:05d}" for number in range(len(images))]),
        "image": pa.array(images, pa.binary()),
        "label": pa.array(range(len(images)), pa.int64()),
    }
    return write(pa.table(columns), rows=rows, **options)


def dataset_of(images: Images, *, rows: int = 10, paths: Sequence[str | None] | None = None) -> bytes:
    """Return a file as Hugging Face's datasets write it: a struct of bytes and path, and a label."""
    names = [f"{number:05d}.jpg" for number in range(len(images))] if paths is None else paths
    structs = [{"bytes": data, "path": name} for data, name in zip(images, names)]
    return write(pa.table({"image": pa.array(structs, STRUCT), "label": list(range(len(images)))}), rows=rows)


def write(table: pa.Table, *, rows: int = 10, **options: Any) -> bytes:
    """Return the table as a file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=rows, **options)
    return buffer.getvalue()


def claiming(data: bytes, *, rows: int, instead_of: int) -> bytes:
    """Return the file with a footer that claims so many rows."""
    begin = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = data[begin:-8].replace(_row_count(instead_of), _row_count(rows))
    assert footer != data[begin:-8]
    return data[:begin] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _row_count(rows: int) -> bytes:
    """Return the field as Thrift's compact protocol writes it: a number of 64 bits, in groups of 7."""
    groups, rest = bytearray(), 2 * rows
    while rest > 127:
        groups.append(rest & 127 | 128)
        rest >>= 7
    return b"\x16" + bytes((*groups, rest))


def write_parquets(folder: Path, files: int, *, images: int, rows: int = 10) -> list[bytes]:
    """Write 000.parquet and so on, and return all images in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    photos = [jpeg(number) for number in range(files * images)]
    for number in range(files):
        mine = photos[number * images : (number + 1) * images]
        (folder / f"{number:03d}.parquet").write_bytes(parquet_of(mine, rows=rows))
    return photos


def source_of(uri: str | Path, **fields: Any) -> Source:
    """Return the source of Parquet files at this URI."""
    return Source(parquet=Parquet(uri=str(uri), **fields))


def place(index: Index, image: int) -> ParquetRow:
    """Return where an image of the index is."""
    return place_of(index, image, ParquetRow)


def take(index: Index, store: CountingStore, *, images: list[int] | None = None, most: int = 1000) -> list[bytes | str]:
    """Return each image's bytes, or why it has none."""
    fetcher = Fetcher(witnesses=index.witnesses, retry=HURRIED, opener=lambda root: store)
    wanted = range(index.images) if images is None else images
    rows = RowReader(fetcher, lambda image: place(index, image), threads=4)
    return taken_all(rows, ((image, "") for image in wanted), most=most)


def large(number: int, size: int = 1024**2) -> bytes:
    """Return a photo of so many bytes more, which can't be packed."""
    return jpeg(number) + os.urandom(size)

"""Images within larger objects: members of tars, and rows of Parquet files and Lance datasets."""

from collections.abc import Callable
from typing import cast

from dueby_api.source import Source
from dueby_worker.images.fetch import MAX_IMAGE_BYTES, Fetcher
from dueby_worker.images.lance_rows import LanceReader, LanceRow, read_lance_row
from dueby_worker.images.members import BlockReader, Member, read_member
from dueby_worker.images.parquet_rows import RowReader
from dueby_worker.images.row_groups import ParquetRow, read_row

Place = Member | ParquetRow | LanceRow
PlaceOf = Callable[[int], Place]


def object_of(place: Place) -> str:
    """Return the URI of the object that the image is in."""
    if isinstance(place, LanceRow):
        return place.dataset
    return place.shard if isinstance(place, Member) else place.file


def read_within(fetcher: Fetcher, place: Place, *, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
    """Return one image by requests of its own. Raise as `Fetcher.read` does, and Invalid if its object has changed."""
    if isinstance(place, Member):
        return read_member(fetcher, place, max_bytes=max_bytes)
    return read_lance_row(fetcher, place) if isinstance(place, LanceRow) else read_row(fetcher, place)


def reader_of(
    fetcher: Fetcher, place_of: PlaceOf, *, source: Source, threads: int
) -> BlockReader | RowReader | LanceReader:
    """Return what reads many of the source's images, ahead of who takes them."""
    if source.lance is not None:
        return LanceReader(fetcher, cast(Callable[[int], LanceRow], place_of), threads=threads)
    if source.parquet is not None:
        return RowReader(fetcher, cast(Callable[[int], ParquetRow], place_of), threads=threads)
    return BlockReader(fetcher, cast(Callable[[int], Member], place_of), threads=threads)

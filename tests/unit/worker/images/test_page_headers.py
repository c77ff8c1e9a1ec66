"""The headers of pages: what they say, what isn't one, and from where a column is read best."""

import io
from typing import Any

import hypothesis.strategies as st
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from dueby_worker.images.page_headers import HEADER_BYTES, PageHeader, PageStart, find_start, parse_header
from support.parquets import parquet_of
from support.tars import jpeg

PHOTOS = [jpeg(number) for number in range(50)]
PAGES: dict[str, Any] = {"use_dictionary": False, "write_batch_size": 10, "data_page_size": 1}
MIXED: dict[str, Any] = {"dictionary_pagesize_limit": 1, "write_batch_size": 10, "data_page_size": 1}


def column_of(data: bytes) -> tuple[int, int]:
    """Return where the images of the only row group begin, and how many bytes they have."""
    chunk = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(1)
    begin = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    return begin, chunk.total_compressed_size


def pages_of(data: bytes) -> list[tuple[int, PageHeader]]:
    """Return each page's header, and where the page begins."""
    begin, length = column_of(data)
    at, found = begin, []
    while at < begin + length:
        header = parse_header(data[at : at + HEADER_BYTES])
        assert header is not None
        found.append((at, header))
        at += header.end
    assert at == begin + length
    return found


@pytest.mark.parametrize(
    ("options", "values"),
    [
        pytest.param(PAGES, [10] * 5, id="pages of ten rows"),
        pytest.param({**PAGES, "data_page_version": "2.0"}, [10] * 5, id="of version 2"),
        pytest.param({**PAGES, "write_statistics": False}, [10] * 5, id="without statistics"),
        pytest.param({**PAGES, "write_page_checksum": True}, [10] * 5, id="with checksums"),
        pytest.param({}, [0, 50], id="a dictionary of all"),
        pytest.param(MIXED, [0, 10, 10, 10, 10, 10], id="a dictionary of the first"),
    ],
)
def test_headers_say_how_many_rows_follow_in_how_many_bytes(options: dict[str, Any], values: list[int]) -> None:
    data = parquet_of(PHOTOS, rows=50, compression="none", **options)
    pages = [header for _, header in pages_of(data)]
    assert [page.values for page in pages] == values
    assert all(page.packed_bytes == page.unpacked_bytes for page in pages)
    unpacked = sum(page.unpacked_bytes for page in pages)
    photos = sum(len(photo) + 4 for photo in PHOTOS)
    assert photos <= unpacked <= photos + 500


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 100, b"\x15", b"\x1c" * 100, b"\x19\xff" + b"\xff" * 90])
def test_what_is_no_header_is_none(data: bytes) -> None:
    assert parse_header(data) is None


@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_header_or_none(data: bytes) -> None:
    parse_header(data)


@pytest.mark.parametrize(
    ("options", "row", "page"),
    [
        pytest.param(PAGES, 0, 0, id="the first row"),
        pytest.param(PAGES, 9, 0, id="the last row of the first page"),
        pytest.param(PAGES, 10, 1, id="the first row of a page"),
        pytest.param(PAGES, 49, 4, id="the last row"),
        pytest.param(MIXED, 25, 3, id="after pages with a dictionary"),
    ],
)
def test_large_pages_before_the_row_are_passed_over(
    options: dict[str, Any], row: int, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = parquet_of(PHOTOS, rows=50, **options)
    monkeypatch.setattr("dueby_worker.images.page_headers.WORTH_SKIPPING_BYTES", 1)
    found = find_start(lambda at, size: data[at : at + size], *column_of(data), row=row)
    assert found == PageStart(row=row // 10 * 10, begin=pages_of(data)[page][0])


def test_a_dictionary_is_read_with_the_pages_that_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = parquet_of(PHOTOS * 3, rows=150, write_batch_size=50, data_page_size=1)
    monkeypatch.setattr("dueby_worker.images.page_headers.WORTH_SKIPPING_BYTES", 1)
    (at, dictionary), _, (second, _), _ = pages_of(data)
    found = find_start(lambda at, size: data[at : at + size], *column_of(data), row=70)
    assert found == PageStart(row=50, begin=second, dictionary=(at, at + dictionary.end))


def test_small_pages_are_read() -> None:
    data = parquet_of(PHOTOS, rows=50, **PAGES)
    begin, length = column_of(data)
    asked: list[int] = []

    def read(at: int, size: int) -> bytes:
        asked.append(at)
        return data[at : at + size]

    assert find_start(read, begin, length, row=30) == PageStart(begin=begin)
    assert asked == [begin]

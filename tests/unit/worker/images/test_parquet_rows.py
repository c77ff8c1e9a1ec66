"""Row groups are read once, in ranges and ahead; a file that has changed is told; faults stay where they are."""

import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from dueby_api.errors import Invalid, Transient
from dueby_worker.images.fetch import Fetcher
from dueby_worker.images.row_groups import ParquetRow, read_row, read_rows
from dueby_worker.images.runs import BLOCKS_AHEAD, MAX_BLOCK_BYTES
from dueby_worker.images.within import RowReader
from dueby_worker.index.frozen_index import Index
from dueby_worker.storage.stores import open_store
from support.index import index_of, read
from support.parquets import PAGES, large, parquet_of, place, source_of, take, write_parquets
from support.tars import CountingStore, jpeg

MIB = 1024**2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def index(folder: Path) -> Index:
    return index_of(source_of(folder), open_store(str(folder.parent / "sink")))


def root_store(**options: tuple[int, int]) -> CountingStore:
    return CountingStore(Path("/"), **options)


def test_each_row_group_is_one_request_and_each_file_two_more(folder: Path) -> None:
    photos = write_parquets(folder, 3, images=20, rows=5)
    listed = index(folder)
    store = root_store()
    assert take(listed, store) == photos
    # A footer each, and four row groups.
    assert len(store.ranges) == 3 * (1 + 4)


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_a_row_group_of_any_size_is_read_once_in_ranges(folder: Path, most: int) -> None:
    images = [large(number) for number in range(18)]
    (folder / "a.parquet").write_bytes(parquet_of(images, rows=9, **PAGES))
    store = root_store()
    assert take(index(folder), store, most=most) == images
    _, *ranges = sorted(
        store.ranges, key=lambda found: (found[0] + found[1] == (folder / "a.parquet").stat().st_size) * -1
    )
    assert max(length for _, length in ranges) == MAX_BLOCK_BYTES
    assert len(ranges) == 6
    ends = {offset + length for offset, length in ranges}
    # They follow one another, and none is read twice.
    assert len(ranges) == len(ends) == len({offset for offset, _ in ranges})
    assert sum(offset in ends for offset, _ in ranges) == 4


def test_one_page_of_many_ranges_is_read_once(folder: Path) -> None:
    images = [large(number) for number in range(18)]
    (folder / "a.parquet").write_bytes(parquet_of(images, rows=18))
    store = root_store()
    assert take(index(folder), store) == images
    assert sum(length for _, length in store.ranges) < sum(map(len, images)) + 100_000


def test_rows_are_taken_from_the_middle_and_with_gaps(folder: Path) -> None:
    photos = write_parquets(folder, 2, images=30, rows=10)
    listed = index(folder)
    wanted = [7, 8, 12, 19, 35, 36, 59, 3, 4]
    store = root_store()
    assert take(listed, store, images=wanted) == [photos[image] for image in wanted]
    # Two footers, and the row groups of 7, 12, 35, 59 and, once more, of 3.
    assert len(store.ranges) == 2 + 5


def test_an_image_alone_is_read_with_what_is_before_it_in_its_row_group(folder: Path) -> None:
    photos = write_parquets(folder, 1, images=30, rows=10)
    listed = index(folder)
    store = root_store()
    fetcher = Fetcher(opener=lambda root: store)
    assert read_row(fetcher, place(listed, 17)) == photos[17]
    assert len(store.ranges) == 2
    some = read_rows(fetcher, [place(listed, row) for row in (20, 22, 29)])
    assert some.values == [photos[row] for row in (20, 22, 29)]
    assert some.read_bytes == store.ranges[-1][1]


def test_an_image_above_the_limit_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.parquet").write_bytes(parquet_of([jpeg(0), large(1), jpeg(2)]))
    listed = index(folder)
    monkeypatch.setattr("dueby_worker.images.row_groups.MAX_IMAGE_BYTES", MIB)
    first, second, third = take(listed, root_store())
    assert (first, third) == (jpeg(0), jpeg(2))
    assert isinstance(second, str)
    assert second.endswith("more than the limit of 1,048,576 bytes")


def test_a_page_above_the_limit_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.parquet").write_bytes(parquet_of([large(number) for number in range(4)], rows=2))
    listed = index(folder)
    monkeypatch.setattr("dueby_worker.images.row_groups.MAX_PAGE_BYTES", MIB)
    errors = take(listed, root_store())
    assert all(str(error).startswith("its file has a page of ") for error in errors)


@pytest.mark.parametrize(
    ("rows", "looked_at"),
    [
        # The last one looked at belongs to the run after those that are being read.
        pytest.param(1, BLOCKS_AHEAD + 2, id="so many row groups"),
        pytest.param(60, 2 * 8 + 1, id="so many images"),
    ],
)
def test_reading_goes_ahead_but_not_for_ever(folder: Path, rows: int, looked_at: int) -> None:
    write_parquets(folder, 1, images=60, rows=rows)
    listed, taken = index(folder), []

    def row_of(image: int) -> ParquetRow:
        taken.append(image)
        return place(listed, image)

    reader = RowReader(Fetcher(), row_of, threads=4)
    next(reader.read(listed.items(0, 59), most=8))
    assert taken == list(range(looked_at))
    reader.close()


def another_file(path: Path) -> None:
    path.write_bytes(parquet_of([jpeg(2), jpeg(1)]))


def another_footer(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b"k00001", b"k00002"))
    assert path.stat().st_size == len(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize("change", [another_file, another_footer, cut])
def test_a_file_that_has_changed_is_told(folder: Path, change: Callable[[Path], None]) -> None:
    path = folder / "a.parquet"
    path.write_bytes(parquet_of([jpeg(0), jpeg(1)]))
    listed = index(folder)
    assert [image.error for image in read(listed)] == [None, None]
    change(path)
    with pytest.raises(Invalid, match=r"a.parquet has changed since the job was indexed .*; put the old") as caught:
        list(read(listed))
    assert caught.value.field == "spec.source.parquet.uri"


def test_a_file_of_several_that_has_gone_is_its_images_error(folder: Path) -> None:
    write_parquets(folder, 3, images=4, rows=2)
    listed = index(folder)
    (folder / "001.parquet").unlink()
    errors = [image.error for image in read(listed)]
    assert errors == [*[None] * 4, *["It can't be read: there is no such file."] * 4, *[None] * 4]


def test_the_only_file_that_has_gone_is_the_sources_fault(folder: Path) -> None:
    write_parquets(folder, 1, images=2)
    listed = index(folder)
    (folder / "000.parquet").unlink()
    with pytest.raises(Transient, match="is the source gone"):
        list(read(listed))


def test_a_bad_sector_is_the_error_of_what_comes_after_it_in_its_row_group(folder: Path) -> None:
    images = [large(number) for number in range(25)]
    data = parquet_of(images, rows=10, compression="none", **PAGES)
    (folder / "a.parquet").write_bytes(data)
    at = data.index(images[18])
    taken = take(index(folder), root_store(bad=(at + 100, at + 101)))
    # The range of 4 MiB that it is in begins with the ninth image of its row group.
    assert taken[:17] == images[:17]
    assert taken[18:20] == ["input/output error"] * 2
    assert taken[20:] == images[20:]


def test_a_page_that_is_damaged_is_told_by_its_checksum(folder: Path) -> None:
    images = [jpeg(number) for number in range(15)]
    data = bytearray(parquet_of(images, rows=5, compression="none", write_page_checksum=True, **PAGES))
    (folder / "a.parquet").write_bytes(data)
    listed = index(folder)
    data[data.index(images[7]) + 500] ^= 1
    (folder / "a.parquet").write_bytes(data)
    taken = take(listed, root_store())
    assert taken[:7] == images[:7]
    assert taken[7] == taken[9]
    assert str(taken[7]).startswith("row group 1 of its file is damaged: ")
    assert taken[10:] == images[10:]


class AwayStore(CountingStore):
    """Goes away once the footers have been read."""

    def read_range_once(self, path: str, offset: int, length: int) -> bytes:
        """Answer for a file's end only."""
        if offset + length < Path("/", path).stat().st_size:
            raise Transient("the network is unreachable")
        return super().read_range_once(path, offset, length)


def test_a_store_that_goes_away_is_no_fault_of_the_images(folder: Path) -> None:
    write_parquets(folder, 1, images=40)
    with pytest.raises(Transient, match="the network is unreachable"):
        take(index(folder), AwayStore(Path("/")))


def test_too_little_memory_is_no_fault_of_the_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquets(folder, 1, images=4)
    listed = index(folder)

    def fail(column: pa.Array) -> pa.Array:
        raise pa.ArrowMemoryError("malloc of size 64 failed")

    monkeypatch.setattr("dueby_worker.images.row_groups.leaf_values", fail)
    with pytest.raises(MemoryError, match="malloc"):
        take(listed, root_store())


def test_no_thread_is_left_when_reading_ends_early(folder: Path) -> None:
    write_parquets(folder, 5, images=20)
    images = read(index(folder), ahead=4)
    next(images)
    names = ("rows", "ranges", "images")
    assert any(thread.name.startswith("rows") for thread in threading.enumerate())
    images.close()
    assert not any(thread.name.startswith(names) for thread in threading.enumerate())

"""Row groups, pages and rows of any size: each image comes as it is, in bounded memory, without needless reads."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from dueby_worker.index.frozen_index import Index
from dueby_worker.storage.stores import open_store
from support.examples import examples
from support.index import index_of
from support.parquets import PAGES, large, parquet_of, source_of, take
from support.tars import CountingStore

WRITTEN: tuple[dict[str, Any], ...] = (
    {},
    PAGES,
    {"compression": "zstd"},
    {"data_page_version": "2.0"},
    {"write_batch_size": 7, "data_page_size": 1},
    {"write_batch_size": 7, "data_page_size": 1, "dictionary_pagesize_limit": 5000},
    {"write_batch_size": 7, "data_page_size": 1, "data_page_version": "2.0", "use_dictionary": False},
)


def index(folder: Path) -> Index:
    return index_of(source_of(folder).replace(allow_unreadable=True), open_store(str(folder.parent / "sink")))


@examples(100)
@given(data=st.data())
def test_whatever_is_asked_for_is_what_is_there(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(0, 3000), min_size=1, max_size=60))
    photos = [bytes([number]) * size for number, size in enumerate(sizes)]
    options: dict[str, Any] = data.draw(st.sampled_from(WRITTEN))
    rows, most = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 70))
    wanted = data.draw(st.lists(st.integers(0, len(photos) - 1), max_size=80))
    block_bytes, skipped_bytes = (data.draw(st.sampled_from([50, 1000, 100_000])) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as made:
        for module in ("within", "row_groups"):
            patch.setattr(f"dueby_worker.images.{module}.MAX_BLOCK_BYTES", block_bytes)
        for module in ("page_headers", "row_groups"):
            patch.setattr(f"dueby_worker.images.{module}.WORTH_SKIPPING_BYTES", skipped_bytes)
        (Path(made) / "in").mkdir()
        (Path(made) / "in" / "a.parquet").write_bytes(parquet_of(photos, rows=rows, **options))
        store = CountingStore(Path("/"))
        assert take(index(Path(made) / "in"), store, images=wanted, most=most) == [photos[image] for image in wanted]


def test_large_pages_before_the_first_row_are_not_read(tmp_path: Path) -> None:
    images = [large(number) for number in range(50)]
    (tmp_path / "in").mkdir()
    pages = {**PAGES, "write_batch_size": 5}
    (tmp_path / "in" / "a.parquet").write_bytes(parquet_of(images, rows=50, compression="none", **pages))
    store = CountingStore(Path("/"))
    assert take(index(tmp_path / "in"), store, images=[42, 43]) == images[42:44]
    # The footer, the headers of nine pages of 5 MB, and what is left from the ninth on.
    assert sum(length < 10_000 for _, length in store.ranges) == 9
    assert sum(length for _, length in store.ranges) < 11 * 1024**2


READ_ALL = """
import sys, threading
from pathlib import Path
from typing import Any
from dueby_worker.index.frozen_index import open_index
from dueby_worker.storage.stores import open_store
from dueby_worker.images.fetch import Fetcher
from dueby_worker.images.within import RowReader

def memory(name):
    return int(Path("/proc/self/status").read_text().partition(name)[2].split()[0]) // 1024

index = open_index(open_store(sys.argv[1]))
reader = RowReader(Fetcher(), index.member_of, threads=16)
items = reader.read(index.items(0, index.images - 1), most=64)
first = memory("VmHWM:")
size = sum(len(get(max_bytes=0)) for run in items for _, _, get in run)
print(size // 2**20, memory("VmHWM:") - first)
"""


def test_a_row_group_of_any_size_takes_the_same_memory(tmp_path: Path) -> None:
    images = [large(number) for number in range(200)]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.parquet").write_bytes(parquet_of(images, rows=1000, compression="none", **PAGES))
    index(tmp_path / "in")
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, tmp_path / "sink"], capture_output=True, text=True, check=True
    )
    read_mib, more_mib = map(int, done.stdout.split())
    assert read_mib >= 199
    assert more_mib < 120

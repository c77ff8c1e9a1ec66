"""Images in tars are read in blocks, ahead and once; a tar that has changed is told; faults stay where they are."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dueby_api.errors import Invalid, Transient
from dueby_api.source import Source
from dueby_worker.images.fetch import Fetcher
from dueby_worker.images.members import BlockReader, TarMember, read_member
from dueby_worker.images.runs import BLOCKS_AHEAD, MAX_BLOCK_BYTES
from dueby_worker.index.frozen_index import Index
from dueby_worker.storage.store import TooLarge
from dueby_worker.storage.stores import open_store
from support.index import HURRIED, index_of, read
from support.tars import CountingStore, jpeg, tar_of, write_shards
from support.within import place_of, taken_all

MIB = 1024**2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def index(folder: Path, uri: str = "*.tar") -> Index:
    return index_of(Source(uri=f"{folder}/{uri}"), open_store(str(folder.parent / "sink")))


def member(index: Index, image: int) -> TarMember:
    return place_of(index, image, TarMember)


def take_all(index: Index, store: CountingStore, *, most: int = 1000) -> list[bytes | str]:
    """Return each image's bytes, or why it has none."""
    fetcher = Fetcher(witnesses=index.witnesses, retry=HURRIED, opener=lambda root: store)
    blocks = BlockReader(fetcher, lambda image: member(index, image), threads=4)
    return taken_all(blocks, index.items(0, index.images - 1), most=most)


def root_store(**options: tuple[int, int]) -> CountingStore:
    return CountingStore(Path("/"), **options)


def test_neighbours_are_one_request_and_each_tar_is_read_once(folder: Path) -> None:
    names = write_shards(folder, 3, images=20)
    store = root_store()
    assert take_all(index(folder), store) == [jpeg(number) for number in range(3 * len(names[0]))]
    assert len(store.ranges) == 3
    sizes = [path.stat().st_size for path in sorted(folder.iterdir())]
    assert all(length < size for (_, length), size in zip(store.ranges, sizes, strict=True))


def test_a_block_has_a_limit_in_images_and_in_bytes(folder: Path) -> None:
    images = [jpeg(number) + bytes(MIB) for number in range(10)]
    (folder / "a.tar").write_bytes(tar_of([(f"{number}.jpg", data) for number, data in enumerate(images)]))
    listed = index(folder)
    store = root_store()
    assert take_all(listed, store) == images
    assert len(store.ranges) == 4
    assert max(length for _, length in store.ranges) <= MAX_BLOCK_BYTES
    store = root_store()
    assert take_all(listed, store, most=2) == images
    assert len(store.ranges) == 5


def test_what_is_large_is_not_read_with_its_neighbours(folder: Path) -> None:
    images = [jpeg(0), jpeg(1) + bytes(9 * MIB), jpeg(2)]
    filler = [("a.txt", bytes(3 * MIB))]
    members = [(f"{number}.jpg", data) for number, data in enumerate(images)]
    (folder / "a.tar").write_bytes(tar_of([*members, *filler, ("3.jpg", jpeg(3))]))
    store = root_store()
    assert take_all(index(folder), store) == [*images, jpeg(3)]
    # The large one and its header are two. What lies between the third and the fourth is skipped.
    assert len(store.ranges) == 5
    assert sum(length for _, length in store.ranges) < 10 * MIB


def test_an_image_above_the_limit_is_not_read(folder: Path) -> None:
    (folder / "a.tar").write_bytes(tar_of([("a.jpg", jpeg(0))]))
    found = member(index(folder), 0)
    store = root_store()
    with pytest.raises(TooLarge, match="more than the limit of 5 bytes"):
        read_member(Fetcher(opener=lambda root: store), found, max_bytes=5)
    assert not store.ranges


@pytest.mark.parametrize(
    ("shards", "images", "looked_at"),
    [
        # The last one looked at belongs to the block after those that are being read.
        pytest.param(30, 1, BLOCKS_AHEAD + 2, id="so many blocks"),
        pytest.param(1, 60, 2 * 8 + 1, id="so many images"),
    ],
)
def test_reading_goes_ahead_but_not_for_ever(folder: Path, shards: int, images: int, looked_at: int) -> None:
    write_shards(folder, shards, images=images)
    listed, taken = index(folder), []

    def member_of(image: int) -> TarMember:
        taken.append(image)
        return member(listed, image)

    blocks = BlockReader(Fetcher(), member_of, threads=4)
    next(blocks.read(listed.items(0, shards * images - 1), most=8))
    assert taken == list(range(looked_at))
    blocks.close()


def rename_member(path: Path) -> None:
    # The size stays the same.
    path.write_bytes(tar_of([("other.jpg", jpeg(0)), ("b.jpg", jpeg(1))]))


def grow(path: Path) -> None:
    path.write_bytes(tar_of([("a.jpg", jpeg(0)), ("b.jpg", jpeg(1)), ("c.jpg", bytes(20_000))]))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1500])


@pytest.mark.parametrize("change", [rename_member, grow, cut])
def test_a_tar_that_has_changed_is_told(folder: Path, change: Callable[[Path], None]) -> None:
    path = folder / "a.tar"
    path.write_bytes(tar_of([("a.jpg", jpeg(0)), ("b.jpg", jpeg(1))]))
    listed = index(folder)
    assert [image.error for image in read(listed)] == [None, None]
    change(path)
    with pytest.raises(Invalid, match=r"a.tar has changed since the job was indexed .*; put the old one back, or"):
        list(read(listed))


def test_a_tar_of_several_that_has_gone_is_its_images_error(folder: Path) -> None:
    write_shards(folder, 3, images=2)
    listed = index(folder)
    (folder / "001.tar").unlink()
    errors = [image.error for image in read(listed)]
    assert errors == [None, None, *["It can't be read: there is no such file."] * 2, None, None]


def test_the_only_tar_that_has_gone_is_the_sources_fault(folder: Path) -> None:
    write_shards(folder, 1, images=2)
    listed = index(folder)
    (folder / "000.tar").unlink()
    with pytest.raises(Transient, match="is the source gone"):
        list(read(listed))


def test_a_bad_sector_is_the_error_of_the_images_in_it_alone(folder: Path) -> None:
    images = [jpeg(number) for number in range(5)]
    data = tar_of([(f"{number}.jpg", image) for number, image in enumerate(images)])
    (folder / "a.tar").write_bytes(data)
    at = data.index(images[2])
    taken = take_all(index(folder), root_store(bad=(at + 100, at + 101)))
    assert taken == [*images[:2], "input/output error", *images[3:]]


def test_no_thread_is_left_when_reading_ends_early(folder: Path) -> None:
    write_shards(folder, 5, images=20)
    images = read(index(folder), ahead=4)
    next(images)
    assert any(thread.name.startswith("blocks") for thread in threading.enumerate())
    images.close()
    assert not any(thread.name.startswith(("blocks", "images")) for thread in threading.enumerate())

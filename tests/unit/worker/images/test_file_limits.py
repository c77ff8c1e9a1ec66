"""What is among images and is none: FIFOs, devices, files larger than any memory. Each is a row with an error."""

import os
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dueby_api.errors import Invalid
from dueby_api.source import ListedSource, Source
from dueby_worker.images.fetch import MAX_IMAGE_BYTES
from dueby_worker.images.picture import WHOLE, ImageOutcome
from dueby_worker.images.read_ahead import read_images
from dueby_worker.images.room import SMALL_FILE_BYTES, MemoryRoom
from dueby_worker.index.build import build_index
from dueby_worker.index.frozen_index import open_index
from dueby_worker.models.preprocessing import Pixels
from dueby_worker.storage.stores import open_store
from support.index import HURRIED
from support.pictures import SMALL, write_photos

EIGHT_GB = 8_000_000_000
TOO_LARGE = f"bytes, more than the limit of {MAX_IMAGE_BYTES:,} bytes."


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(EIGHT_GB)


def make_socket(path: Path) -> None:
    # The path of a socket may have 107 bytes.
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def make_link_to_fifo(path: Path) -> None:
    os.mkfifo(path.with_suffix(".fifo"))
    path.symlink_to(path.with_suffix(".fifo"))


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a sparse file of 8 GB": (make_sparse, f"it has 8,000,000,000 {TOO_LARGE}"),
    "a FIFO": (os.mkfifo, "it is a FIFO, not a file."),
    "a socket": (make_socket, "it is a socket, not a file."),
    "a folder": (os.mkdir, "it is a folder, not a file."),
    "a link to an endless device": (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file."),
    "a link to a FIFO": (make_link_to_fifo, "it is a FIFO, not a file."),
    "a link to itself": (lambda path: path.symlink_to(path), "too many levels of symbolic links."),
}


def errors_of(paths: list[Path]) -> list[str | None]:
    uris = [path.as_uri() for path in paths]
    images = read_images(
        enumerate(uris), source=Source(uri=uris[0]), preprocessing=SMALL, threads=2, ahead=8, witnesses=uris[-2:]
    )
    return [image.error for image in images]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_or_too_large_is_a_row_with_an_error(tmp_path: Path, kind: str) -> None:
    make, sentence = KINDS[kind]
    first, last = write_photos(tmp_path, 2)
    odd = tmp_path / "odd.jpg"
    make(odd)
    assert errors_of([first, odd, last]) == [None, f"It can't be read: {sentence}", None]


def test_they_are_sampled_as_unreadable_when_the_source_is_indexed(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 3)
    make_sparse(tmp_path / "in" / "sparse.jpg")
    os.mkfifo(tmp_path / "in" / "fifo.jpg")
    (tmp_path / "in" / "zero.jpg").symlink_to("/dev/zero")
    sink = open_store(str(tmp_path / "sink"))
    build_index(Source(uri=str(tmp_path / "in")), sink, limit=None, preprocessing=SMALL, retry=HURRIED)
    cost = open_index(sink).document.summary.input_cost
    assert (cost.sampled, cost.unreadable) == (3, 3)


def test_a_manifest_that_is_no_file_is_the_users_to_correct(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.txt")
    with pytest.raises(Invalid, match="it is a FIFO, not a file"):
        build_index(
            Source(manifest=ListedSource(uri=str(tmp_path / "list.txt"))),
            open_store(str(tmp_path / "sink")),
            limit=None,
            preprocessing=SMALL,
            retry=HURRIED,
        )


def test_large_images_are_read_and_sampled_like_others(tmp_path: Path) -> None:
    side = 2_000
    (tmp_path / "in").mkdir()
    pixels = np.zeros((side, side, 3), dtype=np.uint8)
    paths = [tmp_path / "in" / f"{number}.bmp" for number in range(4)]
    for path in paths:
        Image.fromarray(pixels).save(path)
    assert paths[0].stat().st_size > SMALL_FILE_BYTES
    assert errors_of(paths) == [None] * len(paths)
    sink = open_store(str(tmp_path / "sink"))
    build_index(Source(uri=str(tmp_path / "in")), sink, limit=None, preprocessing=SMALL, retry=HURRIED)
    cost = open_index(sink).document.summary.input_cost
    assert (cost.sampled, cost.unreadable) == (len(paths), 0)
    assert cost.bytes_per_image == paths[0].stat().st_size


def test_a_room_that_is_full_is_waited_for() -> None:
    room, is_in, may_leave = MemoryRoom(10), threading.Event(), threading.Event()
    entered: list[str] = []

    def enter() -> None:
        with room.hold(7):
            entered.append("second")

    def stay() -> None:
        with room.hold(7):
            is_in.set()
            may_leave.wait(60)
            entered.append("first")

    threads = [threading.Thread(target=stay), threading.Thread(target=enter)]
    threads[0].start()
    assert is_in.wait(60)
    threads[1].start()
    with room.hold(3):  # there is still room for this one
        may_leave.set()
    for thread in threads:
        thread.join(60)
    assert entered == ["first", "second"]


def test_files_that_are_suddenly_larger_do_not_fill_the_memory(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 200, size=(48, 36))
    pixels = np.zeros((1_200, 1_200, 3), dtype=np.uint8)
    for path in paths[100:130]:
        Image.fromarray(pixels).save(path, "BMP")
    tasks: list[list[int]] = []

    def begin(files: Sequence[bytes], slots: Sequence[Pixels]) -> Callable[[], Sequence[ImageOutcome]]:
        tasks.append([len(file) for file in files])
        return lambda: [WHOLE for _ in files]

    images = read_images(
        enumerate(path.as_uri() for path in paths),
        source=Source(uri="photos"),
        preprocessing=SMALL,
        threads=2,
        ahead=200,
        begin=begin,
    )
    assert [image.error for image in images] == [None] * len(paths)
    assert sum(map(len, tasks)) == len(paths)
    assert max(map(sum, tasks)) <= 2 * SMALL_FILE_BYTES
    # The small ones are read several in a row.
    assert max(map(len, tasks)) > 4

"""Reading images: in order, bounded, each failure where it belongs, and nothing left running."""

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from dueby_api.errors import Transient
from dueby_api.source import Source, Synthetic
from dueby_worker.images.read_ahead import DecodedImage, read_images
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.uris import file_uri
from support.pictures import SMALL, a_preprocessing, write_photos

WAITED_FOR_S = 20.0
HURRIED = RetryPolicy(first_pause_s=0.01, max_pause_s=0.02, total_s=0.2)
FILES = Source(uri="file:///photos")
THREADS = "images"


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return write_photos(tmp_path / "in", 40, size=(48, 36))


def uris_of(paths: Iterable[Path]) -> list[str]:
    return [file_uri(str(path)) for path in paths]


def read(
    uris: Iterable[str],
    *,
    threads: int = 2,
    ahead: int = 8,
    witnesses: Iterable[str] = (),
    retry: RetryPolicy = HURRIED,
    max_pixels: int = 100_000_000,
) -> Generator[DecodedImage, None, None]:
    return read_images(
        enumerate(uris),
        source=FILES,
        preprocessing=SMALL,
        threads=threads,
        ahead=ahead,
        max_pixels=max_pixels,
        witnesses=tuple(witnesses),
        retry=retry,
    )


def threads_of_readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(THREADS)]


def wait_until(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAITED_FOR_S
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.005)
    return is_so()


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (1, 8), (4, 2), (4, 64)])
def test_images_come_in_order(photos: list[Path], threads: int, ahead: int) -> None:
    images = list(read(uris_of(photos), threads=threads, ahead=ahead))
    assert [(image.index, image.uri) for image in images] == list(enumerate(uris_of(photos)))
    first = [image.pixels for image in images if image.pixels is not None]
    again = [image.pixels for image in read(uris_of(photos)) if image.pixels is not None]
    assert len(first) == len(photos)
    assert np.array_equal(first, again)
    assert len({pixels.tobytes() for pixels in first}) == len(photos)


def test_no_more_are_taken_than_may_be_ahead(photos: list[Path]) -> None:
    taken = 0

    def announce() -> Iterator[str]:
        nonlocal taken
        for uri in uris_of(photos):
            taken += 1
            yield uri

    for delivered, _ in enumerate(read(announce(), ahead=5), 1):
        assert taken <= delivered + 4


def test_an_image_that_can_not_be_read_is_a_row_with_an_error(photos: list[Path]) -> None:
    photos[1].write_bytes(b"")
    photos[2].write_bytes(b"<html></html>")
    photos[3].unlink()
    photos[4].unlink()
    photos[4].mkdir()
    photos[5].write_bytes(photos[5].read_bytes()[:-100])
    images = list(read(uris_of(photos), witnesses=uris_of(photos[10:12])))
    assert [image.error for image in images[:7]] == [
        None,
        "The file is empty.",
        "It is not an image of a known format: it looks like an HTML page.",
        "It can't be read: there is no such file.",
        "It can't be read: it is a folder, not a file.",
        "It is damaged or truncated: Premature end of JPEG file.",
        None,
    ]
    assert all((image.error is None) != (image.pixels is None) for image in images)


def test_a_faulty_file_is_an_image_with_a_warning(photos: list[Path]) -> None:
    whole = photos[1].read_bytes()
    photos[1].write_bytes(whole[:-2] + bytes(99) + whole[-2:])
    images = list(read(uris_of(photos[:3])))
    assert [image.warning for image in images] == [None, "It is whole, although there is padding before its end.", None]
    assert all(image.error is None for image in images)


def test_the_limit_on_pixels_is_kept(photos: list[Path]) -> None:
    (image,) = read(uris_of(photos[:1]), max_pixels=48 * 36 - 1)
    assert image.error == "It has 48 x 36 pixels, more than the limit of 1,727."


def test_a_source_that_has_gone_is_no_images_error(photos: list[Path], tmp_path: Path) -> None:
    images = read(uris_of(photos), ahead=1, witnesses=uris_of(photos[-4:]))
    assert next(images).error is None
    photos[0].parent.rename(tmp_path / "unmounted")
    with pytest.raises(Transient, match="is the source gone"):
        next(images)


def test_a_source_that_comes_back_is_waited_for(
    photos: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    patient = RetryPolicy(first_pause_s=0.01, max_pause_s=0.05, total_s=WAITED_FOR_S)
    images = read(uris_of(photos), ahead=4, witnesses=uris_of(photos[-4:]), retry=patient)
    first = next(images)
    photos[0].parent.rename(tmp_path / "unmounted")

    def mount_when_missed() -> None:
        assert wait_until(lambda: any(record.levelno == logging.WARNING for record in caplog.records))
        (tmp_path / "unmounted").rename(photos[0].parent)

    helper = threading.Thread(target=mount_when_missed)
    helper.start()
    rest = list(images)
    helper.join()
    assert [image.error for image in (first, *rest)] == [None] * len(photos)
    assert "can't be used" in caplog.text


def test_without_a_witness_a_missing_image_is_missing(photos: list[Path]) -> None:
    photos[0].unlink()
    (image,) = read(uris_of(photos[:1]))
    assert image.error == "It can't be read: there is no such file."


@pytest.mark.parametrize("taken", [0, 1, 5, 40])
def test_no_thread_is_left_when_the_reader_is_closed(photos: list[Path], taken: int) -> None:
    images = read(uris_of(photos))
    assert len(list(islice(images, taken))) == taken
    images.close()
    assert wait_until(lambda: not threads_of_readers())


def test_closing_does_not_wait_for_a_store_that_is_away(photos: list[Path], tmp_path: Path) -> None:
    patient = RetryPolicy(first_pause_s=30.0, max_pause_s=30.0, total_s=600.0)
    images = read(uris_of(photos), ahead=2, witnesses=uris_of(photos[-4:]), retry=patient)
    assert next(images).error is None
    photos[0].parent.rename(tmp_path / "unmounted")
    began = time.monotonic()
    threading.Timer(0.1, lambda: (tmp_path / "unmounted").rename(photos[0].parent)).start()
    images.close()
    assert time.monotonic() - began < WAITED_FOR_S
    assert wait_until(lambda: not threads_of_readers())


def test_a_failure_of_the_list_of_images_goes_up(photos: list[Path]) -> None:
    def announce() -> Iterator[str]:
        yield uris_of(photos)[0]
        raise Transient("the index can't be read")

    with pytest.raises(Transient, match="the index can't be read"):
        list(read(announce()))
    assert wait_until(lambda: not threads_of_readers())


class TestSyntheticImages:
    """The study's dummy images."""

    @staticmethod
    def make(indices: Iterable[int], **size: int) -> list[DecodedImage]:
        images = read_images(
            ((index, f"synthetic://{index}") for index in indices),
            source=Source(synthetic=Synthetic(**size)),
            preprocessing=a_preprocessing(crop_side=96, resize_side=110),
            threads=1,
            ahead=4,
        )
        return list(images)

    @pytest.mark.parametrize("size", [{}, {"width": 96, "height": 96}, {"width": 640, "height": 480}], ids=str)
    def test_they_are_the_same_for_the_same_index(self, size: dict[str, int]) -> None:
        for one, other in zip(self.make((0, 5, 10**9), **size), self.make((0, 5, 10**9), **size), strict=True):
            assert one.pixels is not None
            assert one.pixels.shape == (96, 96, 3)
            assert np.array_equal(one.pixels, other.pixels)  # type: ignore[arg-type]

    def test_they_differ_between_indices(self) -> None:
        assert len({image.pixels.tobytes() for image in self.make(range(1000)) if image.pixels is not None}) == 1000

    def test_they_use_no_threads(self) -> None:
        assert self.make(range(10))
        assert not threads_of_readers()

"""Filters that don't antialias: the square alone is what torch makes of the whole image, in little memory."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dueby_worker.images.geometry import cut_out, is_panorama, plan_cut
from dueby_worker.images.torch_resize import resize_plainly
from dueby_worker.models.preprocessing import Interpolation, Pixels
from support.pictures import a_preprocessing, decode_pixels, encode, photo

GIB = 1024**3
PLAIN = [("nearest", True), ("nearest", False), ("bilinear", False), ("bicubic", False)]
SIDES = st.one_of(st.integers(1, 12), st.integers(1, 700))


@contextmanager
def memory_limit(more_bytes: int) -> Iterator[None]:
    """Let this process take no more than that."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def squares(pixels: Pixels, interpolation: Interpolation, crop: int, resize: int) -> tuple[Pixels, Pixels]:
    """Return the square, and that of the whole image, resized by torch."""
    high, wide, _ = pixels.shape
    preprocessing = a_preprocessing(crop_side=crop, resize_side=resize, interpolation=interpolation, antialias=False)
    cut = plan_cut(wide, high, 1, preprocessing)
    whole = pixels
    if (wide, high) != (cut.width, cut.height):
        whole = resize_plainly(
            pixels, interpolation=interpolation, height=cut.height, width=cut.width, extent=(wide, high)
        )
    return cut_out(pixels, cut, preprocessing), whole[cut.top : cut.top + crop, cut.left : cut.left + crop]


@given(wide=SIDES, high=SIDES, crop=st.sampled_from((32, 64, 100)), more=st.integers(0, 40))
def test_the_nearest_pixels_are_torchs(wide: int, high: int, crop: int, more: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (high, wide, 3), dtype=np.uint8)
    found, expected = squares(pixels, "nearest", crop, crop + more)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(3000, 20), (20, 3000), (2500, 1), (1, 2500), (4000, 71)], ids=str)
def test_the_square_of_a_panorama_is_torchs_but_for_rounding(
    size: tuple[int, int], interpolation: Interpolation
) -> None:
    found, expected = squares(np.array(photo(size=size)), interpolation, 64, 70)
    assert found.shape == (64, 64, 3)
    assert np.abs(found.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(60_000, 2), (2, 60_000)], ids=str)
@pytest.mark.parametrize(("interpolation", "antialias"), PLAIN)
def test_a_panorama_does_not_fill_the_memory(
    interpolation: Interpolation, antialias: bool, size: tuple[int, int], kind: str
) -> None:
    preprocessing = a_preprocessing(interpolation=interpolation, antialias=antialias)
    assert is_panorama(plan_cut(*size, 1, preprocessing))
    data = encode(Image.new("RGB", size, (7, 7, 7)), kind)
    # As a whole it would have 5.9 GB.
    with memory_limit(GIB):
        pixels = decode_pixels(data, preprocessing)
    assert pixels.shape == (224, 224, 3)
    assert (pixels == 7).all()


def test_torchs_lack_of_memory_is_one() -> None:
    pixels = np.zeros((100, 100, 3), np.uint8)
    with memory_limit(GIB), pytest.raises(MemoryError):
        resize_plainly(pixels, interpolation="bilinear", height=40_000, width=40_000, extent=(100, 100))

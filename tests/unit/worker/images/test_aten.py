"""torch's resize by its library alone: the same pixels as by torch's Python, without loading it."""

import resource
from typing import Any

import numpy as np
import pytest

from dueby_worker.images import aten, torch_resize
from support.fresh_process import modules_after
from support.pictures import SMALL, encode, photo

SIZES = [(300, 400), (37, 5), (1, 1), (224, 224), (480, 640)]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("factor", [0.31, 1.0, 1.7])
def test_the_pixels_are_those_of_torch(interpolation: str, height: int, width: int, factor: float) -> None:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    high, wide = max(1, int(height * factor) - 1), max(1, int(width * factor))
    asked: dict[str, Any] = {
        "interpolation": interpolation,
        "height": high,
        "width": wide,
        "down": factor,
        "right": factor * 1.01,
    }
    ours, theirs = aten.resize(pixels, **asked), torch_resize.resize_smoothly(pixels, **asked)
    assert ours.shape == (high, wide, 3)
    assert np.array_equal(ours, theirs)


def test_a_part_of_an_image_is_resized_where_it_lies() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (90, 80, 3), dtype=np.uint8)[10:70, 5:75]
    asked: dict[str, Any] = {"interpolation": "bilinear", "height": 20, "width": 21, "down": 1 / 3, "right": 0.3}
    assert np.array_equal(aten.resize(pixels, **asked), aten.resize(pixels.copy(), **asked))


def test_no_memory_is_kept() -> None:
    pixels = np.zeros((480, 640, 3), dtype=np.uint8)

    def resize(times: int) -> int:
        for _ in range(times):
            aten.resize(pixels, interpolation="bilinear", height=256, width=341, down=256 / 480, right=341 / 640)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = resize(50)
    # Kept, the results would be 260 MB.
    assert resize(1000) - before < 20 * 1024


def test_what_torch_refuses_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="could not resize"):
        aten.resize(
            np.zeros((4, 4, 3), dtype=np.uint8), interpolation="bilinear", height=0, width=4, down=0.5, right=1.0
        )


DECODED = f"""
from dueby_worker.images.decode import decode_image
from dueby_worker.models.preprocessing import Preprocessing
pixels = decode_image({encode(photo(size=(64, 48)), "JPEG")!r}, {SMALL!r}).pixels
assert pixels.shape[2] == 3
"""


def test_a_decoder_needs_no_torch() -> None:
    assert "torch" not in modules_after(DECODED)


def test_where_its_library_cannot_do_it_torch_is_loaded() -> None:
    without = "import sys\nsys.modules['dueby_worker.images.aten'] = None\n"
    assert "torch" in modules_after(without + DECODED)


def test_where_torch_is_loaded_it_is_called_as_usual() -> None:
    assert "dueby_worker.images.aten" not in modules_after("import torch\n" + DECODED)

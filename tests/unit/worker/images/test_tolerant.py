"""Images of `source.decode: tolerant`, as workers read them: damaged ones have a process of their own."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import ImageFile

from dueby_api.source import Source
from dueby_worker.images.decode import decode_image, decode_tolerantly
from dueby_worker.images.read_ahead import DecodedImage, read_images
from dueby_worker.images.unreadable import BeyondLimit
from support.pictures import SMALL, encode, jpeg_that_claims, photo, write_photos

MODES: tuple[Literal["strict"], Literal["tolerant"]] = ("strict", "tolerant")
CUT, NO_IMAGE = (3, 8), (5, 6)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Ten photos, two of them cut off, and two files that are none."""
    paths = write_photos(tmp_path, 10)
    for number in CUT:
        paths[number].write_bytes(paths[number].read_bytes()[:-300])
    paths[5].write_bytes(b"<html></html>")
    paths[6].write_bytes(b"")
    return paths


def read(
    paths: list[Path], decode: Literal["strict", "tolerant"], *, is_isolated: bool, max_pixels: int = 10**8
) -> list[DecodedImage]:
    return list(
        read_images(
            enumerate(path.as_uri() for path in paths),
            source=Source(uri="photos", decode=decode),
            preprocessing=SMALL,
            threads=2,
            ahead=4,
            is_isolated=is_isolated,
            max_pixels=max_pixels,
        )
    )


@pytest.mark.parametrize("is_isolated", [False, True], ids=["here", "careful"])
def test_only_a_tolerant_job_classifies_what_is_cut_off(paths: list[Path], is_isolated: bool) -> None:
    strict, tolerant = (read(paths, decode, is_isolated=is_isolated) for decode in MODES)
    assert [image.index for image in strict if image.error] == [3, 5, 6, 8]
    assert [image.index for image in tolerant if image.error] == list(NO_IMAGE)
    assert [image.index for image in tolerant if image.warning] == list(CUT)
    assert {image.warning for image in tolerant if image.warning} == {
        "What it lacks is filled up. Strict decoding says: It is damaged or truncated: Premature end of JPEG file."
    }
    for number in NO_IMAGE:
        assert tolerant[number].error == strict[number].error
    for image, path in zip(tolerant, paths, strict=True):
        if image.pixels is not None:
            assert np.array_equal(image.pixels, decode_tolerantly(path.read_bytes(), SMALL).pixels)
    # Pillow is as strict as before in this process, where other threads may decode.
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_tolerance_has_the_same_limits(paths: list[Path]) -> None:
    images = read(paths, "tolerant", is_isolated=False, max_pixels=64 * 48 - 1)
    assert all(image.error for image in images)
    scans = encode(photo(size=(16, 16)), "JPEG", progressive=True)
    last = scans.rindex(b"\xff\xda")
    for data in (scans[:-2] + scans[last:-2] * 100, jpeg_that_claims(60_000, 60_000)):
        with pytest.raises(BeyondLimit):
            decode_tolerantly(data, SMALL)


def test_damage_is_shown_in_the_middle_of_whole_images(paths: list[Path]) -> None:
    whole, cut = (decode_tolerantly(paths[number].read_bytes(), SMALL).pixels for number in (0, 3))
    assert np.array_equal(whole, decode_image(paths[0].read_bytes(), SMALL).pixels)
    assert np.ptp(cut[-1].astype(int)) < 3, "the last row is grey"

"""Files that can't be decoded: every broken one gives a sentence, and no bomb goes off."""

import contextlib
import random
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dueby_worker.images.decode import decode_image
from dueby_worker.images.unreadable import UnreadableImage
from support.pictures import SMALL, encode, exif, jpeg_that_claims, photo, png, tiff_with_a_tile_of

CAT = photo()
DAMAGED = "It is damaged or truncated: "
FOREIGN = "It is not an image of a known format"
TOO_LARGE = "more than the limit of 100,000,000."


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(b"", "The file is empty.", id="empty file"),
        pytest.param(b"\n <!DOCTYPE html><html>", f"{FOREIGN}: it looks like an HTML page.", id="HTML"),
        pytest.param(b"PK\x03\x04abc", f"{FOREIGN}: it looks like a zip archive.", id="zip"),
        pytest.param(b"%PDF-1.7", f"{FOREIGN}: it looks like a PDF.", id="PDF"),
        pytest.param(b"\0\0\0\x1cftypavif", f"{DAMAGED}its header makes no sense.", id="AVIF of a header"),
        pytest.param(b"\0\0\0\x1cftypheic", f"{DAMAGED}its header makes no sense.", id="HEIC of a header"),
        pytest.param(b"\0\0\0\x0cJXL ", f"{FOREIGN}: it looks like JPEG XL.", id="JPEG XL"),
        pytest.param(encode(CAT, "EPS"), f"{FOREIGN}.", id="PostScript, never run"),
        pytest.param(random.Random(1).randbytes(999), f"{FOREIGN}.", id="noise"),
        pytest.param(jpeg_that_claims(60_000, 60_000), f"It has 60000 x 60000 pixels, {TOO_LARGE}", id="JPEG bomb"),
        pytest.param(
            png(50_000, 50_000, bits=8, colour=2, rows=b""), f"It has 50000 x 50000 pixels, {TOO_LARGE}", id="PNG bomb"
        ),
        pytest.param(
            tiff_with_a_tile_of(60_000),
            f"It has 16 x 16 pixels in tiles of 3,600,000,000, {TOO_LARGE}",
            id="TIFF with a bomb in its tile",
        ),
        pytest.param(
            tiff_with_a_tile_of(2**32 - 1),
            f"It has 16 x 16 pixels in tiles of {(2**32 - 1) ** 2:,}, {TOO_LARGE}",
            id="TIFF with a tile of 2^64 pixels",
        ),
        pytest.param(
            b"\xff\xd8" + b"\xff\xe1\0\2" * 10_001, "Its header has more than 10,000 markers.", id="JPEG of markers"
        ),
        pytest.param(
            b"\xff\xd8" + b"\xff\xd0" * 100_000, "Its header has more than 10,000 markers.", id="JPEG of restarts"
        ),
        pytest.param(
            b"\xff" + b"\xd8" + b"\xff" * 100_000_000,
            f"{DAMAGED}it ends before it says its size.",
            id="JPEG of filling",
        ),
        pytest.param(
            b"\xff\xd8\xff\xe1\0\2abcd", f"{DAMAGED}it ends before it says its size.", id="JPEG of one segment"
        ),
        pytest.param(jpeg_that_claims(0, 5), "Its size is 0 x 5 pixels.", id="no width"),
        pytest.param(encode(CAT, "JPEG")[:3], f"{DAMAGED}it ends before it says its size.", id="JPEG of 3 bytes"),
        pytest.param(encode(CAT, "JPEG")[:-2000], f"{DAMAGED}Premature end of JPEG file.", id="truncated JPEG"),
        pytest.param(
            encode(CAT, "JPEG", progressive=True)[:-2000],
            f"{DAMAGED}Premature end of JPEG file.",
            id="truncated progressive JPEG",
        ),
        pytest.param(encode(CAT, "PNG")[:-2000], f"{DAMAGED}image file is truncated.", id="truncated PNG"),
        pytest.param(encode(CAT, "PNG")[:12], f"{DAMAGED}its header makes no sense.", id="PNG of 12 bytes"),
        pytest.param(
            encode(Image.new("F", (9, 9)), "TIFF"),
            "It has floating-point pixels, which have no agreed black and white.",
            id="floating-point TIFF",
        ),
        pytest.param(
            encode(Image.new("I", (9, 9)), "TIFF"),
            "It has 32-bit integer pixels, which have no agreed black and white.",
            id="32-bit TIFF",
        ),
    ],
)
def test_what_can_not_be_read_is_said_in_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(UnreadableImage) as caught:
        decode_image(data, SMALL)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "BMP", "TIFF"])
def test_half_a_file_is_damaged(kind: str) -> None:
    data = encode(CAT, kind)
    with pytest.raises(UnreadableImage, match=r"^It is damaged or truncated: .*\.$"):
        decode_image(data[: len(data) // 2], SMALL)


def test_a_jpeg_of_the_same_scan_over_and_over_is_refused() -> None:
    data = encode(CAT, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(UnreadableImage, match=r"^It has \d+ scans, more than the limit of 100\.$"):
        decode_image(data[:-2] + data[last:-2] * 100 + data[-2:], SMALL)


def test_the_limit_on_pixels_is_the_callers() -> None:
    data = encode(photo(size=(100, 100)), "PNG")
    assert decode_image(data, SMALL, max_pixels=10_000).pixels.shape == (32, 32, 3)
    with pytest.raises(UnreadableImage, match="more than the limit of 9,999"):
        decode_image(data, SMALL, max_pixels=9_999)


def test_a_picture_that_pillow_would_warn_of_is_read_without_a_word() -> None:
    data = encode(Image.new("1", (9_500, 9_500)), "PNG")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert decode_image(data, SMALL).pixels.shape == (32, 32, 3)
    assert not caught


SMALL_FILES = [encode(photo(size=(40, 30)), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")] + [
    encode(photo(size=(40, 30)), "JPEG", progressive=True, exif=exif(6))
]


@given(st.sampled_from(SMALL_FILES), st.data())
def test_whatever_is_broken_in_a_file_is_the_images_error_or_none(file: bytes, data: st.DataObject) -> None:
    broken = bytearray(file)
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(file) - 1), st.integers(0, 255)), max_size=8)):
        broken[at] = value
    end = data.draw(st.integers(0, len(file)))
    with contextlib.suppress(UnreadableImage):
        assert decode_image(bytes(broken[:end]), SMALL, max_pixels=1_000_000).pixels.shape == (32, 32, 3)

"""Decoding: every format gives what torchvision's preset gives, and every broken file a sentence."""

import contextlib
import io
import random
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, ImageSequence
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from dueby_worker.images.decode import decode_image
from dueby_worker.images.geometry import plan_cut
from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.models.preprocessing import Interpolation, Pixels, Preprocessing
from support.pictures import (
    SMALL,
    a_preprocessing,
    encode,
    exif,
    jpeg_that_claims,
    photo,
    png,
    png_of_16_bits,
    tiff_with_a_tile_of,
)


def as_torchvision(picture: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """What torchvision's preset makes of the picture, as uint8."""
    preset = ImageClassification(
        crop_size=preprocessing.crop_side,
        resize_size=preprocessing.resize_side,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        interpolation=InterpolationMode(preprocessing.interpolation),
    )
    floats = preset(picture.convert("RGB")).permute(1, 2, 0).numpy()
    return np.asarray((floats * 255).round(), dtype=np.uint8)


def largest_difference(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def mean_difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


CAT = photo()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize_side", [256, 224])
@pytest.mark.parametrize(
    "size", [(451, 300), (300, 451), (640, 480), (224, 224), (100, 75)], ids=lambda size: f"{size[0]}x{size[1]}"
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pixels_are_those_of_torchvisions_preset(
    kind: str, size: tuple[int, int], resize_side: int, interpolation: Interpolation
) -> None:
    preprocessing = a_preprocessing(resize_side=resize_side, interpolation=interpolation)
    data = encode(photo(size=size), kind)
    pixels = decode_image(data, preprocessing)
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    with Image.open(io.BytesIO(data)) as picture:
        reference = as_torchvision(picture, preprocessing)
    assert largest_difference(pixels, reference) <= 2
    assert mean_difference(pixels, reference) < 0.2


@pytest.mark.parametrize(
    "size", [(1600, 1200), (3200, 2400), (1199, 1601), (1801, 1501)], ids=lambda size: f"{size[0]}x{size[1]}"
)
def test_a_large_jpeg_decoded_smaller_differs_little_from_torchvisions(size: tuple[int, int]) -> None:
    preprocessing = a_preprocessing(interpolation="bicubic")
    data = encode(photo("astronaut", size=size), "JPEG", quality=90)
    with Image.open(io.BytesIO(data)) as picture:
        reference = as_torchvision(picture, preprocessing)
    pixels = decode_image(data, preprocessing)
    assert mean_difference(pixels, reference) < 0.5
    assert largest_difference(pixels, reference) <= 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(90, 61), (61, 90), (80, 80)], ids=["wide", "high", "square"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_is_turned_as_exif_says(kind: str, size: tuple[int, int], orientation: int) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(photo(size=size), kind, exif=exif(orientation), **options)
    with Image.open(io.BytesIO(data)) as picture:
        reference = as_torchvision(ImageOps.exif_transpose(picture), SMALL)
    assert largest_difference(decode_image(data, SMALL), reference) <= 2


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"Exif\0\0", id="empty"),
        pytest.param(b"Exif\0\0II*\0\xff\xff\xff\xff", id="directory out of bounds"),
        pytest.param(b"Exif\0\0XX*\0\x08\0\0\0", id="no byte order"),
        pytest.param(b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0", id="entries cut off"),
        pytest.param(b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0", id="orientation 99"),
    ],
)
def test_exif_that_makes_no_sense_turns_nothing(block: bytes) -> None:
    data = encode(CAT, "JPEG")
    segment = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    assert np.array_equal(decode_image(data[:2] + segment + data[2:], SMALL), decode_image(data, SMALL))


def _palette(transparency: object) -> bytes:
    return encode(CAT.quantize(16), "PNG", transparency=transparency)


def _ycck() -> bytes:
    """A CMYK JPEG whose Adobe marker says that it is YCCK."""
    data = bytearray(encode(CAT.convert("CMYK"), "JPEG"))
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def _frames(kind: str) -> bytes:
    return encode(CAT, kind, save_all=True, append_images=[ImageOps.invert(CAT), CAT.rotate(90)])


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        pytest.param(encode(CAT.convert("L"), "JPEG"), 1, id="grey JPEG"),
        pytest.param(encode(CAT, "JPEG", progressive=True), 1, id="progressive JPEG"),
        pytest.param(encode(CAT, "JPEG", subsampling=0), 1, id="JPEG without subsampling"),
        pytest.param(encode(CAT.convert("CMYK"), "JPEG"), 3, id="CMYK JPEG"),
        pytest.param(_ycck(), 3, id="YCCK JPEG"),
        pytest.param(encode(CAT, "PNG"), 1, id="RGB PNG"),
        pytest.param(encode(CAT.convert("L"), "PNG"), 1, id="grey PNG"),
        pytest.param(encode(CAT.convert("1"), "PNG"), 1, id="black and white PNG"),
        pytest.param(encode(CAT.convert("LA"), "PNG"), 1, id="PNG of grey and alpha"),
        pytest.param(encode(CAT.convert("RGBA"), "PNG"), 1, id="PNG with alpha"),
        pytest.param(_palette(None), 1, id="palette PNG"),
        pytest.param(_palette(3), 1, id="palette PNG with a transparent colour"),
        pytest.param(_palette(bytes(range(16))), 1, id="palette PNG with transparent colours"),
        pytest.param(encode(CAT, "WEBP", lossless=True), 1, id="lossless WebP"),
        pytest.param(encode(CAT, "WEBP"), 1, id="lossy WebP"),
        pytest.param(encode(CAT.convert("RGBA"), "WEBP"), 1, id="WebP with alpha"),
        pytest.param(encode(CAT, "GIF"), 1, id="GIF"),
        pytest.param(encode(CAT, "BMP"), 1, id="BMP"),
        pytest.param(encode(CAT.convert("L"), "BMP"), 1, id="grey BMP"),
        pytest.param(encode(CAT, "TIFF"), 1, id="TIFF"),
        pytest.param(encode(CAT, "TIFF", compression="tiff_lzw"), 1, id="compressed TIFF"),
        pytest.param(encode(CAT.convert("CMYK"), "TIFF"), 1, id="CMYK TIFF"),
        pytest.param(encode(CAT, "TIFF", compression="jpeg"), 1, id="TIFF of JPEG"),
    ],
)
def test_every_kind_of_file_is_read_as_torchvision_reads_it(data: bytes, tolerance: int) -> None:
    with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as picture:
        warnings.simplefilter("ignore")
        reference = as_torchvision(picture, a_preprocessing())
    assert largest_difference(decode_image(data, a_preprocessing()), reference) <= tolerance


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_frame_or_page_counts(kind: str) -> None:
    data = _frames(kind)
    with Image.open(io.BytesIO(data)) as picture:
        assert len(list(ImageSequence.Iterator(picture))) == 3
    assert mean_difference(decode_image(data, SMALL), decode_image(encode(CAT, "PNG"), SMALL)) < 6


DEEP = (np.asarray(CAT).astype(np.uint16) * 257) + np.uint16(40)
DEEP_GREY = (np.asarray(CAT.convert("L")).astype(np.uint16) * 257)[:, :, None]


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        pytest.param(png_of_16_bits(DEEP_GREY), CAT.convert("L"), id="grey PNG"),
        pytest.param(png_of_16_bits(np.repeat(DEEP_GREY, 2, 2)), CAT.convert("L"), id="PNG of grey and alpha"),
        pytest.param(png_of_16_bits(DEEP), CAT, id="RGB PNG"),
        pytest.param(png_of_16_bits(np.concatenate((DEEP, DEEP_GREY), axis=2)), CAT, id="PNG with alpha"),
        pytest.param(encode(Image.fromarray(DEEP_GREY[:, :, 0]), "TIFF"), CAT.convert("L"), id="grey TIFF"),
        pytest.param(encode(Image.fromarray(DEEP_GREY[:, :, 0]), "PNG"), CAT.convert("L"), id="grey PNG by Pillow"),
    ],
)
def test_sixteen_bits_are_scaled_to_eight(data: bytes, shown: Image.Image) -> None:
    assert largest_difference(decode_image(data, SMALL), decode_image(encode(shown, "PNG"), SMALL)) <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_panorama_is_read_as_any_picture_is(kind: str) -> None:
    data = encode(photo(size=(3000, 60)), kind)
    cut = plan_cut(3000, 60, 1, a_preprocessing())
    assert cut.width == 50 * cut.height
    with Image.open(io.BytesIO(data)) as picture:
        reference = as_torchvision(picture, a_preprocessing())
    assert largest_difference(decode_image(data, a_preprocessing()), reference) <= 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(100_000, 1, bits=8, colour=2, rows=b"\0" * 300_001), id="PNG of one row"),
        pytest.param(encode(Image.new("RGB", (2, 65_000)), "JPEG"), id="JPEG of two columns"),
    ],
)
def test_a_line_of_pixels_does_not_fill_the_memory(data: bytes) -> None:
    assert not decode_image(data, a_preprocessing()).any()


def test_an_unfiltered_resize_is_the_same_for_all_formats() -> None:
    preprocessing = a_preprocessing(antialias=False)
    picture = photo(size=(640, 480))
    jpeg = decode_image(encode(picture, "JPEG", quality=100, subsampling=0), preprocessing)
    assert mean_difference(jpeg, decode_image(encode(picture, "PNG"), preprocessing)) < 0.5
    assert mean_difference(jpeg, decode_image(encode(picture, "PNG"), a_preprocessing())) > 1


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
        pytest.param(b"\0\0\0\x1cftypavif", f"{FOREIGN}: it looks like AVIF.", id="AVIF"),
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
    assert decode_image(data, SMALL, max_pixels=10_000).shape == (32, 32, 3)
    with pytest.raises(UnreadableImage, match="more than the limit of 9,999"):
        decode_image(data, SMALL, max_pixels=9_999)


def test_a_picture_that_pillow_would_warn_of_is_read_without_a_word() -> None:
    data = encode(Image.new("1", (9_500, 9_500)), "PNG")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert decode_image(data, SMALL).shape == (32, 32, 3)
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
        assert decode_image(bytes(broken[:end]), SMALL, max_pixels=1_000_000).shape == (32, 32, 3)

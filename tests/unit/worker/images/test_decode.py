"""Decoding: every format gives what torchvision's preset gives."""

import io
import math
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps, ImageSequence
from torch.nn.functional import interpolate
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from dueby_worker.images.decode import decode_image
from dueby_worker.images.geometry import cut_out, plan_cut
from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.models.preprocessing import Interpolation, Pixels, Preprocessing
from support.heics import HEIC, heic_that_claims
from support.pictures import SMALL, a_preprocessing, decode_pixels, encode, exif, photo, png, png_of_16_bits


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
    pixels = decode_pixels(data, preprocessing)
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    with Image.open(io.BytesIO(data)) as picture:
        reference = as_torchvision(picture, preprocessing)
    assert largest_difference(pixels, reference) <= 2
    assert mean_difference(pixels, reference) < 0.2


@pytest.mark.parametrize(
    ("interpolation", "antialias"), [("nearest", True), ("nearest", False), ("bilinear", False), ("bicubic", False)]
)
def test_a_jpeg_is_not_averaged_where_the_resize_takes_single_pixels(
    interpolation: Interpolation, antialias: bool
) -> None:
    preprocessing = a_preprocessing(interpolation=interpolation, antialias=antialias)
    data = encode(photo("astronaut", size=(1800, 1500)), "JPEG", quality=90)
    with Image.open(io.BytesIO(data)) as picture:
        whole = encode(picture, "PNG")
    pixels, reference = decode_pixels(data, preprocessing), decode_pixels(whole, preprocessing)
    # simplejpeg and Pillow may round a colour otherwise.
    assert largest_difference(pixels, reference) <= 3


@pytest.mark.parametrize(
    "size", [(1600, 1200), (3200, 2400), (1199, 1601), (1801, 1501)], ids=lambda size: f"{size[0]}x{size[1]}"
)
def test_a_large_jpeg_decoded_smaller_differs_little_from_torchvisions(size: tuple[int, int]) -> None:
    preprocessing = a_preprocessing(interpolation="bicubic")
    data = encode(photo("astronaut", size=size), "JPEG", quality=90)
    with Image.open(io.BytesIO(data)) as picture:
        reference = as_torchvision(picture, preprocessing)
    pixels = decode_pixels(data, preprocessing)
    assert mean_difference(pixels, reference) < 0.5
    assert largest_difference(pixels, reference) <= 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(90, 61), (61, 90), (80, 80)], ids=["wide", "high", "square"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_a_picture_is_turned_as_exif_says(kind: str, size: tuple[int, int], orientation: int) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(photo(size=size), kind, exif=exif(orientation), **options)
    with Image.open(io.BytesIO(data)) as picture:
        reference = as_torchvision(ImageOps.exif_transpose(picture), SMALL)
    assert largest_difference(decode_pixels(data, SMALL), reference) <= 2


def test_a_heic_of_a_phone_is_turned_once() -> None:
    pixels = decode_pixels(HEIC, a_preprocessing(resize_side=48, crop_side=48))
    corners = {"white": pixels[2, 45], "red": pixels[2, 2], "blue": pixels[45, 24]}
    likeness = {name: [int(value) > 127 for value in pixel] for name, pixel in corners.items()}
    assert likeness == {"white": [True] * 3, "red": [True, False, False], "blue": [False, False, True]}


@pytest.mark.parametrize("side", [20_000, 60_000, 2**32 - 1])
def test_a_heic_that_claims_too_much_is_refused(side: int) -> None:
    with pytest.raises(UnreadableImage, match=r"^It is damaged or truncated: .*size"):
        decode_image(heic_that_claims(side), SMALL)


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
    assert np.array_equal(decode_pixels(data[:2] + segment + data[2:], SMALL), decode_pixels(data, SMALL))


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
    assert largest_difference(decode_pixels(data, a_preprocessing()), reference) <= tolerance


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_frame_or_page_counts(kind: str) -> None:
    data = _frames(kind)
    with Image.open(io.BytesIO(data)) as picture:
        assert len(list(ImageSequence.Iterator(picture))) == 3
    assert mean_difference(decode_pixels(data, SMALL), decode_pixels(encode(CAT, "PNG"), SMALL)) < 6


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
    assert largest_difference(decode_pixels(data, SMALL), decode_pixels(encode(shown, "PNG"), SMALL)) <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_panorama_is_read_as_any_picture_is(kind: str) -> None:
    data = encode(photo(size=(3000, 60)), kind)
    cut = plan_cut(3000, 60, 1, a_preprocessing())
    assert cut.width == 50 * cut.height
    with Image.open(io.BytesIO(data)) as picture:
        reference = as_torchvision(picture, a_preprocessing())
    assert largest_difference(decode_pixels(data, a_preprocessing()), reference) <= 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(100_000, 1, bits=8, colour=2, rows=b"\0" * 300_001), id="PNG of one row"),
        pytest.param(encode(Image.new("RGB", (2, 65_000)), "JPEG"), id="JPEG of two columns"),
    ],
)
def test_a_line_of_pixels_does_not_fill_the_memory(data: bytes) -> None:
    assert not decode_pixels(data, a_preprocessing()).any()


def test_an_unfiltered_resize_is_the_same_for_all_formats() -> None:
    preprocessing = a_preprocessing(antialias=False)
    picture = photo(size=(640, 480))
    jpeg = decode_pixels(encode(picture, "JPEG", quality=100, subsampling=0), preprocessing)
    assert mean_difference(jpeg, decode_pixels(encode(picture, "PNG"), preprocessing)) < 0.5
    assert mean_difference(jpeg, decode_pixels(encode(picture, "PNG"), a_preprocessing())) > 1


@pytest.mark.parametrize("antialias", [True, False], ids=["antialiased", "plain"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize(
    "size",
    # In 240 x 371 and 371 x 240 the part that is computed is as long as the image before. 256 is resized to 256.
    [(451, 300), (300, 451), (61, 90), (1200, 1000), (256, 300), (300, 256), (240, 371), (371, 240), (900, 256)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_a_part_of_interleaved_colours_is_resized_as_whole_planes_are(
    size: tuple[int, int], interpolation: Interpolation, antialias: bool
) -> None:
    preprocessing = a_preprocessing(interpolation=interpolation, antialias=antialias)
    pixels = np.array(photo(size=size))
    cut = plan_cut(*size, 1, preprocessing)
    found = cut_out(pixels, cut, preprocessing)
    # Each colour alone has no layout but one.
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
    if size != (cut.width, cut.height):
        factors = (math.nextafter(cut.height / size[1], math.inf), math.nextafter(cut.width / size[0], math.inf))
        is_smooth = antialias and interpolation != "nearest"
        planes = interpolate(planes, scale_factor=factors, mode=interpolation, antialias=is_smooth)
    square = planes[0, :, cut.top : cut.top + cut.side, cut.left : cut.left + cut.side].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found, square)


def test_the_square_is_cut_out_with_interleaved_colours() -> None:
    preprocessing = a_preprocessing()
    pixels = np.array(photo())
    square = cut_out(pixels, plan_cut(451, 300, 1, preprocessing), preprocessing)
    assert square.strides[1:] == (3, 1), "so that it is copied by rows, which is ten times as fast as from planes"

"""What happens to each kind of file: docs/formats.md is the specification, and each of its rows is tried here."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from dueby_worker.images.decode import decode_image, decode_tolerantly
from dueby_worker.images.unreadable import UnreadableImage
from support.heics import HEIC
from support.jpegs import END, Jpeg, profile_chunk
from support.pictures import a_preprocessing, decode_pixels, encode, photo

PAGE = Path(__file__).parents[4] / "docs" / "formats.md"
SQUARE = a_preprocessing(resize_side=64, crop_side=64)
CAT = photo(size=(96, 64))
WHOLE = Jpeg(encode(CAT, "JPEG", quality=85))
PROGRESSIVE = Jpeg(encode(CAT, "JPEG", progressive=True))
RESTARTS = Jpeg(encode(CAT, "JPEG", restart_marker_blocks=2))
# A picture that is the same all over is coded in few bits, so that zeros in its place may decode, too.
PLAIN = Jpeg(encode(Image.linear_gradient("L").resize((1500, 1500)).convert("RGB"), "JPEG", optimize=True, quality=30))
JUNK = b"junk\xff\0and more"
PADDING = b"\0" * 500


def zeroed(jpeg: Jpeg) -> Jpeg:
    middle = (jpeg.scan + jpeg.end) // 2
    return jpeg.overwrite(middle, b"\0" * (jpeg.end - middle))


def start_of(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def without_a_scan(jpeg: Jpeg) -> Jpeg:
    return jpeg.cut(*jpeg.scans[2])


def of(*kinds: str) -> list[bytes]:
    return [encode(CAT, kind) for kind in kinds]


# Files of each row, besides the whole JPEG with the same pixels, if there is one.
WARNED: dict[str, dict[bytes, Jpeg]] = {
    "JPEG with junk between the parts of its header": {
        jpeg.insert(at, JUNK).data: jpeg
        for jpeg in (WHOLE, PROGRESSIVE, RESTARTS)
        for at in (jpeg.frame, jpeg.begin(0xDB), jpeg.begin(0xC4), jpeg.begin(0xDA))
    },
    "JPEG with padding before its end": {
        jpeg.insert(jpeg.end, padding).data: jpeg
        for jpeg in (WHOLE, PROGRESSIVE, RESTARTS)
        for padding in (PADDING, b"\0" * 12, b"\r\n" * 9, PADDING + b"\xff" * 9)
    },
    "JPEG with a broken colour profile": {
        WHOLE.insert(WHOLE.frame, chunks).data: WHOLE
        for chunks in (profile_chunk(1, 2), profile_chunk(0, 0), profile_chunk(1, 1) * 2)
    },
    "JPEG of an unknown version of JFIF": {WHOLE.with_jfif(b"\2\1").data: WHOLE},
    "JPEG, sequential, whose scan claims to be progressive": {
        jpeg.with_range(b"\0\0\1").data: jpeg for jpeg in (WHOLE, RESTARTS)
    },
    "JPEG with all of these faults": {
        WHOLE.insert(WHOLE.end, PADDING)
        .with_range(b"\0\0\0")
        .insert(WHOLE.frame, JUNK + profile_chunk(2, 9))
        .with_jfif(b"\x09\x09")
        .data: WHOLE
    },
}
READ: dict[str, list[bytes]] = {
    "JPEG, sequential": [WHOLE.data],
    "JPEG, progressive": [PROGRESSIVE.data],
    "JPEG with restart markers": [RESTARTS.data],
    "JPEG, grey": [encode(CAT.convert("L"), "JPEG")],
    "JPEG, CMYK": [encode(CAT.convert("CMYK"), "JPEG")],
    "JPEG with something after its end": [WHOLE.data + bytes(99), WHOLE.data + WHOLE.data],
    "JPEG with a colour profile anywhere in its header": [
        jpeg.insert(at, profile_chunk(1, 1)).data
        for jpeg in (WHOLE, PROGRESSIVE)
        for at in (jpeg.frame, jpeg.begin(0xC4), jpeg.begin(0xDA))
    ],
    "JPEG with bytes of 0xFF before a marker": [
        WHOLE.insert(WHOLE.frame, b"\xff" * 9).data,
        WHOLE.insert(WHOLE.end, b"\xff" * 9).data,
    ],
    "PNG, also of 16 bits, of a palette, or transparent": [
        *of("PNG"),
        encode(Image.fromarray(np.zeros((9, 9), np.uint16)), "PNG"),
        encode(CAT.quantize(9), "PNG"),
        encode(CAT.convert("RGBA"), "PNG"),
    ],
    "WebP": of("WEBP"),
    "AVIF, its first frame": of("AVIF"),
    "HEIC, its first image": [HEIC],
    "GIF, its first frame": [*of("GIF"), encode(CAT, "GIF", save_all=True, append_images=[CAT.rotate(9)])],
    "BMP, also if its name ends in .dib": of("BMP"),
    "TIFF, its first page": [*of("TIFF"), encode(CAT, "TIFF", save_all=True, append_images=[CAT.rotate(9)])],
}
REFUSED: dict[str, list[bytes]] = {
    "JPEG that ends too early": [start_of(jpeg.data) for jpeg in (WHOLE, PROGRESSIVE, RESTARTS)]
    + [start_of(jpeg.data) + END for jpeg in (WHOLE, RESTARTS)],
    "JPEG that lacks only its end marker": [WHOLE.data[:-2], WHOLE.data[:-2] + PADDING, PROGRESSIVE.data[:-2]],
    "JPEG whose data were cut out of the middle": [WHOLE.cut(WHOLE.scan + 100, WHOLE.scan + 900).data],
    "JPEG whose data were overwritten with zeros": [
        zeroed(PLAIN).data,
        # As long as the file was when space for it was reserved.
        zeroed(PLAIN).insert(PLAIN.end, PADDING * 99).data,
        zeroed(WHOLE).data,
    ],
    "JPEG that lacks a restart marker": [RESTARTS.cut(at := RESTARTS.data.index(b"\xff\xd0"), at + 2).data],
    "JPEG, progressive, that lacks a scan": [without_a_scan(PROGRESSIVE).data],
    "JPEG, progressive, whose scans contradict each other": [PROGRESSIVE.with_range(b"\0\0\0").data],
    "JPEG with junk before its header": [JUNK + WHOLE.data, WHOLE.insert(2, JUNK).data],
    "JPEG of 12 bits a channel": [WHOLE.overwrite(WHOLE.frame + 4, b"\x0c").data],
    "JPEG, lossless": [WHOLE.overwrite(WHOLE.frame + 1, b"\xc3").data],
    "JPEG with sampling factors that no common encoder writes": [WHOLE.overwrite(WHOLE.frame + 14, b"\x22").data],
    "PNG that ends too early": [start_of(data) for data in of("PNG")],
    "WebP that ends too early": [start_of(data) for data in of("WEBP")],
    "AVIF that ends too early": [start_of(data) for data in of("AVIF")],
    "HEIC that ends too early": [start_of(HEIC), HEIC[:100], HEIC[: HEIC.index(b"mdat") + 60]],
    "GIF that ends too early": [start_of(data) for data in of("GIF")],
    "BMP that ends too early": [start_of(data) for data in of("BMP")],
    "DIB that ends too early": [start_of(data) for data in of("DIB")],
    "TIFF that ends too early": [start_of(data) for data in of("TIFF")],
    "TIFF of floating-point numbers": [encode(Image.new("F", (9, 9)), "TIFF")],
    "JPEG XL, SVG, PDF, an archive, a web page": [
        *(b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a\xfa"),
        *(b"<svg xmlns=", b"%PDF-1.7", b"PK\3\4", b"<html>"),
    ],
    "an empty file": [b""],
}
HEADLESS = "DIB: a BMP without its file header"


# What tolerance makes no image of: Pillow doesn't open it, or its pixels have no meaning.
ALWAYS_REFUSED = (
    "JPEG with junk before its header",
    "JPEG of 12 bits a channel",
    "WebP that ends too early",
    "AVIF that ends too early",
    "HEIC that ends too early",
    "TIFF of floating-point numbers",
    "JPEG XL, SVG, PDF, an archive, a web page",
    "an empty file",
)


def page_rows(column: int) -> dict[str, str]:
    """What the page says of each kind, in its first column for strict jobs and its second one for tolerant ones."""
    found = re.findall(r"^\| (.+?) \| (read|warning|error) \| (read|warning|error) \|$", PAGE.read_text(), re.MULTILINE)
    return {row[0]: row[column] for row in found}


def shown_by_pillow(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.convert("RGB").tobytes()


def test_the_page_has_what_is_tried_here() -> None:
    tried = (
        dict.fromkeys(READ, "read") | dict.fromkeys((*WARNED, HEADLESS), "warning") | dict.fromkeys(REFUSED, "error")
    )
    assert page_rows(1) == tried
    assert page_rows(2) == {
        kind: "warning" if result == "error" and kind not in ALWAYS_REFUSED else result
        for kind, result in tried.items()
    }


@pytest.mark.parametrize("kind", READ)
def test_a_file_without_a_fault_is_read(kind: str) -> None:
    for data in READ[kind]:
        assert decode_pixels(data, SQUARE).shape == (64, 64, 3)


@pytest.mark.parametrize("kind", WARNED)
def test_a_jpeg_whose_fault_costs_no_pixel_is_the_whole_picture(kind: str) -> None:
    for data, whole in WARNED[kind].items():
        picture = decode_image(data, SQUARE)
        assert picture.warning is not None
        assert re.fullmatch(r"It is whole, although [^.]+\.", picture.warning)
        np.testing.assert_array_equal(picture.pixels, decode_pixels(whole.data, SQUARE))
        assert shown_by_pillow(data) == shown_by_pillow(whole.data)


def test_the_warning_names_every_fault() -> None:
    ((data, _),) = WARNED["JPEG with all of these faults"].items()
    warning = decode_image(data, SQUARE).warning
    assert warning == (
        "It is whole, although it is of an unknown version of JFIF and junk stands between the parts of its header and "
        "its colour profile is broken and the header of its scan makes no sense and there is padding before its end."
    )


def test_a_bitmap_without_a_file_header_is_read_with_a_warning() -> None:
    picture = decode_image(encode(CAT, "DIB"), SQUARE)
    assert picture.warning == "It is whole, although it is a bitmap without a file header."
    np.testing.assert_array_equal(picture.pixels, decode_pixels(encode(CAT, "BMP"), SQUARE))


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_is_no_whole_picture_is_refused(kind: str) -> None:
    for data in REFUSED[kind]:
        with pytest.raises(UnreadableImage, match=r"^[A-Z].*\.$"):
            decode_image(data, SQUARE)


def test_a_scan_of_each_component_is_repaired_too() -> None:
    grey = Jpeg(encode(CAT.convert("L"), "JPEG"))
    repaired = decode_image(grey.with_range(b"\1\5\0").data, SQUARE)
    np.testing.assert_array_equal(repaired.pixels, decode_pixels(grey.data, SQUARE))


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("JPEG of 12 bits a channel", "It is a JPEG of 12 bits a channel; those of 8 are read."),
        ("JPEG, lossless", "It is a lossless JPEG, which is not read."),
    ],
)
def test_what_is_not_read_is_not_called_damaged(kind: str, sentence: str) -> None:
    for data in REFUSED[kind]:
        with pytest.raises(UnreadableImage) as caught:
            decode_image(data, SQUARE)
        assert str(caught.value) == sentence


@pytest.mark.parametrize("kind", [kind for kind in REFUSED if kind not in ALWAYS_REFUSED])
def test_a_tolerant_job_has_the_pixels_that_pillow_shows_of_a_damaged_file(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for data in REFUSED[kind]:
        picture = decode_tolerantly(data, SQUARE)
        with pytest.raises(UnreadableImage) as strictly:
            decode_image(data, SQUARE)
        assert picture.warning == f"What it lacks is filled up. Strict decoding says: {strictly.value}"
        with monkeypatch.context() as patch:
            patch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
            with Image.open(io.BytesIO(data)) as shown:
                whole = encode(shown.convert("RGB"), "PNG")
        np.testing.assert_array_equal(picture.pixels, decode_pixels(whole, SQUARE))


@pytest.mark.parametrize("kind", ALWAYS_REFUSED)
def test_a_tolerant_job_has_the_same_error_for_what_is_no_image(kind: str) -> None:
    for data in REFUSED[kind]:
        with pytest.raises(UnreadableImage) as strictly:
            decode_image(data, SQUARE)
        with pytest.raises(UnreadableImage) as tolerantly:
            decode_tolerantly(data, SQUARE)
        assert str(tolerantly.value) == str(strictly.value)


@pytest.mark.parametrize("kind", [*READ, *WARNED, HEADLESS])
def test_a_tolerant_job_decodes_whole_files_as_a_strict_one(kind: str) -> None:
    for data in READ.get(kind) or WARNED.get(kind) or of("DIB"):
        strictly, tolerantly = decode_image(data, SQUARE), decode_tolerantly(data, SQUARE)
        assert tolerantly.warning == strictly.warning
        np.testing.assert_array_equal(tolerantly.pixels, strictly.pixels)

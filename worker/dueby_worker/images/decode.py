"""Decode the bytes of an image file to the square of pixels that a model sees, or say in one sentence why not.

The order of the checks keeps a worker alive: first the kind of file by its first bytes, then the size in its header
against the limit, and only then decoding. (A file of 380 bytes that claims 60000 x 60000 pixels took torchvision 37 s
and 10.6 GB, *and succeeded*.) Whatever a decoder raises on damaged bytes is that image's error, never the worker's.

A file that is faulty but has every pixel is read, with a warning that says what is wrong (docs/formats.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from dueby_api.errors import first_line
from dueby_api.step_config import MAX_PIXELS
from dueby_worker.images import jpeg, jpeg_header, pillow_formats
from dueby_worker.images.geometry import cut_out, is_panorama, plan_cut, turn
from dueby_worker.images.picture import Picture
from dueby_worker.images.unreadable import BeyondLimit, UnreadableImage
from dueby_worker.models.preprocessing import Preprocessing

# First bytes of the formats that Pillow reads here. If Pillow still doesn't know such a file, it is damaged.
_KNOWN = (b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")
# The same of ISO media files: the brand, which follows `ftyp`.
_KNOWN_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1")
# First bytes of what is often found among images.
_LOOKS_LIKE = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"%PDF", "a PDF"),
    (b"\x7fELF", "a program"),
    (b"PAR1", "a Parquet file"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "XML"),
    (b"{", "JSON"),
    (b"8bps", "a Photoshop file"),
    (b"\0\0\0\x0cjxl ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def decode_image(data: bytes, preprocessing: Preprocessing, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Return the square that a model sees. Raise UnreadableImage, with one sentence, if that is not possible."""
    if not data:
        raise UnreadableImage("The file is empty.")
    decode = _decode_jpeg if data.startswith(jpeg_header.MAGIC) else _decode_other
    return _in_one_sentence(lambda: _in_color(data, decode(data, preprocessing, max_pixels), preprocessing))


def decode_tolerantly(data: bytes, preprocessing: Preprocessing, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode as decode_image does, or else what Pillow makes of a damaged file, with a warning that says so.

    Pillow is told to be tolerant for the whole process, so that no other thread may decode meanwhile.
    """
    try:
        return decode_image(data, preprocessing, max_pixels=max_pixels)
    except BeyondLimit:
        raise
    except UnreadableImage as error:
        refusal = error
    try:
        with pillow_formats.tolerance():
            picture = _in_one_sentence(
                lambda: _in_color(data, _decode_other(data, preprocessing, max_pixels, may_be_jpeg=True), preprocessing)
            )
    except BeyondLimit:
        raise
    except UnreadableImage:
        raise refusal from None
    return Picture(pixels=picture.pixels, warning=f"What it lacks is filled up. Strict decoding says: {refusal}")


def _in_color(data: bytes, picture: Picture, preprocessing: Preprocessing) -> Picture:
    """Return the finished square, in sRGB if that is wanted. The rest of the picture need not be converted."""
    if preprocessing.converts:
        try:
            picture = replace(picture, pixels=pillow_formats.in_srgb(picture.pixels, data))
        except pillow_formats.BrokenProfile:
            picture = replace(picture, warning=picture.warning or _warning(["its colour profile is broken"]))
    return finished(picture, preprocessing)


def finished(picture: Picture, preprocessing: Preprocessing) -> Picture:
    """Return the square after what some models want done to it at the end."""
    return (
        replace(picture, pixels=pillow_formats.recompressed(picture.pixels)) if preprocessing.recompresses else picture
    )


def _in_one_sentence(decode: Callable[[], Picture]) -> Picture:
    """Return what is decoded. Raise UnreadableImage, with one sentence, whatever the decoder raises."""
    try:
        return decode()
    except UnreadableImage:
        raise
    except MemoryError:
        raise BeyondLimit("There is not enough memory to decode it.") from None
    # Decoders raise anything on damaged bytes: SyntaxError, IndexError, struct.error and more have been seen.
    except Exception as error:
        raise UnreadableImage(f"It is damaged or truncated: {first_line(error)[:200]}.") from error


def _decode_jpeg(data: bytes, preprocessing: Preprocessing, max_pixels: int) -> Picture:
    header = jpeg_header.read_header(data)
    _require_size(header.width, header.height, header.width * header.height, max_pixels)
    cut = plan_cut(header.width, header.height, header.orientation, preprocessing)
    pixels, extent, faults = jpeg.decode(data, header, cut, may_reduce=preprocessing.averages)
    if is_panorama(cut):
        square = pillow_formats.cut_square(pillow_formats.from_pixels(pixels), cut, preprocessing, extent)
    else:
        square = cut_out(pixels, cut, preprocessing, extent)
    return Picture(pixels=turn(square, header.orientation), warning=_warning(faults))


def _decode_other(data: bytes, preprocessing: Preprocessing, max_pixels: int, *, may_be_jpeg: bool = False) -> Picture:
    try:
        with pillow_formats.open_picture(data, may_be_jpeg=may_be_jpeg) as picture:
            _require_size(picture.width, picture.height, pillow_formats.stored_pixels(picture), max_pixels)
            orientation = pillow_formats.orientation_of(picture)
            cut = plan_cut(picture.width, picture.height, orientation, preprocessing)
            faults = pillow_formats.faults_of(picture)
            coloured = pillow_formats.to_rgb(picture, whitens=preprocessing.whitens)
            square = pillow_formats.cut_square(coloured, cut, preprocessing)
            return Picture(pixels=turn(square, orientation), warning=_warning(faults))
    except pillow_formats.UnidentifiedImageError:
        raise UnreadableImage(_describe(data)) from None


def _warning(faults: Sequence[str]) -> str | None:
    return f"It is whole, although {' and '.join(faults)}." if faults else None


def _require_size(width: int, height: int, pixels: int, max_pixels: int) -> None:
    """Raise UnreadableImage if the image has no pixels, or if decoding would hold more than `max_pixels` at once."""
    if width < 1 or height < 1:
        raise UnreadableImage(f"Its size is {width} x {height} pixels.")
    if pixels > max_pixels:
        tiles = "" if pixels == width * height else f" in tiles of {pixels:,}"
        raise BeyondLimit(f"It has {width} x {height} pixels{tiles}, more than the limit of {max_pixels:,}.")


def _describe(data: bytes) -> str:
    """Return a sentence about a file that Pillow doesn't recognise, which names its likely format."""
    if data.startswith(_KNOWN) or (data[4:8] == b"ftyp" and data[8:12] in _KNOWN_BRANDS):
        return "It is damaged or truncated: its header makes no sense."
    start = data[:512].lstrip(_BYTE_ORDER_MARK + b" \t\r\n").lower()
    kind = next((kind for magic, kind in _LOOKS_LIKE if start.startswith(magic.lower())), None)
    return f"It is not an image of a known format{f': it looks like {kind}' if kind else ''}."

"""Image files for tests: real photos in every format and bit depth, and damaged files."""

import io
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dueby_worker.images.decode import decode_image
from dueby_worker.models.preprocessing import Interpolation, Pixels, Preprocessing

ORIENTATION = 0x0112


def a_preprocessing(
    *,
    resize_side: int = 256,
    crop_side: int = 224,
    interpolation: Interpolation = "bilinear",
    antialias: bool = True,
) -> Preprocessing:
    """Return a preprocessing with EfficientNet's geometry and no normalisation."""
    return Preprocessing(
        resize_side=resize_side,
        crop_side=crop_side,
        interpolation=interpolation,
        antialias=antialias,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


SMALL = a_preprocessing(resize_side=36, crop_side=32)


@cache
def photo(name: str = "chelsea", *, size: tuple[int, int] | None = None) -> Image.Image:
    """Return one of scikit-image's photos. chelsea is a cat of 451 x 300 pixels, in colour."""
    from skimage import data

    picture = Image.fromarray(getattr(data, name)()).convert("RGB")
    return picture.resize(size, Image.Resampling.LANCZOS) if size else picture


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the picture as a file of this kind (PNG, JPEG, ...)."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    """Return EXIF data that holds only this orientation."""
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def jpeg_that_claims(width: int, height: int, *, progressive: bool = False) -> bytes:
    """Return a small JPEG whose header claims that it is this large."""
    data = bytearray(encode(Image.new("RGB", (16, 16)), "JPEG", progressive=progressive))
    at = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def png(width: int, height: int, *, bits: int, colour: int, rows: bytes) -> bytes:
    """Return a PNG of a depth that Pillow can't write, or with less data than it claims."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png_of_16_bits(pixels: NDArray[np.uint16]) -> bytes:
    """Return a PNG of (height, width, channels): 1 is grey, 2 grey with alpha, 3 RGB, 4 RGB with alpha."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return png(width, height, bits=16, colour={1: 0, 2: 4, 3: 2, 4: 6}[channels], rows=rows)


def tiff_with_a_tile_of(side: int) -> bytes:
    """Return a TIFF of 16 x 16 pixels in one tile of side x side."""
    tags = ((256, 3, 16), (257, 3, 16), (258, 3, 8), (259, 3, 5), (262, 3, 1), (277, 3, 1))
    tiles = ((322, 4, side), (323, 4, side), (324, 4, 8), (325, 4, 10))
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in (*tags, *tiles))
    directory = struct.pack("<H", len(tags) + len(tiles)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 18) + b"\0" * 10 + directory


def decode_pixels(data: bytes, preprocessing: Preprocessing, **limits: int) -> Pixels:
    """Return the square that a model sees, of a file that has no fault."""
    picture = decode_image(data, preprocessing, **limits)
    assert picture.warning is None
    return picture.pixels


def write_photos(folder: Path, count: int, *, size: tuple[int, int] = (64, 48), kind: str = "jpg") -> list[Path]:
    """Write different photos, 00000.jpg and so on, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    cat = photo(size=size)
    paths = [folder / f"{number:05d}.{kind}" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(np.asarray(cat) + np.uint8(number % 256)).save(path)
    return paths

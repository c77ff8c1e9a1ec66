"""Every format but JPEG, by Pillow: PNG, WebP, GIF, BMP and TIFF.

Only these formats' readers are let at the data: Pillow has others that start programs or have no limits. Its own limit
on pixels warns, lets 144 million through and is one for the whole process, so it is off and the caller's holds. What
Pillow has decoded it also resizes, within its own memory: handing a large picture over takes three copies of it.
Pillow is imported here and nowhere else.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, TiffImagePlugin
from PIL import UnidentifiedImageError as UnidentifiedImageError

from dueby_worker.images.geometry import Cut, Extent, Pixels, cut_out
from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.models.preprocessing import Preprocessing

_FORMATS = ("PNG", "WEBP", "GIF", "BMP", "TIFF")
_ORIENTATION = 0x0112
# Sixteen bits of grey. Pillow's own conversion clips them: everything above 255 turns white.
_DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")
# Numbers without a range that black and white would be at, and a colour space that needs a profile.
_NO_MEANING = {"I": "32-bit integer pixels", "F": "floating-point pixels", "LAB": "L*a*b* pixels"}
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
_QUIET = r"PIL\."

Image.MAX_IMAGE_PIXELS = None


@contextmanager
def open_picture(data: bytes) -> Iterator[Image.Image]:
    """The picture, of which only the header has been read."""
    _hush()
    with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
        yield picture


def stored_pixels(picture: Image.Image) -> int:
    """Pixels that decoding has to hold at once: a TIFF's tile may be larger than the picture."""
    pixels = picture.width * picture.height
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        tile = (picture.tag_v2.get(tag, 1) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH))
        pixels = max(pixels, int(np.prod([int(side) for side in tile])))
    return pixels


def orientation_of(picture: Image.Image) -> int:
    """As in EXIF, 1 to 8; 1 where it isn't said or makes no sense, and for TIFF, which Pillow turns itself."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return 1
    value = picture.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def to_rgb(picture: Image.Image) -> Image.Image:
    """The picture in 8-bit RGB; transparency is dropped, as torchvision's loader does."""
    if picture.mode in _NO_MEANING:
        raise UnreadableImage(f"It has {_NO_MEANING[picture.mode]}, which have no agreed black and white.")
    if picture.mode in _DEEP_GREY:
        grey = np.asarray(picture).astype(np.uint32)
        picture = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    return picture.convert("RGB")


def from_pixels(pixels: Pixels) -> Image.Image:
    """A picture that something else has decoded."""
    return Image.fromarray(pixels)


def cut_square(picture: Image.Image, cut: Cut, preprocessing: Preprocessing, extent: Extent | None = None) -> Pixels:
    """As geometry.cut_out, but only the square is computed: of a long row of pixels the rest would fill the memory."""
    if not preprocessing.antialias:  # Pillow's filters always are
        return cut_out(np.array(picture), cut, preprocessing, extent)
    wide, high = extent or picture.size
    across, down = wide / cut.width, high / cut.height
    box = (cut.left * across, cut.top * down, (cut.left + cut.side) * across, (cut.top + cut.side) * down)
    return np.array(picture.resize((cut.side, cut.side), _FILTERS[preprocessing.interpolation], box))


def _hush() -> None:
    """Pillow's warnings are about single files and go nowhere; set here, since whoever saves and restores the
    warning filters around us (pytest does) would lose one that was set on import."""
    if not any(
        action == "ignore" and module and module.pattern == _QUIET for action, _, _, module, _ in warnings.filters
    ):
        warnings.filterwarnings("ignore", module=_QUIET)

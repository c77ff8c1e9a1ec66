"""Decode every format but JPEG with Pillow: PNG, WebP, AVIF, HEIC, GIF, BMP, DIB and TIFF; what is damaged, JPEG too.

Only the readers of these formats may touch the data, because others of Pillow's start programs or have no limits.
Pillow's own limit on pixels is off: it only warns, lets 144 million pixels through, and is one for the whole process.
The caller checks its limit first. What Pillow has decoded it also resizes, within its own memory: handing a large image
to another library takes three copies. Pillow is imported only here.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from math import prod

import numpy as np
from PIL import Image, ImageCms, ImageFile, TiffImagePlugin
from PIL import UnidentifiedImageError as UnidentifiedImageError

from dueby_worker.images.geometry import Crop, Extent, cut_out
from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.models.preprocessing import Pixels, Preprocessing

_FORMATS = ("PNG", "WEBP", "AVIF", "GIF", "BMP", "DIB", "TIFF")
_WITH_JPEG = ("JPEG", *_FORMATS)
# What is at the beginning of every ISO media file, and so of AVIF and HEIC.
_MEDIA = b"ftyp"
# A bitmap as it is in memory and on the clipboard of Windows. Files named .dib are this or BMP.
_HEADLESS = "DIB"
# The tag of the orientation in EXIF.
_ORIENTATION = 0x0112
# Modes of 16-bit grey. Pillow's own conversion to 8 bits clips them: everything above 255 turns white.
_DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")
# Modes whose numbers have no defined black and white, and one that needs a colour profile.
_NO_MEANING = {"I": "32-bit integer pixels", "F": "floating-point pixels", "LAB": "L*a*b* pixels"}
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
_PILLOW_MODULES = r"PIL\."

# Cameras write the same few profiles into all their photos, and reading one takes longer than using it.
_PROFILES = 16

Image.MAX_IMAGE_PIXELS = None


class BrokenProfile(Exception):
    """A colour profile can't be read."""


@contextmanager
def open_picture(data: bytes, *, may_be_jpeg: bool = False) -> Iterator[Image.Image]:
    """Open the image and read its header only. Raise UnidentifiedImageError if its format is not known."""
    _ignore_warnings()
    formats = _WITH_JPEG if may_be_jpeg else _FORMATS
    if data[4:8] == _MEDIA:
        formats = (*formats, _heic())
    with Image.open(io.BytesIO(data), formats=formats) as picture:
        yield picture


@cache
def _heic() -> str:
    """Make Pillow read HEIC, the first image of a file alone, and return what it calls that format.

    The library brings its own threads, of which a worker has as many as it was planned with.
    """
    import pi_heif  # only where such a file is met

    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    return "HEIF"


@contextmanager
def tolerance() -> Iterator[None]:
    """Let Pillow fill up what is missing of an image, in this whole process: no other thread may decode meanwhile."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def recompressed(pixels: Pixels) -> Pixels:
    """Return the image as it is after Pillow has written it as a JPEG of its usual quality."""
    _ignore_warnings()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG")
    with Image.open(file, formats=("JPEG",)) as picture:
        return np.asarray(picture.convert("RGB"))


def stored_pixels(picture: Image.Image) -> int:
    """Return how many pixels decoding has to hold at once: a TIFF's tile may be larger than the image."""
    pixels = picture.width * picture.height
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        tile = (picture.tag_v2.get(tag, 1) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH))
        # As integers of Python: others wrap around at 2**64, and the product of two sides may come to nothing then.
        pixels = max(pixels, prod(int(side) for side in tile))
    return pixels


def faults_of(picture: Image.Image) -> tuple[str, ...]:
    """Return what is wrong in the file beside its pixels, each as the end of "It is whole, although "."""
    return ("it is a bitmap without a file header",) if picture.format == _HEADLESS else ()


def orientation_of(picture: Image.Image) -> int:
    """Return the orientation in EXIF, 1 to 8; 1 if it is missing or makes no sense."""
    # Pillow turns TIFF itself.
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return 1
    value = picture.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def to_rgb(picture: Image.Image, *, whitens: bool) -> Image.Image:
    """Return the image in 8-bit RGB.

    Transparent pixels are put on white if it `whitens`, as transformers does it. Otherwise transparency is dropped, as
    torchvision's loader does it.
    """
    if picture.mode in _NO_MEANING:
        raise UnreadableImage(f"It has {_NO_MEANING[picture.mode]}, which have no agreed black and white.")
    if picture.mode in _DEEP_GREY:
        grey = np.asarray(picture).astype(np.uint32)
        picture = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    if whitens and picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        return white
    return picture.convert("RGB")


def in_srgb(pixels: Pixels, data: bytes) -> Pixels:
    """Return an image in sRGB by the colour profile in its file; as it is if there is none, or one of grey or inks.

    Raise BrokenProfile if the profile can't be read.
    """
    try:
        with open_picture(data, may_be_jpeg=True) as picture:
            profile = picture.info.get("icc_profile")
    except (OSError, SyntaxError, ValueError) as error:  # what is before it in a file that others read
        raise BrokenProfile from error
    if not profile or (transform := _to_srgb(profile)) is None:
        return pixels
    return np.array(transform.apply(Image.fromarray(pixels)))


@lru_cache(_PROFILES)
def _to_srgb(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """Return the conversion from a profile's colours, which threads may share; None if it isn't one of RGB."""
    try:
        colors = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if colors.profile.xcolor_space.strip() != "RGB":
            return None
        return ImageCms.buildTransform(colors, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise BrokenProfile from error


def from_pixels(pixels: Pixels) -> Image.Image:
    """Return an image that another library has decoded."""
    return Image.fromarray(pixels)


def cut_square(picture: Image.Image, cut: Crop, preprocessing: Preprocessing, extent: Extent | None = None) -> Pixels:
    """Cut as geometry.cut_out does, but compute only the square: the rest of a panorama would fill the memory."""
    # Pillow's filters always antialias. The others are computed for the square alone where that matters.
    if not preprocessing.averages:
        return cut_out(np.array(picture), cut, preprocessing, extent)
    wide, high = extent or picture.size
    across, down = wide / cut.width, high / cut.height
    box = (cut.left * across, cut.top * down, (cut.left + cut.side) * across, (cut.top + cut.side) * down)
    return np.array(picture.resize((cut.side, cut.side), _FILTERS[preprocessing.interpolation], box))


def _ignore_warnings() -> None:
    """Ignore Pillow's warnings, which are about single files.

    The filter is checked at each call and not set at import, because code that saves and restores the warning filters
    around a call, as pytest does, would lose it.
    """
    if not any(
        action == "ignore" and module and module.pattern == _PILLOW_MODULES
        for action, _, _, module, _ in warnings.filters
    ):
        warnings.filterwarnings("ignore", module=_PILLOW_MODULES)

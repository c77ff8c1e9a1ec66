"""Photos to classify: views of eight real ones that scikit-image ships, the same files on every machine.

A real folder has thousands of photos and a repository should carry none. Each view is a crop of a real photo, mirrored
or not, brighter or darker, drawn from its own number and saved as cameras and catalogues do: 640x480, quality 90, some
65 KB. Nothing is downloaded, and the photos are read from the installed package by path.
"""

import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageEnhance

SIZE = (640, 480)
QUALITY = 90
# In the public domain or free to use: the docstrings of skimage.data say whose they are.
ORIGINALS = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
_MIN_CROP = 0.6
_BRIGHTNESS = (0.7, 1.3)


def write_photos(folder: Path, count: int) -> list[Path]:
    """`count` photos in the folder; the n-th is the same whatever the count."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # Pillow works without the interpreter's lock
        originals = list(pool.map(_open, ORIGINALS))
        return list(pool.map(lambda number: _write(folder, number, originals), range(count)))


def _open(name: str) -> Image.Image:
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise SystemExit("scikit-image isn't installed here; pip install 'dueby[bench]' brings it")
    return Image.open(Path(package.origin).parent / "data" / name).convert("RGB")


def _write(folder: Path, number: int, originals: Sequence[Image.Image]) -> Path:
    path = folder / f"{number:06d}.jpg"
    _view(originals[number % len(originals)], random.Random(number)).save(path, quality=QUALITY)
    return path


def _view(photo: Image.Image, draw: random.Random) -> Image.Image:
    """A crop of the photo in the shape of SIZE."""
    width, height = SIZE
    scale = draw.uniform(_MIN_CROP, 1.0) * min(photo.width / width, photo.height / height)
    left, top = draw.uniform(0, photo.width - scale * width), draw.uniform(0, photo.height - scale * height)
    view = photo.resize(SIZE, Image.Resampling.BICUBIC, (left, top, left + scale * width, top + scale * height))
    if draw.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return ImageEnhance.Brightness(view).enhance(draw.uniform(*_BRIGHTNESS))

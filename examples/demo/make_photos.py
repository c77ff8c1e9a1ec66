"""Writes the demo's photos: many views of a few real photos that scikit-image ships, and two files that aren't photos.

A real job has thousands of photos, and a repository should carry none. So every view is a crop of a real photo,
mirrored or not and scaled, drawn from a fixed seed: the same files on every machine. The photos are read from the
installed package by path: importing it would take a second, and nothing is downloaded. The two damaged files are there
because every real folder has some: each becomes a row with an error, and the job goes on.

    python examples/demo/make_photos.py FOLDER [COUNT]
"""

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path

from PIL import Image

# In the public domain or CC0, the motorcycle from the Middlebury stereo set: the docstrings of skimage.data say whose.
PHOTOS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
COUNT = 2400
DAMAGED = 2
MAX_SIDE = (480, 800)
MIN_CROP = 0.7


def photo_folder() -> Path:
    """Where the installed scikit-image keeps its photos."""
    package = find_spec("skimage")
    if package is None or package.origin is None:
        sys.exit("make_photos: scikit-image isn't installed here; `make install` installs it")
    return Path(package.origin).parent / "data"


def view_of(photo: Image.Image, draw: random.Random) -> Image.Image:
    """A crop of at least 0.7 of each side, mirrored every other time, scaled to what a web catalogue holds."""
    share = draw.uniform(MIN_CROP, 1.0)
    width, height = round(photo.width * share), round(photo.height * share)
    left, top = draw.randint(0, photo.width - width), draw.randint(0, photo.height - height)
    scale = draw.randint(*MAX_SIDE) / max(width, height)
    view = photo.resize(
        (round(width * scale), round(height * scale)),
        resample=Image.Resampling.BICUBIC,
        box=(left, top, left + width, top + height),
    )
    return view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if draw.random() < 0.5 else view


def write_views(folder: Path, photo: Path, count: int) -> None:
    """The first `count` views of one photo; the n-th is the same whatever the count."""
    draw = random.Random(photo.stem)
    whole = Image.open(photo).convert("RGB")
    for number in range(count):
        view_of(whole, draw).save(folder / f"{photo.stem}-{number:04d}.jpg", quality=88)


def damage(folder: Path) -> None:
    """Two files with a photo's name that can't be read: one cut off, one never a photo."""
    whole = (folder / "chelsea-0000.jpg").read_bytes()
    (folder / "damaged-cut-off.jpg").write_bytes(whole[: len(whole) // 3])
    (folder / "damaged-not-a-photo.jpg").write_text("This file has the name of a photo and is none.\n")


def main() -> None:
    """Write the folder named on the command line."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else COUNT
    folder.mkdir(parents=True, exist_ok=True)
    photos = photo_folder()
    views = [(count - DAMAGED + index) // len(PHOTOS) for index in range(len(PHOTOS))]
    with ThreadPoolExecutor() as pool:  # Pillow works without the interpreter's lock
        list(pool.map(write_views, repeat(folder), (photos / name for name in PHOTOS), views))
    damage(folder)
    print(f"{count} files in {folder}: views of {len(PHOTOS)} real photos, and {DAMAGED} damaged files")


if __name__ == "__main__":
    main()

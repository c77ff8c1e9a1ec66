"""Write the demo's photos: many views of the few real photos in the scikit-image package, and two damaged files.

A real job has thousands of photos, but a repository should not contain any. So each view is a crop of a real photo,
scaled and sometimes mirrored, at random from a fixed seed. Every machine gets the same files without a download. The
photos are read from the installed package by their path, because importing it takes a second. The damaged files are
there because every real folder has some: each becomes a row with an error, and the job continues.

    python examples/demo/make_photos.py FOLDER [COUNT]
"""

import argparse
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path

from PIL import Image

# They are in the public domain or CC0, the motorcycle is from the Middlebury stereo set; skimage.data documents each.
PHOTOS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
COUNT = 2400
DAMAGED = 2
# The longer side in pixels, as in a web catalogue.
MAX_SIDE = (480, 800)
# A crop of less than this part of a side might not show what the photo is about.
MIN_CROP = 0.7


def photo_folder() -> Path:
    """Return the folder of the photos in the installed scikit-image."""
    package = find_spec("skimage")
    if package is None or package.origin is None:
        sys.exit("make_photos: scikit-image is not installed; install it with: make install")
    return Path(package.origin).parent / "data"


def view_of(photo: Image.Image, draw: random.Random) -> Image.Image:
    """Return a random crop of the photo, scaled, and mirrored every other time."""
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
    """Write the first `count` views of one photo; the n-th view doesn't depend on the count."""
    draw = random.Random(photo.stem)
    whole = Image.open(photo).convert("RGB")
    for number in range(count):
        view_of(whole, draw).save(folder / f"{photo.stem}-{number:04d}.jpg", quality=88)


def damage(folder: Path) -> None:
    """Write two files with a photo's name that can't be decoded: a photo that is cut off, and a text."""
    whole = (folder / "chelsea-0000.jpg").read_bytes()
    (folder / "damaged-cut-off.jpg").write_bytes(whole[: len(whole) // 3])
    (folder / "damaged-not-a-photo.jpg").write_text("This file has the name of a photo and is none.\n")


def main() -> None:
    """Write the photos into the folder that is named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder for the photos; it is created")
    parser.add_argument(
        "count", type=int, nargs="?", default=COUNT, metavar="COUNT", help="files (default: %(default)s)"
    )
    parsed = parser.parse_args()
    folder, count = parsed.folder, parsed.count
    if count < DAMAGED + len(PHOTOS):
        parser.error(f"COUNT must be at least {DAMAGED + len(PHOTOS)}: a view of each photo, and the damaged files")
    folder.mkdir(parents=True, exist_ok=True)
    photos = photo_folder()
    views = [(count - DAMAGED + index) // len(PHOTOS) for index in range(len(PHOTOS))]
    # Threads are enough: Pillow releases the interpreter's lock while it works.
    with ThreadPoolExecutor() as pool:
        list(pool.map(write_views, repeat(folder), (photos / name for name in PHOTOS), views))
    damage(folder)
    print(f"{count} files in {folder}: views of {len(PHOTOS)} real photos, and {DAMAGED} damaged files")


if __name__ == "__main__":
    main()

"""What it costs and gains to keep no spare pixels when a large JPEG is reduced while it is decoded.

    python benchmarks/spare_pixels.py           # two minutes; writes results/spare_pixels.json

DueBy reduces a JPEG no further than to twice the pixels that the resize needs in each direction. Others keep no more
than are needed: simplejpeg and OpenCV when they are told the least size, and Pillow's draft mode. Each way decodes the
same photos, views of real ones, enlarged and with the grain of a camera, and EfficientNet-Lite0 with its real weights
classifies them. The table says how often its best class is the one that it gives the photo decoded in full, and the
images a second by CPU time, over DueBy's. The ways take turns.
"""

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import simplejpeg
import torch
from PIL import Image

from decoding import GRAIN
from dueby_api.inference_job import Model
from dueby_worker.engines.network import Network
from dueby_worker.images.decode import decode_image
from dueby_worker.images.geometry import cut_out, plan_cut, turn
from dueby_worker.images.jpeg_header import read_header
from dueby_worker.models.loading import LoadedModel, load_model
from dueby_worker.models.preprocessing import Pixels, Preprocessing
from photos import QUALITY, write_photos
from pipeline_table import machine

RESULT = Path(__file__).parent / "results" / "spare_pixels.json"
SIZES = ((1024, 768), (1632, 1224), (4000, 3000))
PHOTOS = (100, 60, 12)
BATCH = 20
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def in_full(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """Decode every pixel, and resize once."""
    return reduced(data, preprocessing, spare=None)


def by_dueby(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """Decode as workers do."""
    return decode_image(data, preprocessing).pixels


def without_spare(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """Decode as workers do, but keep no spare pixels."""
    return reduced(data, preprocessing, spare=1)


def by_draft(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """Decode with Pillow's draft mode, resize and crop as torchvision's presets do."""
    picture: Image.Image = Image.open(io.BytesIO(data))
    cut = plan_cut(picture.width, picture.height, 1, preprocessing)
    picture.draft("RGB", (cut.width, cut.height))
    resized = picture.convert("RGB").resize((cut.width, cut.height), FILTERS[preprocessing.interpolation])
    return np.asarray(resized.crop((cut.left, cut.top, cut.left + cut.side, cut.top + cut.side)))


def reduced(data: bytes, preprocessing: Preprocessing, *, spare: int | None) -> Pixels:
    """Decode to at least so many times the pixels that the cut needs, or to all of them, and resize the rest."""
    header = read_header(data)
    cut = plan_cut(header.width, header.height, header.orientation, preprocessing)
    least = (header.width, header.height) if spare is None else (spare * cut.width, spare * cut.height)
    wide, high = map(min, least, (header.width, header.height))
    pixels = simplejpeg.decode_jpeg(data, "RGB", min_width=wide, min_height=high, min_factor=2, strict=True)
    eighths = round(8 * pixels.shape[1] / header.width)
    extent = header.width * eighths / 8, header.height * eighths / 8
    return turn(cut_out(pixels, cut, preprocessing, extent), header.orientation)


WAYS: Mapping[str, Callable[[bytes, Preprocessing], Pixels]] = {
    "in full": in_full,
    "DueBy": by_dueby,
    "no spare pixels": without_spare,
    "Pillow's draft mode": by_draft,
}


def main() -> None:
    """Measure, write the result down, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the photos, for a quick look")
    share = parser.parse_args().share
    torch.set_num_threads(1)
    loaded = load_model(Model(name="efficientnet_lite0"))
    rows = [measure(size, max(1, round(share * count)), loaded) for size, count in zip(SIZES, PHOTOS, strict=True)]
    RESULT.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")
    print("| photos | way | images/s | over DueBy | the best class of the photo in full |")
    print("| --- | --- | ---: | ---: | ---: |")
    for row in rows:
        for name, way in row["ways"].items():
            rate, over = way["imagesPerSecond"], way["imagesPerSecond"] / row["ways"]["DueBy"]["imagesPerSecond"]
            print(f"| {row['photos']} of {row['size']} | {name} | {rate:.0f} | {over:.2f} | {way['same']:.1%} |")


def measure(size: tuple[int, int], count: int, loaded: LoadedModel) -> dict[str, Any]:
    """Return what each way makes of so many photos of this size."""
    network = Network(loaded.module, loaded.preprocessing).eval()
    spent = dict.fromkeys(WAYS, 0.0)
    same = dict.fromkeys(WAYS, 0)
    squares: dict[str, list[Pixels]] = {name: [] for name in WAYS}
    for number, data in enumerate(photos_of(size, count)):
        names = list(WAYS)[number % len(WAYS) :] + list(WAYS)[: number % len(WAYS)]
        for name in names:
            began = time.process_time()
            squares[name].append(WAYS[name](data, loaded.preprocessing))
            spent[name] += time.process_time() - began
        if len(squares["in full"]) == BATCH or number + 1 == count:
            with torch.inference_mode():
                best = {name: network(torch.from_numpy(np.stack(taken))).argmax(1) for name, taken in squares.items()}
            for name, classes in best.items():
                same[name] += int((classes == best["in full"]).sum())
                squares[name].clear()
    ways = {name: {"imagesPerSecond": count / spent[name], "same": same[name] / count} for name in WAYS}
    return {"size": f"{size[0]} x {size[1]}", "photos": count, "ways": ways}


def photos_of(size: tuple[int, int], count: int) -> Iterator[bytes]:
    """Yield JPEGs of this size; the same ones on every machine."""
    noise = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        for path in write_photos(Path(folder), count):
            large = np.asarray(Image.open(path).resize(size, Image.Resampling.BICUBIC), np.float32)
            grain = noise.standard_normal((size[1], size[0], 1), dtype=np.float32)
            yield simplejpeg.encode_jpeg(
                (large + GRAIN * grain).clip(0, 255).astype(np.uint8), quality=QUALITY, colorsubsampling="420"
            )


if __name__ == "__main__":
    main()

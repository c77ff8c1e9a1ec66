"""What decoding costs: from a JPEG's bytes to its place in a mini-batch, three ways.

    python benchmarks/decoding.py           # two minutes; writes results/decoding.json
    python benchmarks/decoding.py --threads 1,2,4,8    # and images a second of several threads, by the clock, and
                                                       # what a worker takes whose decoder does nothing

- DueBy: decode_image, which is what workers and the index step call, into a mini-batch of uint8;
- torchvision's fastest way: decode_jpeg, resize and center_crop of transforms.v2 on uint8, into a mini-batch of uint8;
- Pillow, ToTensor and the preset of torchvision's weights, as the examples of Ray Data and Daft have it, in floats.

All make the same square of 224 pixels: the shorter side to 256, bilinear, and the centre of that. The files are in
memory. The times are CPU time of the process, on one core, so that other work on the machine counts little. The ways
take turns, and ratios are taken within a round. Photos are views of real ones, enlarged to 0.3, 2 and 12 megapixels,
with the grain of a camera, since a smooth file is decoded sooner than a photo of its size.
"""

import argparse
import io
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms._presets import ImageClassification
from torchvision.transforms.functional import InterpolationMode, to_tensor
from torchvision.transforms.v2 import functional as v2

from dueby_profiler.measuring.bench import now_us
from dueby_profiler.measuring.contention import count_buffers_of, mini_batch_us
from dueby_worker.images.decode import decode_image
from dueby_worker.images.picture import Picture
from dueby_worker.images.read_ahead import begin_here
from dueby_worker.models.preprocessing import Preprocessing
from photos import QUALITY, write_photos
from pipeline_table import machine, ratio, spread

RESULTS = Path(__file__).parent / "results"
RESULT = RESULTS / "decoding.json"
SIDE, RESIZED = 224, 256
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPROCESSING = Preprocessing(
    resize_side=RESIZED, crop_side=SIDE, interpolation="bilinear", antialias=True, mean=MEAN, std=STD
)
PRESET = ImageClassification(
    crop_size=SIDE, resize_size=RESIZED, mean=MEAN, std=STD, interpolation=InterpolationMode.BILINEAR
)
ROUNDS = 30
# Standard deviation of the grain, of 255.
GRAIN = 4.0
THREADED_S = 4.0
MINI_BATCH = 64

uint8_rows = np.empty((1, SIDE, SIDE, 3), np.uint8)
uint8_planes = torch.empty((1, 3, SIDE, SIDE), dtype=torch.uint8)
float_planes = torch.empty((1, 3, SIDE, SIDE))


def by_dueby(data: bytes) -> None:
    uint8_rows[0] = decode_image(data, PREPROCESSING).pixels


def by_torchvision(data: bytes) -> None:
    picture = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
    uint8_planes[0] = v2.center_crop(v2.resize(picture, [RESIZED], antialias=True), [SIDE, SIDE])


def by_pillow(data: bytes) -> None:
    float_planes[0] = PRESET(to_tensor(Image.open(io.BytesIO(data)).convert("RGB")))


WAYS: dict[str, Callable[[bytes], None]] = {"dueby": by_dueby, "torchvision": by_torchvision, "pillow": by_pillow}


@dataclass(frozen=True, kw_only=True)
class Size:
    """A size of photos, and how many of them are decoded in a round."""

    width: int
    height: int
    photos: int

    @property
    def megapixels(self) -> float:
        return round(self.width * self.height / 1e6, 1)


SIZES = (
    Size(width=640, height=480, photos=24),
    Size(width=1632, height=1224, photos=6),
    Size(width=4000, height=3000, photos=2),
)


def main() -> None:
    """Measure, write the result down, and print it."""
    options = _parse()
    if not options.table:
        RESULTS.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(run(options.rounds, options.threads), indent=1) + "\n")
    print_table(json.loads(RESULT.read_text()))


def run(rounds: int, threads: Sequence[int]) -> dict[str, Any]:
    """All kinds of photos, one after the other."""
    torch.set_num_threads(1)
    rows = []
    for size in SIZES:
        for is_progressive in (False, True):
            files = make_files(size, is_progressive=is_progressive)
            rows.append(measure(size, files, is_progressive=is_progressive, rounds=rounds))
    result = {
        "machine": machine(),
        "settings": {"jpegQuality": QUALITY, "grain": GRAIN, "side": SIDE, "rounds": rounds},
        "rows": rows,
    }
    if threads:
        result["threads"] = measure_threads(make_files(SIZES[0], is_progressive=False), threads)
    return result


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="print the table of the last run, and measure nothing")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--threads", type=lambda text: [int(count) for count in text.split(",")], default=[], help="such as 1,2,4,8"
    )
    return parser.parse_args()


def make_files(size: Size, *, is_progressive: bool) -> list[bytes]:
    """The photos of this size; the same files on every machine."""
    noise = np.random.default_rng(0)
    files = []
    with TemporaryDirectory() as folder:
        for path in write_photos(Path(folder), size.photos):
            large = Image.open(path).resize((size.width, size.height), Image.Resampling.BICUBIC)
            grain = noise.normal(0, GRAIN, (size.height, size.width, 1)).astype(np.float32)
            pixels = (np.asarray(large, np.float32) + grain).clip(0, 255).astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, progressive=is_progressive)
            files.append(buffer.getvalue())
    return files


def measure(size: Size, files: Sequence[bytes], *, is_progressive: bool, rounds: int) -> dict[str, Any]:
    """CPU time of each way, in ms an image and round; the ways take turns, in changing order."""
    for way in WAYS.values():
        way(files[0])
    names = list(WAYS)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            # Not counted: its code and tables come into the caches, where they are in a program that does nothing else.
            WAYS[name](files[-1])
            began = time.process_time_ns()
            for data in files:
                WAYS[name](data)
            found[name].append((time.process_time_ns() - began) / len(files) / 1e6)
    return {
        "megapixels": size.megapixels,
        "size": [size.width, size.height],
        "progressive": is_progressive,
        "kilobytes": round(sum(map(len, files)) / len(files) / 1000),
        "milliseconds": {name: spread(values) for name, values in found.items()},
        "imagesPerSecond": {name: spread([1000 / value for value in values]) for name, values in found.items()},
        "over": {name: ratio(found[name], found["dueby"]) for name in names if name != "dueby"},
    }


def measure_threads(files: Sequence[bytes], counts: Sequence[int]) -> list[dict[str, float]]:
    """Images a second, by the clock, of several threads that decode as workers' do."""

    def work(until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            decode_image(files[done % len(files)], PREPROCESSING)
            done += 1
        return done

    rows = []
    for count in counts:
        with ThreadPoolExecutor(count) as pool:
            began = time.perf_counter()
            done = sum(pool.map(work, [began + THREADED_S] * count))
            rate = done / (time.perf_counter() - began)
        rows.append({"threads": count, "imagesPerSecond": rate, "serialMicros": measure_serial(files, count)})
    return rows


def measure_serial(files: Sequence[bytes], threads: int) -> float:
    """What a worker takes for an image with so many threads whose decoder does nothing, by the clock."""
    black = Picture(pixels=np.zeros((SIDE, SIDE, 3), np.uint8))
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.jpg" for number in range(len(files))]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        batch_us = mini_batch_us(
            [path.as_uri() for path in paths],
            [
                np.zeros((MINI_BATCH, SIDE, SIDE, 3), np.uint8)
                for _ in range(count_buffers_of(threads, depth=1, size=MINI_BATCH))
            ],
            preprocessing=PREPROCESSING,
            threads=threads,
            size=MINI_BATCH,
            until_us=now_us() + int(1e6 * THREADED_S),
            begin=begin_here(lambda data: black, threads=threads),
        )
    return batch_us / MINI_BATCH


def print_table(result: dict[str, Any]) -> None:
    """Markdown, as docs/benchmarks.md has it: a row for each kind of photo, with medians, and least and most."""
    print("| photos | KB | DueBy, images/s | torchvision | Pillow | DueBy over torchvision | DueBy over Pillow |")
    print("| --- | ---: | ---: | ---: | ---: | --- | --- |")
    for row in result["rows"]:
        kind = "progressive" if row["progressive"] else "baseline"
        speeds = [_digits(row["imagesPerSecond"][name]["median"]) for name in WAYS]
        ratios = [f"{over['median']:.2f} ({over['min']:.2f}-{over['max']:.2f})" for over in row["over"].values()]
        cells = [f"{row['megapixels']:g} megapixels, {kind}", f"{row['kilobytes']:,}", *speeds, *ratios]
        print(f"| {' | '.join(cells)} |")
    for row in result.get("threads", ()):
        print(
            f"{row['threads']} threads: {row['imagesPerSecond']:.0f} images/s by the clock; "
            f"a worker does {row['serialMicros']:.0f} us for one image at a time"
        )


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


if __name__ == "__main__":
    main()

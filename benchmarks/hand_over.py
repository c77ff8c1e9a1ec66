"""What a worker does for a photo beside decoding it: its own reader and feed, and a decoder that does nothing.

    python benchmarks/hand_over.py          # half a minute; writes results/hand_over.json

Photos are files in the page cache, as objects of their own and in a tar. They are read, handed to a decoder that
returns the same black square for each, and put into mini-batches, which nobody uses. So the time of a photo is what no
number of cores makes shorter: the profile's serialMicros. Small photos, of 1 KB and squares of 16 pixels, have hardly
anything to read and to copy, which needs no lock of the interpreter's: what is left is the handing over. The CPU's time
is that of all threads, and of the kernel for them. Rounds are interleaved.
"""

import argparse
import json
import os
import statistics
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from dueby_api.source import Source
from dueby_profiler.measuring.contention import count_buffers_of
from dueby_worker.images.picture import Picture
from dueby_worker.images.read_ahead import begin_here, most_ahead, open_reader
from dueby_worker.index.build import build_index
from dueby_worker.index.frozen_index import Index, open_index
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.output.parts import OpenPart
from dueby_worker.storage.stores import open_store
from dueby_worker.work.feed import Feed, MiniBatch
from dueby_worker.work.order import Item
from photos import SIZE, write_photos
from pipeline_table import machine

RESULT = Path(__file__).parent / "results" / "hand_over.json"
SIDE, SMALL_SIDE, MINI_BATCH, PHOTOS = 224, 16, 256, 512
ROUNDS, SECONDS = 8, 0.5


def main() -> None:
    """Measure, write the result down, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        ways = make_ways(Path(folder))
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, (index, side) in ways.items():
                rows[name].append(measure(index, preprocessing(side), options.threads))
    result = {
        "machine": machine(),
        "settings": {"photo": SIZE, "threads": options.threads, "miniBatch": MINI_BATCH, "rounds": options.rounds},
        "rows": {name: summary(values) for name, values in rows.items()},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print("| photos in | µs a photo | least | photos/s at least time | CPU µs a photo | least |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, row in result["rows"].items():
        cells = f"{row['us']:.0f} | {row['leastUs']:.0f} | {1e6 / row['leastUs']:,.0f}"
        print(f"| {name} | {cells} | {row['cpuUs']:.0f} | {row['leastCpuUs']:.0f} |")


def make_ways(folder: Path) -> dict[str, tuple[Index, int]]:
    """Return the index of photos as files, the same in a tar, and small ones, each with its squares' side."""
    photos = write_photos(folder / "files", PHOTOS)
    (folder / "tars").mkdir()
    with tarfile.open(folder / "tars" / "0.tar", "w") as tar:
        for photo in photos:
            tar.add(photo, photo.name)
    (folder / "small").mkdir()
    for photo in photos:
        Image.open(photo).resize((SMALL_SIDE, SMALL_SIDE)).save(folder / "small" / photo.name)
    ways = {
        "files": (f"{folder}/files", SIDE),
        "a tar": (f"{folder}/tars/*.tar", SIDE),
        "small files": (f"{folder}/small", SMALL_SIDE),
    }
    indexes = {}
    for number, (name, (uri, side)) in enumerate(ways.items()):
        sink = open_store(f"{folder}/sink{number}")
        build_index(Source(uri=uri), sink, limit=None, preprocessing=preprocessing(side))
        indexes[name] = open_index(sink), side
    return indexes


def preprocessing(side: int) -> Preprocessing:
    """Return what gives squares of this side."""
    return Preprocessing(
        resize_side=side, crop_side=side, interpolation="bilinear", antialias=True, mean=(0, 0, 0), std=(1, 1, 1)
    )


def measure(index: Index, preprocessing: Preprocessing, threads: int) -> tuple[float, float]:
    """Return the time of a photo, by the clock and of the CPU, in microseconds."""
    uris = index.uris(0, index.images - 1)
    part = OpenPart(0, first=0, uris=uris, columns={})
    stretch = (Item(part, number, number, uri) for _ in iter(int, 1) for number, uri in enumerate(uris))
    feed, size, side = Feed(), MINI_BATCH, preprocessing.crop_side
    square = Picture(pixels=np.zeros((side, side, 3), np.uint8))
    reader = open_reader(
        source=index.document.source,
        preprocessing=preprocessing,
        threads=threads,
        ahead=most_ahead(threads=threads, mini_batch_size=size),
        begin=begin_here(lambda data: square, threads=threads),
        member_of=index.member_of,
    )
    buffers = count_buffers_of(threads, depth=1, size=size)
    feed.supply(np.zeros((size, side, side, 3), np.uint8) for _ in range(buffers))
    feed.start([stretch], reader)
    images, began, began_cpu = 0, 0.0, 0.0
    for number, batch in enumerate(feed):
        if isinstance(batch, MiniBatch):
            feed.give_back(batch)
            # What was read before anybody took it.
            if number == buffers:
                began, began_cpu = time.perf_counter(), time.process_time()
            elif number > buffers:
                images += batch.images
                if (took := time.perf_counter() - began) >= SECONDS:
                    break
    cpu = time.process_time() - began_cpu
    feed.stop()
    return 1e6 * took / images, 1e6 * cpu / images


def summary(values: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return medians, and the least."""
    us, cpu_us = zip(*values, strict=True)
    return {
        "us": statistics.median(us),
        "leastUs": min(us),
        "cpuUs": statistics.median(cpu_us),
        "leastCpuUs": min(cpu_us),
    }


if __name__ == "__main__":
    main()

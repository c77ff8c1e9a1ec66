"""Measure how much slower a CPU slice gets when it decodes images beside the model, beyond the sum of both times.

Model and decoding share the slice's cores, so their times add up. On top of that they push each other out of the caches
and wait for each other: the sum promised 212 images/s where 157-178 were reached. So there are three phases, which all
slices go through at the same time: decoding alone, the model alone, and both as a worker does it, with the worker's own
reader and feed. The images cost as much as photos do: 640 x 480 pixels, 60-80 KB.
"""

import os
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np

from dueby_api.source import Source
from dueby_profiler.measuring.bench import Bench, now_us
from dueby_profiler.measuring.messages import Contend, Contended
from dueby_worker.images.decode import decode_image
from dueby_worker.images.fetch import Fetcher
from dueby_worker.images.jpeg import encode
from dueby_worker.images.read_ahead import most_ahead, read_images
from dueby_worker.output.parts import OpenPart
from dueby_worker.work.feed import Feed, MiniBatch
from dueby_worker.work.order import Item

_WIDTH, _HEIGHT, _QUALITY = 640, 480, 80
# A single image would stay in the cache.
_IMAGES = 16
# As in a worker: one buffer is ready while another is being filled.
_BUFFERS_AHEAD = 2


def run_contention(bench: Bench, contend: Contend) -> Contended:
    """Run the three phases with the bench's engine between the given moments; return their times."""
    uris = write_images(Path(contend.folder) / str(os.getpid()))
    begin_us, decoded_us, modelled_us, end_us = contend.moments_us
    # All slices wait for the same moment, so that every phase runs on all of them at once.
    time.sleep(max(0.0, (begin_us - now_us()) / 1e6))
    decode_us = _decode_alone(bench, uris, until_us=decoded_us)
    model_us = _model_alone(bench, until_us=modelled_us)
    both_us = _both(bench, uris, until_us=end_us)
    return Contended(decode_us=decode_us, model_us=model_us, both_us=both_us)


def write_images(folder: Path) -> list[str]:
    """Write JPEG files with waves of colour and noise; return their URIs."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    uris = []
    for number in range(_IMAGES):
        waves = [np.sin(x / (20 + 9 * c + number) + y / 33) * np.cos(y / (15 + 7 * c + number)) for c in range(3)]
        noise = np.random.default_rng(number).normal(25, 12, size=(_HEIGHT, _WIDTH, 3))
        pixels = (0.4 * 255 * (1 + np.stack(waves, axis=-1)) + noise).clip(0, 255).astype(np.uint8)
        path = folder / f"{number}.jpg"
        path.write_bytes(encode(pixels, quality=_QUALITY))
        uris.append(path.as_uri())
    return uris


def _decode_alone(bench: Bench, uris: list[str], *, until_us: int) -> float:
    """Return the core-time of reading and decoding one image, in microseconds."""
    fetcher, preprocessing = Fetcher(), bench.loaded.preprocessing
    names = cycle(uris)

    def once() -> None:
        decode_image(fetcher.read(next(names)), preprocessing)

    once()  # not timed: libraries load on first use
    began_ns = time.process_time_ns()
    count = _repeat(once, until_us=until_us)
    return (time.process_time_ns() - began_ns) / 1000 / count


def _model_alone(bench: Bench, *, until_us: int) -> float:
    """Return the time of a mini-batch with nothing to decode."""
    engine, buffer = bench.ready_engine(), bench.buffers[0]

    def once() -> None:
        engine.submit(buffer)
        engine.collect()

    once()
    began_us = now_us()
    count = _repeat(once, until_us=until_us)
    return (now_us() - began_us) / count


def _both(bench: Bench, uris: list[str], *, until_us: int) -> float:
    """Return the time of a mini-batch whose images are read and decoded beside it, from one result to the next."""
    engine, threads = bench.ready_engine(), bench.setup.threads
    feed = Feed()
    feed.supply(engine.buffer() for _ in range(engine.depth + _BUFFERS_AHEAD))
    part = OpenPart(0, first=0, uris=uris, columns={})  # the feed needs a part; no rows are written
    stretch = (Item(part=part, position=0, index=index, uri=uri) for index, uri in enumerate(cycle(uris)))
    feed.start(
        [stretch],
        lambda items: read_images(
            items,
            source=Source(uri=uris[0]),
            preprocessing=bench.loaded.preprocessing,
            threads=threads,
            ahead=most_ahead(threads=threads, mini_batch_size=bench.size),
        ),
    )
    moments: list[int] = []
    try:
        for batch in feed:
            if isinstance(batch, MiniBatch):
                engine.submit(batch.pixels)
                engine.collect()
                moments.append(now_us())
                feed.give_back(batch)
            # The first result is skipped: its buffers were filled while no model ran.
            if len(moments) > 2 and moments[-1] >= until_us:
                break
    finally:
        feed.stop()
    steady = moments[1:]
    return (steady[-1] - steady[0]) / (len(steady) - 1)


def _repeat(once: Callable[[], None], *, until_us: int) -> int:
    """Repeat it until the given moment, at least once; return how often it ran."""
    count = 0
    while count == 0 or now_us() < until_us:
        once()
        count += 1
    return count

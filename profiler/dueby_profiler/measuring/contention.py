"""Measure decoding: how much slower the model gets when the worker's cores decode beside it, and how fast they decode.

On a CPU slice model and decoding share the cores, so their times add up. On top of that they push each other out of the
caches and wait for each other: the sum promised 212 images/s where 157-178 were reached. A GPU computes meanwhile, but
what launches its work is a thread that needs a core and the interpreter's lock, as the decoders do: 240 launches took
0.67 ms alone and 1.25 ms beside two of them.

So there are three phases, which all devices go through at the same time: decoding alone, the model alone, and both,
with the worker's own reader and feed over made-up images that cost as much as photos do. On a CPU slice both are done
as a worker does it. Beside a GPU all cores decode all the time, whether or not the model has use for the images.

Beside a GPU it is also measured what a worker makes of its cores: how many photos they decode, and what no number of
them exceeds. Around the decoding of an image, a worker does things under the interpreter's lock: tasks, queues, files
to open, a copy into the mini-batch. So the processes of all GPUs go through these phases at the same time, with the
worker's own reader and feed: photos whose decoder does nothing, then photos that 1, 2, 4, ... cores decode. No model
runs meanwhile.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import numpy as np

from dueby_api.engines import runs_on_cpu
from dueby_api.source import Source
from dueby_profiler.measuring.bench import Bench, now_us
from dueby_profiler.measuring.messages import Contend, Contended, DecodingRates, MeasureDecoding
from dueby_worker.images.decode import decode_image
from dueby_worker.images.fetch import Fetcher
from dueby_worker.images.jpeg import encode
from dueby_worker.images.picture import Picture
from dueby_worker.images.read_ahead import Begin, begin_here, most_ahead, open_reader
from dueby_worker.models.preprocessing import Pixels, Preprocessing
from dueby_worker.output.parts import OpenPart
from dueby_worker.work.feed import Feed, MiniBatch, count_buffers
from dueby_worker.work.order import Item

# Small enough for many mini-batches of a slow core in a phase.
_MINI_BATCH = 16
_WIDTH, _HEIGHT, _QUALITY = 640, 480, 80
# A single image would stay in the cache.
_IMAGES = 16


def run_decoding(bench: Bench, message: MeasureDecoding) -> DecodingRates:
    """Run the phases in the bench's process from the given moment on; return the time of an image in each."""
    uris = write_images(Path(message.folder) / str(os.getpid()))
    preprocessing, ends_us = bench.loaded.preprocessing, message.ends_us
    side = preprocessing.crop_side
    black = Picture(pixels=np.zeros((side, side, 3), np.uint8))

    def image_us(threads: int, until_us: int, begin: Begin | None = None) -> float:
        # The photos of the phase before, which were read ahead, may take longer than it should.
        until_us = max(until_us, now_us() + message.phase_us // 2)
        count = count_buffers_of(threads, depth=1, size=_MINI_BATCH)
        buffers = [np.zeros((_MINI_BATCH, side, side, 3), np.uint8) for _ in range(count)]
        batch_us = mini_batch_us(
            uris,
            buffers,
            preprocessing=preprocessing,
            threads=threads,
            size=_MINI_BATCH,
            until_us=until_us,
            begin=begin,
        )
        return batch_us / _MINI_BATCH

    # All processes wait for the same moment, so that every phase runs in all of them at once.
    time.sleep(max(0.0, (message.begin_us - now_us()) / 1e6))
    most = max(message.cores)
    serial_us = image_us(most, ends_us[0], begin_here(lambda data: black, threads=most))
    decoded_us = [image_us(cores, until_us) for cores, until_us in zip(message.cores, ends_us[1:], strict=True)]
    return DecodingRates(serial_us=serial_us, cores=message.cores, decoded_us=tuple(decoded_us))


class _Enough(Exception):
    """Ends the decoding beside a GPU."""


def run_contention(bench: Bench, contend: Contend) -> Contended:
    """Run the three phases with the bench's engine between the given moments; return their times."""
    uris = write_images(Path(contend.folder) / str(os.getpid()))
    begin_us, decoded_us, modelled_us, end_us = contend.moments_us
    # All slices wait for the same moment, so that every phase runs on all of them at once.
    time.sleep(max(0.0, (begin_us - now_us()) / 1e6))
    decode_us = _decode_alone(bench, uris, until_us=decoded_us)
    model_us = _model_alone(bench, until_us=modelled_us)
    both = _both if runs_on_cpu(bench.setup.engine) else _model_beside_decoding
    both_us = both(bench, uris, until_us=end_us)
    return Contended(decode_us=decode_us, model_us=model_us, both_us=both_us)


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
    """Return the time of a mini-batch with nothing to decode, with as many in flight as a worker has."""
    engine, buffers = bench.ready_engine(), cycle(bench.buffers)

    def once() -> None:
        engine.submit(next(buffers))
        engine.collect()

    for _ in range(engine.depth - 1):
        engine.submit(next(buffers))
    once()
    began_us = now_us()
    count = _repeat(once, until_us=until_us)
    spent_us = now_us() - began_us
    for _ in range(engine.depth - 1):
        engine.collect()
    return spent_us / count


def _model_beside_decoding(bench: Bench, uris: list[str], *, until_us: int) -> float:
    """Return the time of a mini-batch on a GPU while the process's cores read, decode and fill others all the time."""
    enough, buffers = threading.Event(), _buffers(bench)

    def decode() -> None:
        with suppress(_Enough):
            _decode_for(bench, uris, buffers, until_us=sys.maxsize, use=leave_if_enough)

    def leave_if_enough(pixels: Pixels) -> None:
        if enough.is_set():
            raise _Enough

    with ThreadPoolExecutor(1) as pool:
        decoding = pool.submit(decode)
        try:
            step_us = _model_alone(bench, until_us=until_us)
        finally:
            enough.set()
        decoding.result()
    return step_us


def _both(bench: Bench, uris: list[str], *, until_us: int) -> float:
    """Return the time of a mini-batch whose images are read and decoded beside it, from one result to the next."""
    engine = bench.ready_engine()

    def classify(pixels: Pixels) -> None:
        engine.submit(pixels)
        engine.collect()

    return _decode_for(bench, uris, _buffers(bench), until_us=until_us, use=classify)


def _buffers(bench: Bench) -> list[Pixels]:
    engine = bench.ready_engine()
    count = count_buffers_of(bench.setup.threads, depth=engine.depth, size=bench.size)
    return [engine.buffer() for _ in range(count)]


def count_buffers_of(threads: int, *, depth: int, size: int) -> int:
    """Return how many mini-batches of this size a worker has with so many threads that decode."""
    ahead = most_ahead(threads=threads, mini_batch_size=size)
    return count_buffers(depth=depth, ahead=ahead, mini_batch_size=size)


def _decode_for(
    bench: Bench, uris: list[str], buffers: list[Pixels], *, until_us: int, use: Callable[[Pixels], None]
) -> float:
    """Return the time of a mini-batch that the process's cores read and decode, and that is used."""
    return mini_batch_us(
        uris,
        buffers,
        preprocessing=bench.loaded.preprocessing,
        threads=bench.setup.threads,
        size=bench.size,
        until_us=until_us,
        use=use,
    )


def _repeat(once: Callable[[], None], *, until_us: int) -> int:
    """Repeat it until the given moment, at least once; return how often it ran."""
    count = 0
    while count == 0 or now_us() < until_us:
        once()
        count += 1
    return count


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


def mini_batch_us(
    uris: list[str],
    buffers: Iterable[Pixels],
    *,
    preprocessing: Preprocessing,
    threads: int,
    size: int,
    until_us: int,
    use: Callable[[Pixels], None] = lambda pixels: None,
    begin: Begin | None = None,
) -> float:
    """Return the time of a mini-batch that is read, decoded and used, from one to the next, until the given moment.

    `begin` decodes in place of the worker's own decoder.
    """
    feed = Feed()
    feed.supply(buffers)
    part = OpenPart(0, first=0, uris=uris, columns={})  # the feed needs a part; no rows are written
    stretch = (Item(part=part, position=0, index=index, uri=uri) for index, uri in enumerate(cycle(uris)))
    reader = open_reader(
        source=Source(uri=uris[0]),
        preprocessing=preprocessing,
        threads=threads,
        ahead=most_ahead(threads=threads, mini_batch_size=size),
        begin=begin,
    )
    feed.start([stretch], reader)
    moments: list[int] = []
    try:
        for batch in feed:
            if isinstance(batch, MiniBatch):
                use(batch.pixels)
                moments.append(now_us())
                feed.give_back(batch)
            # The first one is skipped: the buffers were filled while nothing was used.
            if len(moments) > 2 and moments[-1] >= until_us:
                break
    finally:
        feed.stop()
    steady = moments[1:]
    return (steady[-1] - steady[0]) / (len(steady) - 1)

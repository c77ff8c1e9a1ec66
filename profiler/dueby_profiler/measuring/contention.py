"""Measure how much slower a CPU slice gets when it decodes images beside the model, beyond the sum of both times.

Model and decoding share the slice's cores, so their times add up. On top of that they push each other out of the caches
and wait for each other: the sum promised 212 images/s where 157-178 were reached. So there are three phases, which all
slices go through at the same time: decoding alone, the model alone, and both as a worker does it, with the worker's own
reader and feed.
"""

import os
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from dueby_profiler.measuring.bench import Bench, now_us
from dueby_profiler.measuring.messages import Contend, Contended
from dueby_profiler.measuring.photo_feed import BUFFERS_AHEAD, mini_batch_us, write_images
from dueby_worker.images.decode import decode_image
from dueby_worker.images.fetch import Fetcher
from dueby_worker.models.preprocessing import Pixels


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
    engine = bench.ready_engine()

    def classify(pixels: Pixels) -> None:
        engine.submit(pixels)
        engine.collect()

    return mini_batch_us(
        uris,
        [engine.buffer() for _ in range(engine.depth + BUFFERS_AHEAD)],
        preprocessing=bench.loaded.preprocessing,
        threads=bench.setup.threads,
        size=bench.size,
        until_us=until_us,
        use=classify,
    )


def _repeat(once: Callable[[], None], *, until_us: int) -> int:
    """Repeat it until the given moment, at least once; return how often it ran."""
    count = 0
    while count == 0 or now_us() < until_us:
        once()
        count += 1
    return count

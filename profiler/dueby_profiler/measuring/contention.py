"""Measure how much slower the model gets when the worker's cores decode images beside it.

On a CPU slice model and decoding share the cores, so their times add up. On top of that they push each other out of the
caches and wait for each other: the sum promised 212 images/s where 157-178 were reached. A GPU computes meanwhile, but
what launches its work is a thread that needs a core and the interpreter's lock, as the decoders do: 240 launches took
0.67 ms alone and 1.25 ms beside two of them.

So there are three phases, which all devices go through at the same time: decoding alone, the model alone, and both,
with the worker's own reader and feed. On a CPU slice both are done as a worker does it. Beside a GPU all cores decode
all the time, whether or not the model has use for the images.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle
from pathlib import Path

from dueby_api.engines import runs_on_cpu
from dueby_profiler.measuring.bench import Bench, now_us
from dueby_profiler.measuring.messages import Contend, Contended
from dueby_profiler.measuring.photo_feed import BUFFERS_AHEAD, mini_batch_us, write_images
from dueby_worker.images.decode import decode_image
from dueby_worker.images.fetch import Fetcher
from dueby_worker.models.preprocessing import Pixels


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
    return [engine.buffer() for _ in range(engine.depth + BUFFERS_AHEAD)]


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

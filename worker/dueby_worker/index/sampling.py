"""Measure, on a sample, what it costs to get and to decode the job's images.

A profile measures the model alone. What its input costs is a property of the job, and on a CPU it adds to the model's
time. Costs are core-time. Getting is measured by the clock of the process, because libraries fetch in threads of their
own; decoding is measured by the clock of the thread, in another process, because the sample may hold an image that
kills its decoder. The bandwidth is what one worker gets, because the sample is read
with as many requests in flight as a worker has.
"""

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil

from dueby_api.input_cost import InputCost
from dueby_worker.images.fetch import MAX_IMAGE_BYTES, Fetcher
from dueby_worker.images.isolation import IsolatedDecoder
from dueby_worker.images.read_ahead import READERS
from dueby_worker.images.room import SMALL_FILE_BYTES
from dueby_worker.images.synthetic import SyntheticImages
from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.storage.store import TooLarge, Unavailable

MIN_SAMPLE, MAX_SAMPLE = 64, 256
# Once it has MIN_SAMPLE images, the sample is ended after this time.
_ENOUGH_S = 5.0
# Images that workers read to find out whether the source is still there.
_WITNESSES = 8


@dataclass(kw_only=True)
class _Tally:
    decoded: int = 0
    got: int = 0
    unreadable: int = 0
    decode_ns: int = 0
    get_cpu_ns: int = 0
    get_wall_ns: int = 0
    size: int = 0
    witnesses: list[str] = field(default_factory=list)

    def cost(self) -> InputCost:
        return InputCost(
            decode_us=ceil(self.decode_ns / 1000 / max(self.decoded, 1)),
            get_us=ceil(self.get_cpu_ns / 1000 / max(self.got, 1)),
            bytes_per_image=ceil(self.size / max(self.got, 1)),
            bandwidth_bytes_per_s=self.size * 10**9 // max(self.get_wall_ns, 1),
            sampled=self.decoded,
            unreadable=self.unreadable,
        )


def choose(images: int, *, seed: str) -> list[int]:
    """Return which images to sample: random ones, but the same ones for the same seed."""
    return random.Random(seed).sample(range(images), min(images, MAX_SAMPLE))


def sample_files(
    uris: Sequence[str],
    *,
    decoder: IsolatedDecoder,
    fetcher: Fetcher,
    on_progress: Callable[[int], None],
    clock: Callable[[], float] = time.monotonic,
) -> tuple[InputCost, tuple[str, ...]]:
    """Return the cost of an image, and witnesses: images that could be read."""
    tally, began = _Tally(), clock()
    with ThreadPoolExecutor(READERS, thread_name_prefix="sample") as pool:
        _warm_up(uris, decoder, fetcher)
        for start in range(0, len(uris), READERS):
            if start >= MIN_SAMPLE and clock() - began > _ENOUGH_S:
                break
            batch = uris[start : start + READERS]
            files, large = _get(batch, pool, fetcher, tally, max_bytes=SMALL_FILE_BYTES)
            _decode(files, decoder, tally)
            # One after another, since together they might not fit in memory.
            for uri in large:
                files, too_large = _get([uri], pool, fetcher, tally, max_bytes=MAX_IMAGE_BYTES)
                _decode(files, decoder, tally)
                tally.unreadable += len(too_large)
            on_progress(start + len(batch))
    return tally.cost(), tuple(tally.witnesses[:_WITNESSES])


def sample_synthetic(made: SyntheticImages) -> InputCost:
    """Return the cost of synthetic images, which are made and not read."""
    # The first one makes the block of noise, which happens once.
    made.pixels(0)
    began = time.thread_time_ns()
    for index in range(MIN_SAMPLE):
        made.pixels(index)
    tally = _Tally(decoded=MIN_SAMPLE, decode_ns=time.thread_time_ns() - began)
    return tally.cost()


def _warm_up(uris: Sequence[str], decoder: IsolatedDecoder, fetcher: Fetcher) -> None:
    """Read and decode one image, because connecting and loading the decoders happen once and not per image."""
    with contextlib.suppress(Unavailable, UnreadableImage):
        decoder.decode(fetcher.read(uris[0]))


def _get(
    uris: Sequence[str], pool: Executor, fetcher: Fetcher, tally: _Tally, *, max_bytes: int
) -> tuple[list[bytes], list[str]]:
    """Read the files concurrently. Return those that could be read, and the URIs of those that are larger."""
    wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    asked = [(uri, pool.submit(fetcher.read, uri, max_bytes=max_bytes)) for uri in uris]
    files, large = [], []
    for uri, answer in asked:
        try:
            files.append(answer.result())
            tally.witnesses.append(uri)
        except TooLarge:
            large.append(uri)
        except Unavailable:
            tally.unreadable += 1
    tally.get_wall_ns += time.perf_counter_ns() - wall_ns
    tally.get_cpu_ns += time.process_time_ns() - cpu_ns
    tally.got += len(files)
    tally.size += sum(map(len, files))
    return files, large


def _decode(files: Sequence[bytes], decoder: IsolatedDecoder, tally: _Tally) -> None:
    """Decode the files one after another: at the same time they would slow each other down."""
    for data in files:
        try:
            tally.decode_ns += decoder.decode(data).cpu_ns
        except UnreadableImage:
            tally.unreadable += 1
            continue
        tally.decoded += 1

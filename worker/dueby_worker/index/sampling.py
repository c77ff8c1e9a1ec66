"""Measure, on a sample, what it costs to get and to decode the job's images.

A profile measures the model alone. What its input costs is a property of the job, and on a CPU it adds to the model's
time. Costs are core-time. Getting is measured by the clock of the process, because libraries fetch in threads of their
own; decoding is measured by the clock of the thread, in another process, because the sample may hold an image that
kills its decoder. The bandwidth is what one worker gets, because the sample is read with as many requests in flight as
a worker has that decodes in one thread. Images in tars are read one by one here, so they cost what files do; workers,
which read neighbours together, are a little faster than that. Of Parquet files, the first rows of some row groups are
the sample, since what is before a row has to be read with it.

An image that can't be read is left out of the sample, whatever the reason: a worker reads it again, and has witnesses.
Only if no image can be read, the store may be to blame.
"""

import contextlib
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from math import ceil

from dueby_api.errors import Transient
from dueby_api.input_cost import InputCost
from dueby_worker.images.fetch import MAX_IMAGE_BYTES, READERS, Fetcher, GivenUp
from dueby_worker.images.isolation import IsolatedDecoder
from dueby_worker.images.room import SMALL_FILE_BYTES
from dueby_worker.images.row_groups import ParquetRow, read_rows
from dueby_worker.images.synthetic import SyntheticImages
from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.images.within import object_of, read_within
from dueby_worker.index.chunks import Row
from dueby_worker.storage.open_files import OpenFiles
from dueby_worker.storage.store import TooLarge, Unavailable

MIN_SAMPLE, MAX_SAMPLE = 64, 256
# One image of so many is enough in between: all devices wait for the sample, and what it decodes is decoded again.
_IMAGES_FOR_ONE = 10
# Once it has MIN_SAMPLE images, the sample is ended after this time.
_ENOUGH_S = 5.0
# Of Parquet files, so many row groups are sampled, and so many rows of each.
_GROUPS = 8
_ROWS_OF_A_GROUP = MAX_SAMPLE // _GROUPS
# Row groups that are read at the same time, unless their pages are so large that fewer fill this. A page has 1,024 rows
# if its writer doesn't care.
_GROUPS_AT_ONCE = 4
_PAGES_BYTES = 256 * 1024**2
_ROWS_OF_A_PAGE = 1024
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
    given_up: GivenUp | None = None

    def require_some(self) -> None:
        """Raise Transient if no image was read and the store may be the reason."""
        if not self.got and self.given_up is not None:
            raise Transient(f"no image of the sample can be read: {self.given_up.failure}")

    def cost(self) -> InputCost:
        return InputCost(
            decode_us=ceil(self.decode_ns / 1000 / max(self.decoded, 1)),
            get_us=ceil(self.get_cpu_ns / 1000 / max(self.got, 1)),
            bytes_per_image=ceil(self.size / max(self.got, 1)),
            bandwidth_bytes_per_s=self.size * 10**9 // max(self.get_wall_ns, 1),
            sampled=self.decoded,
            unreadable=self.unreadable,
        )


@dataclass(frozen=True, kw_only=True)
class _Got:
    """What was read of a sample: the files, and how many images and bytes that would be if nothing was read in vain."""

    files: list[bytes]
    images: int
    size: int

    @classmethod
    def one(cls, data: bytes) -> "_Got":
        return cls(files=[data], images=1, size=len(data))


class _Sample:
    """An image of the sample, or some of a row group: how to read it, and what shows that the source is there."""

    def __init__(self, rows: Sequence[Row], fetcher: Fetcher, ranges: Executor, footers: OpenFiles) -> None:
        self._uri, self._place = rows[0].uri, rows[0].place
        self._group = [row.place for row in rows if isinstance(row.place, ParquetRow)]
        self._fetcher = fetcher
        self._ranges = ranges
        self._footers = footers
        self.images = len(rows)
        self.witness = self._uri if self._place is None else object_of(self._place)

    def at_once(self) -> int:
        """Return how many like it are read at the same time."""
        if not self._group:
            return READERS
        return max(1, min(_GROUPS_AT_ONCE, _PAGES_BYTES // (_ROWS_OF_A_PAGE * self._group[0].length)))

    def get(self, *, max_bytes: int) -> _Got:
        """Return the images that have bytes. Raise as `Fetcher.read` does."""
        if self._group:
            read = read_rows(self._fetcher, self._group, pool=self._ranges, footers=self._footers)
            files = [value for value in read.values if isinstance(value, bytes)]
            given_up = [value for value in read.values if isinstance(value, GivenUp)]
            if given_up and not files:
                raise given_up[0]
            size = max(read.read_bytes, sum(map(len, files)))
            # A page is read as a whole, and a range: other rows are read with those of the sample.
            return _Got(files=files, images=max(len(files), size // self._group[0].length), size=size)
        if self._place is None:
            return _Got.one(self._fetcher.read(self._uri, max_bytes=max_bytes))
        return _Got.one(read_within(self._fetcher, self._place, max_bytes=max_bytes))


def choose(images: int, *, seed: str) -> list[int]:
    """Return which images to sample: random ones, but the same ones for the same seed."""
    wanted = min(MAX_SAMPLE, max(MIN_SAMPLE, images // _IMAGES_FOR_ONE))
    return random.Random(seed).sample(range(images), min(images, wanted))


def neighbours(
    images: Collection[int], rows: Callable[[Collection[int]], Sequence[Row]], *, images_in_all: int, wanted: int = 0
) -> list[int]:
    """Return, in place of images in Parquet files, the first ones of some of their row groups, which lie together.

    Of few row groups there are more rows of each, so that there are as many as are wanted.
    """
    places = ((image, row.place) for image, row in zip(images, rows(images)))
    firsts = [image - place.row for image, place in places if isinstance(place, ParquetRow)]
    groups = list(dict.fromkeys(firsts))[:_GROUPS]
    rows_of_a_group = max(_ROWS_OF_A_GROUP, ceil(wanted / max(1, len(groups))))
    chosen: list[int] = []
    for first in groups:
        chosen += range(first, min(first + rows_of_a_group, images_in_all))
    # A short row group is followed by another one.
    return list(dict.fromkeys(chosen))


def sample_files(
    rows: Sequence[Row],
    *,
    decoder: IsolatedDecoder,
    fetcher: Fetcher,
    on_progress: Callable[[int], None],
    clock: Callable[[], float] = time.monotonic,
) -> tuple[InputCost, tuple[str, ...]]:
    """Return the cost of an image, and witnesses: images that could be read, or the tars in which they are.

    Raise Transient if the store gave none.
    """
    tally, began = _Tally(), clock()
    with (
        ThreadPoolExecutor(READERS, thread_name_prefix="sample") as pool,
        ThreadPoolExecutor(READERS, thread_name_prefix="ranges") as ranges,
    ):
        samples = list(_samples(rows, fetcher, ranges))
        width = samples[0].at_once()
        _warm_up(samples[0], decoder)
        seen = 0
        for start in range(0, len(samples), width):
            if seen >= MIN_SAMPLE and clock() - began > _ENOUGH_S:
                break
            batch = samples[start : start + width]
            seen += sum(sample.images for sample in batch)
            files, large = _get(batch, pool, tally, max_bytes=SMALL_FILE_BYTES)
            _decode(files, decoder, tally)
            # One after another, since together they might not fit in memory.
            for sample in large:
                files, too_large = _get([sample], pool, tally, max_bytes=MAX_IMAGE_BYTES)
                _decode(files, decoder, tally)
                tally.unreadable += len(too_large)
            on_progress(seen)
    tally.require_some()
    return tally.cost(), tuple(list(dict.fromkeys(tally.witnesses))[:_WITNESSES])


def describe_failure(row: Row, *, decoder: IsolatedDecoder, fetcher: Fetcher) -> str:
    """Return why an image of a sample can't be read, as a sentence with its URI."""
    uri = row.uri
    try:
        with ThreadPoolExecutor(READERS, thread_name_prefix="ranges") as ranges:
            files = _Sample([row], fetcher, ranges, OpenFiles()).get(max_bytes=MAX_IMAGE_BYTES).files
        if files:
            decoder.decode(files[0])
        return f"{uri} can be read now."  # its store has changed meanwhile
    except (Unavailable, UnreadableImage) as error:
        return f"{uri}: {str(error).rstrip('.')}."


def sample_synthetic(images: SyntheticImages) -> InputCost:
    """Return the cost of synthetic images, which are made and not read."""
    # The first one makes the block of noise, which happens once.
    images.pixels(0)
    began = time.thread_time_ns()
    for index in range(MIN_SAMPLE):
        images.pixels(index)
    tally = _Tally(decoded=MIN_SAMPLE, decode_ns=time.thread_time_ns() - began)
    return tally.cost()


def _samples(rows: Sequence[Row], fetcher: Fetcher, ranges: Executor) -> Iterator[_Sample]:
    """Yield the images, those of a row group together."""

    def group_of(numbered: tuple[int, Row]) -> tuple[str, int]:
        number, place = numbered[0], numbered[1].place
        return (place.file, place.group) if isinstance(place, ParquetRow) else ("", number)

    footers = OpenFiles()
    for _, group in groupby(enumerate(rows), key=group_of):
        yield _Sample([row for _, row in group], fetcher, ranges, footers)


def _warm_up(sample: _Sample, decoder: IsolatedDecoder) -> None:
    """Read and decode one image, because connecting and loading the decoders happen once and not per image."""
    with contextlib.suppress(Unavailable, UnreadableImage):
        for data in sample.get(max_bytes=MAX_IMAGE_BYTES).files[:1]:
            decoder.decode(data)


def _get(
    samples: Sequence[_Sample], pool: Executor, tally: _Tally, *, max_bytes: int
) -> tuple[list[bytes], list[_Sample]]:
    """Read the files concurrently. Return those that could be read, and the samples that are larger."""

    def get(sample: _Sample) -> tuple[_Got, int]:
        return sample.get(max_bytes=max_bytes), time.perf_counter_ns()

    began_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    answers = [(sample, pool.submit(get, sample)) for sample in samples]
    files, large = [], []
    # Until the last file is there: an image that is given up in the end is waited for much longer than any is read.
    read_ns = began_ns
    for sample, answer in answers:
        try:
            files_read, at_ns = answer.result()
            read_ns = max(read_ns, at_ns)
            files += files_read.files
            tally.got += files_read.images
            tally.size += files_read.size
            tally.unreadable += sample.images - len(files_read.files)
            tally.witnesses.append(sample.witness)
        except TooLarge:
            large.append(sample)
        except Unavailable as failure:
            tally.unreadable += sample.images
            tally.given_up = failure if isinstance(failure, GivenUp) else tally.given_up
    tally.get_wall_ns += read_ns - began_ns
    tally.get_cpu_ns += time.process_time_ns() - cpu_ns
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

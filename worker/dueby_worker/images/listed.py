"""Decode images in lists on a device, for `source.decoder: gpu`, and what doesn't go there one by one on the CPU.

    submit(file) ──▶ JPEGs whose header says that they fit ──▶ one thread: lists ──▶ device ──▶ squares
                 └─▶ everything else ──▶ a few threads: decode_image ◀── those of which the device makes nothing

A list is what waits when the device is free, up to a mini-batch. Its pixels are in the device's memory, which the plan
has given to the model: so a list has a limit of pixels, and so has an image. What waits is in the host's memory: who
submits a file waits while those that are there have more bytes than the room for them.

What is sent to the device depends on the file alone, never on the device or on what else is in the list, so that a row
is the same whichever GPU computes it. decode_image has the last word on every file that the device doesn't decode: what
it says of it is what the row of any other job would say.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue

import torch
from torch.nn.functional import interpolate

from dueby_worker.images import jpeg_header
from dueby_worker.images.decode import decode_image, finished
from dueby_worker.images.geometry import Crop, is_panorama, plan_cut, turn
from dueby_worker.images.jpeg import MAX_SCANS, count_scans
from dueby_worker.images.nvimgcodec import NvImageCodec, open_codec
from dueby_worker.images.picture import ImageOutcome, Picture, place_picture
from dueby_worker.images.room import MemoryRoom
from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.models.preprocessing import Pixels, Preprocessing
from dueby_worker.system.capture_lock import CAPTURE_LOCK

# Larger images are for the CPU, which reduces them while it decodes. This one takes 100 MB as bytes and 400 MB as the
# floats that it is resized in.
MAX_IMAGE_PIXELS = 2**25
# A list ends with the image that reaches this: 200 MB.
LIST_PIXELS = 2**26
# Images of one size are cut together up to this: 200 MB of floats, half of what the largest image has alone.
CUT_PIXELS = 2**24
# For the files that wait: more than a list has of photos of any size.
FILES_BYTES = 256 * 1024**2
# What nvJPEG decodes to RGB.
_COMPONENTS = (1, 3)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """A JPEG that is to be decoded on the device."""

    data: bytes
    header: jpeg_header.Header
    cut: Crop
    picture: Future[Picture] = field(default_factory=Future)

    @property
    def pixels(self) -> int:
        return self.header.width * self.header.height


class ListDecoder:
    """Decodes images on a codec's device and in `threads` threads of the host. Thread-safe."""

    def __init__(
        self,
        codec: NvImageCodec,
        *,
        preprocessing: Preprocessing,
        max_pixels: int,
        threads: int,
        most: int,
        list_pixels: int = LIST_PIXELS,
        files_bytes: int = FILES_BYTES,
    ) -> None:
        """Start the threads. `max_pixels` is decode_image's limit, and `most` is how many images a list may have."""
        self._codec = codec
        self._preprocessing = preprocessing
        self._max_pixels = max_pixels
        self._most = most
        self._list_pixels = list_pixels
        self._files_bytes = files_bytes
        self._room = MemoryRoom(files_bytes)
        self._on_cpu = ThreadPoolExecutor(threads, thread_name_prefix="images")
        # None says that there is no more.
        self._waiting: SimpleQueue[_Wanted | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._is_closed = False
        self._lists = threading.Thread(target=self._decode_lists, name="images-lists", daemon=True)
        self._lists.start()

    def begin(self, files: Sequence[bytes], slots: Sequence[Pixels]) -> Callable[[], Sequence[ImageOutcome]]:
        """Begin to decode the files, as submit does; return what waits for them and writes them into the slots."""
        pictures = [self.submit(data) for data in files]
        return lambda: [place_picture(slot, task.result) for slot, task in zip(slots, pictures, strict=True)]

    def submit(self, data: bytes) -> Future[Picture]:
        """Begin to decode the file, once there is room for it; return what has its picture or raises as decode_image.

        A file that is larger than the room has it for itself. Raise RuntimeError after `close`: a worker that fails is
        still reading ahead then.
        """
        size = min(len(data), self._files_bytes)
        self._room.take(size)
        try:
            picture = self._begin(data)
        except BaseException:
            self._room.free(size)
            raise
        picture.add_done_callback(lambda _: self._room.free(size))
        return picture

    def _begin(self, data: bytes) -> Future[Picture]:
        wanted = self._wanted(data)
        if wanted is None:
            return self._on_cpu.submit(self._decode_alone, data)
        with self._closing:
            if self._is_closed:
                raise RuntimeError("an image was submitted after its decoder was closed")
            self._waiting.put(wanted)
        return wanted.picture

    def close(self) -> None:
        """Decode what was submitted, and end the threads."""
        with self._closing:
            self._is_closed = True
            self._waiting.put(None)
        self._lists.join()
        self._on_cpu.shutdown(wait=True)

    def _decode_alone(self, data: bytes) -> Picture:
        return decode_image(data, self._preprocessing, max_pixels=self._max_pixels)

    def _wanted(self, data: bytes) -> _Wanted | None:
        """Return the file with its cut if it is for the device; None if it is for decode_image."""
        if not data.startswith(jpeg_header.MAGIC):
            return None
        try:
            header = jpeg_header.read_header(data)
        except (ValueError, UnreadableImage):
            return None
        # nvJPEG is not known to tell the two kinds of three components apart.
        if header.components not in _COMPONENTS or header.is_rgb or count_scans(data, header) > MAX_SCANS:
            return None
        if not 0 < header.width * header.height <= min(self._max_pixels, MAX_IMAGE_PIXELS):
            return None
        cut = plan_cut(header.width, header.height, header.orientation, self._preprocessing)
        return None if is_panorama(cut) else _Wanted(data=data, header=header, cut=cut)

    def _decode_lists(self) -> None:
        while (first := self._waiting.get()) is not None:
            wanted = self._take(first)
            try:
                with CAPTURE_LOCK:
                    squares = self._codec.decode([one.data for one in wanted], partial(self._cut, wanted))
            except BaseException as error:  # it is raised where the pictures are waited for
                for one in wanted:
                    one.picture.set_exception(error)
                continue
            for one, square in zip(wanted, squares, strict=True):
                if square is None:
                    self._on_cpu.submit(_settle, one.picture, partial(self._decode_alone, one.data))
                else:
                    _settle(one.picture, partial(self._picture, square, one.header.orientation))

    def _take(self, first: _Wanted) -> list[_Wanted]:
        """Return the first file with those that wait behind it, as many as a list may have."""
        batch, pixels = [first], first.pixels
        while len(batch) < self._most and pixels < self._list_pixels:
            try:
                candidate = self._waiting.get_nowait()
            except Empty:
                break
            if candidate is None:
                self._waiting.put(None)
                break
            batch.append(candidate)
            pixels += candidate.pixels
        return batch

    def _cut(self, wanted: Sequence[_Wanted], images: Mapping[int, torch.Tensor]) -> Mapping[int, torch.Tensor]:
        return cut_all(images, [one.cut for one in wanted], self._preprocessing)

    def _picture(self, square: Pixels, orientation: int) -> Picture:
        return finished(Picture(pixels=turn(square, orientation)), self._preprocessing)


def _settle(picture: Future[Picture], make: Callable[[], Picture]) -> None:
    try:
        picture.set_result(make())
    except BaseException as error:  # it is raised where the picture is waited for
        picture.set_exception(error)


def open_on_gpu(preprocessing: Preprocessing, *, max_pixels: int, threads: int, most: int) -> ListDecoder:
    """Return what decodes on this machine's NVIDIA GPU. Raise Invalid, with the reason, if that is not possible."""
    codec = open_codec(torch.device("cuda"), threads=threads)
    return ListDecoder(codec, preprocessing=preprocessing, max_pixels=max_pixels, threads=threads, most=most)


def cut_all(
    images: Mapping[int, torch.Tensor], cuts: Sequence[Crop], preprocessing: Preprocessing, *, at_once: int = CUT_PIXELS
) -> Mapping[int, torch.Tensor]:
    """Return the squares (side, side, 3) of stored images (height, width, 3) by their numbers, which `cuts` has, too.

    Images of one size are cut together, up to so many pixels `at_once`: each call costs a GPU's thread ten starts of
    kernels, however many images.
    """
    alike: defaultdict[tuple[torch.Size, Crop], list[int]] = defaultdict(list)
    for number, pixels in images.items():
        alike[pixels.shape, cuts[number]].append(number)
    squares: dict[int, torch.Tensor] = {}
    for (shape, cut), numbers in alike.items():
        most = max(1, at_once // (shape[0] * shape[1]))
        for first in range(0, len(numbers), most):
            some = numbers[first : first + most]
            squares |= zip(some, cut_out([images[number] for number in some], cut, preprocessing), strict=True)
    return squares


def cut_out(images: Sequence[torch.Tensor], cut: Crop, preprocessing: Preprocessing) -> torch.Tensor:
    """Return the squares (images, side, side, 3) of images (height, width, 3) of one size, uint8 on the same device.

    They are resized in floats: on GPUs torch resizes nothing else.
    """
    height, width, _ = images[0].shape
    # As planes at once: torch's kernels for GPUs would make them of interleaved floats, in twice the memory.
    planes = torch.stack([pixels.permute(2, 0, 1) for pixels in images]).to(torch.float32)
    if (width, height) != (cut.width, cut.height):
        planes = interpolate(
            planes,
            (cut.height, cut.width),
            mode=preprocessing.interpolation,
            antialias=preprocessing.averages,
        )
    squares = planes[:, :, cut.top : cut.top + cut.side, cut.left : cut.left + cut.side]
    return squares.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

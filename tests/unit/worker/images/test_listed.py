"""Images that are decoded in lists, with nvImageCodec's decoder for CPUs in place of a GPU's: all but the device."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch
from torch.nn.functional import interpolate
from torch.overrides import TorchFunctionMode

from dueby_api.errors import Invalid
from dueby_api.source import Source
from dueby_worker.images import listed
from dueby_worker.images.decode import decode_image
from dueby_worker.images.geometry import plan_cut, turn
from dueby_worker.images.listed import ListDecoder
from dueby_worker.images.nvimgcodec import Cutter, NvImageCodec, open_codec
from dueby_worker.images.picture import Picture
from dueby_worker.images.read_ahead import DecodedImage, read_images
from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.models.preprocessing import Pixels, Preprocessing
from dueby_worker.system.capture_lock import CAPTURE_LOCK
from support.pictures import SMALL, a_preprocessing, encode, exif, jpeg_that_claims, photo, write_photos

CPU = torch.device("cpu")
CAT = photo(size=(96, 64))
WHOLE = encode(CAT, "JPEG", quality=85)
UPRIGHT = 1
LIMIT_S = 60.0
SQUARES = {
    "the usual one": SMALL,
    "without antialiasing": a_preprocessing(resize_side=36, crop_side=32, antialias=False),
    "bicubic": a_preprocessing(resize_side=36, crop_side=32, interpolation="bicubic"),
    "the nearest pixels": a_preprocessing(resize_side=36, crop_side=32, interpolation="nearest", antialias=False),
    "stretched": Preprocessing(**{**SMALL.document(), "stretches": True}),
    "as large as the image": a_preprocessing(resize_side=64, crop_side=64),
    "compressed again": Preprocessing(**{**SMALL.document(), "recompresses": True}),
}
# Files that a device doesn't decode, by what is in them.
FOR_THE_CPU = {
    "a PNG": encode(CAT, "PNG"),
    "four components": encode(CAT.convert("CMYK"), "JPEG"),
    "red, green and blue": encode(CAT, "JPEG", keep_rgb=True),
    "a panorama": encode(photo(size=(4000, 40)), "JPEG"),
    "too many scans": (many := encode(CAT, "JPEG", progressive=True))[:-2] + many[many.rindex(b"\xff\xda") : -2] * 100,
    "too many pixels for a device": jpeg_that_claims(5793, 5793),
    "too many pixels for any": jpeg_that_claims(60_000, 60_000),
    "no pixels": jpeg_that_claims(0, 5),
    "no header": WHOLE[:20],
    "nothing": b"",
}
# Of these nvImageCodec makes nothing.
UNDECODABLE = {"cut short": WHOLE[:-300], "without its end": WHOLE[:-2]}


class Counted(NvImageCodec):
    """The decoder for CPUs, which notes how long its lists are and can be held up."""

    def __init__(self) -> None:
        super().__init__(CPU, threads=1)
        self.lists: list[int] = []
        self.has_begun = threading.Event()
        self.may_decode = threading.Event()
        self.may_decode.set()

    def decode(self, files: Sequence[bytes], cut: Cutter) -> list[Pixels | None]:
        self.lists.append(len(files))
        self.has_begun.set()
        self.may_decode.wait()
        return super().decode(files, cut)


@pytest.fixture
def codec() -> Counted:
    return Counted()


def a_decoder(codec: NvImageCodec, preprocessing: Preprocessing = SMALL, **limits: int) -> ListDecoder:
    usual = {"max_pixels": 10**8, "most": 64}
    return ListDecoder(codec, preprocessing=preprocessing, threads=2, **usual | limits)


@pytest.fixture
def decoder(codec: Counted) -> Iterator[ListDecoder]:
    with closing(a_decoder(codec)) as decoder:
        yield decoder


def in_full(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """The square of a JPEG that is decoded in full, as the device's way should have it."""
    pixels = torch.from_numpy(simplejpeg.decode_jpeg(data))
    cut = plan_cut(pixels.shape[1], pixels.shape[0], UPRIGHT, preprocessing)
    return listed.cut_out([pixels], cut, preprocessing)[0].numpy()


def outcome(decode: Callable[[], Picture]) -> Picture | UnreadableImage:
    try:
        return decode()
    except UnreadableImage as refused:
        return refused


def refusal(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as refused:
        decode_image(data, SMALL)
    return str(refused.value)


@pytest.mark.parametrize("preprocessing", SQUARES.values(), ids=SQUARES)
def test_a_square_is_nearly_that_of_a_cpu(codec: Counted, preprocessing: Preprocessing) -> None:
    for data in (WHOLE, encode(CAT.convert("L"), "JPEG"), encode(CAT, "JPEG", progressive=True)):
        with closing(a_decoder(codec, preprocessing)) as decoder:
            pixels = decoder.submit(data).result().pixels
        expected = decode_image(data, preprocessing).pixels
        assert pixels.shape == expected.shape == (preprocessing.crop_side, preprocessing.crop_side, 3)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert np.abs(pixels.astype(int) - expected).max() <= (16 if preprocessing.recompresses else 3)
    assert codec.lists == [1, 1, 1]


class Resizes(TorchFunctionMode):
    """Notes how many images are resized at once."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is interpolate:
            self.counts.append(args[0].shape[0])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("preprocessing", SQUARES.values(), ids=SQUARES)
def test_images_of_one_size_are_cut_together_and_each_as_if_alone(
    preprocessing: Preprocessing,
) -> None:
    sizes = [(90, 70), (64, 80), (90, 70), (90, 70)]
    random = np.random.default_rng(7)
    images = {
        number: torch.from_numpy(random.integers(0, 256, (high, wide, 3), dtype=np.uint8))
        for number, (wide, high) in enumerate(sizes, 1)
    }
    cuts = [plan_cut(wide, high, UPRIGHT, preprocessing) for wide, high in [(1, 1), *sizes]]
    with Resizes() as resizes:
        squares = listed.cut_all(images, cuts, preprocessing, at_once=2 * 90 * 70)
    assert resizes.counts.count(2) == 1
    assert sum(resizes.counts) >= 3
    assert sorted(squares) == [1, 2, 3, 4]
    for number, pixels in images.items():
        alone = listed.cut_out([pixels], cuts[number], preprocessing)[0]
        assert torch.equal(squares[number], alone)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_as_exif_says(decoder: ListDecoder, orientation: int) -> None:
    data = encode(CAT, "JPEG", quality=95, exif=exif(orientation))
    pixels = decoder.submit(data).result().pixels
    assert np.abs(pixels.astype(int) - decode_image(data, SMALL).pixels).max() <= 3
    if orientation in (1, 2):
        assert np.array_equal(pixels, turn(in_full(encode(CAT, "JPEG", quality=95), SMALL), orientation))


@pytest.mark.parametrize("data", FOR_THE_CPU.values(), ids=FOR_THE_CPU)
def test_what_the_device_does_not_decode_is_decoded_as_in_any_job(
    codec: Counted, decoder: ListDecoder, data: bytes
) -> None:
    expected, found = outcome(lambda: decode_image(data, SMALL)), outcome(decoder.submit(data).result)
    assert type(found) is type(expected)
    if isinstance(expected, Picture) and isinstance(found, Picture):
        assert np.array_equal(found.pixels, expected.pixels)
    else:
        assert str(found) == str(expected)
    assert codec.lists == []


@pytest.mark.parametrize("data", UNDECODABLE.values(), ids=UNDECODABLE)
def test_of_what_the_device_makes_nothing_the_row_says_why(codec: Counted, decoder: ListDecoder, data: bytes) -> None:
    with pytest.raises(UnreadableImage) as error:
        decoder.submit(data).result()
    assert str(error.value) == refusal(data)
    assert codec.lists == [1]


def test_a_job_may_have_a_lower_limit_of_pixels(codec: Counted) -> None:
    with closing(a_decoder(codec, max_pixels=96 * 64 - 1)) as decoder, pytest.raises(UnreadableImage, match="limit"):
        decoder.submit(WHOLE).result()
    assert codec.lists == []


def test_a_list_is_what_waits_up_to_a_mini_batch(codec: Counted) -> None:
    codec.may_decode.clear()
    with closing(a_decoder(codec, most=4)) as decoder:
        first = decoder.submit(WHOLE)
        assert codec.has_begun.wait(LIMIT_S)
        others = [decoder.submit(data) for data in [WHOLE, UNDECODABLE["cut short"], *[WHOLE] * 4]]
        codec.may_decode.set()
        squares = [future.result().pixels for future in (first, others[0], *others[2:])]
        assert all(np.array_equal(square, squares[0]) for square in squares)
        assert str(others[1].exception()) == refusal(UNDECODABLE["cut short"])
    assert codec.lists == [1, 4, 2]


def test_a_list_has_a_limit_of_pixels(codec: Counted) -> None:
    codec.may_decode.clear()
    with closing(a_decoder(codec, list_pixels=2 * 96 * 64)) as decoder:
        futures = [decoder.submit(WHOLE)]
        assert codec.has_begun.wait(LIMIT_S)
        futures += [decoder.submit(WHOLE) for _ in range(5)]
        codec.may_decode.set()
        assert all(future.result().warning is None for future in futures)
    assert codec.lists == [1, 2, 2, 1]


def test_files_wait_for_room_before_they_are_submitted(codec: Counted) -> None:
    codec.may_decode.clear()
    with closing(a_decoder(codec, files_bytes=2 * len(WHOLE))) as decoder, ThreadPoolExecutor(1) as reader:
        for _ in range(2):
            decoder.submit(WHOLE)
        third = reader.submit(decoder.submit, WHOLE)
        with pytest.raises(TimeoutError):
            third.result(0.2)
        codec.may_decode.set()
        assert third.result(LIMIT_S).result().warning is None
        # One that is larger than the room isn't waited for in vain, whoever decodes it.
        large = decoder.submit(WHOLE + bytes(9 * len(WHOLE)))
        assert outcome(decoder.submit(b"no image" * len(WHOLE)).result)
        assert large.result().warning is None


def test_the_device_decodes_nothing_while_a_graph_is_captured() -> None:
    class Watched(NvImageCodec):
        held: bool | None = None

        def decode(self, files: Sequence[bytes], cut: Cutter) -> list[Pixels | None]:
            self.held = CAPTURE_LOCK.locked()
            return super().decode(files, cut)

    codec = Watched(CPU, threads=1)
    with closing(a_decoder(codec)) as decoder:
        decoder.submit(WHOLE).result(LIMIT_S)
    assert codec.held is True
    assert not CAPTURE_LOCK.locked()


def test_a_bug_in_the_library_is_raised_where_the_picture_is_waited_for() -> None:
    class Broken(NvImageCodec):
        def decode(self, files: Sequence[bytes], cut: Cutter) -> list[Pixels | None]:
            raise RuntimeError("an illegal memory access was encountered")

    with closing(a_decoder(Broken(CPU, threads=1))) as decoder:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="illegal memory access"):
                decoder.submit(WHOLE).result()


def read(paths: Sequence[Path], lists: ListDecoder | None, *, ahead: int = 8) -> list[DecodedImage]:
    return list(
        read_images(
            enumerate(path.as_uri() for path in paths),
            source=Source(uri="photos", decoder="cpu" if lists is None else "gpu"),
            preprocessing=SMALL,
            threads=2,
            ahead=ahead,
            begin=None if lists is None else lists.begin,
        )
    )


def test_images_come_in_order_each_with_its_own_error(codec: Counted, tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 40)
    paths[3].write_bytes(paths[3].read_bytes()[:-300])
    paths[5].write_bytes(b"<html></html>")
    paths[6].unlink()
    paths[7].write_bytes(encode(CAT, "PNG"))
    # Larger than what is read without room.
    paths[8].write_bytes(paths[8].read_bytes() + bytes(9 * 2**20))
    with closing(a_decoder(codec, most=6)) as lists:
        here, there = read(paths, None), read(paths, lists)
        again = read(paths[:9], lists, ahead=1)
    assert [(image.index, image.uri, image.error) for image in there] == [
        (image.index, image.uri, image.error) for image in here
    ]
    assert [image.index for image in there if image.error] == [3, 5, 6]
    for one, other in zip(here, there, strict=True):
        if one.pixels is not None and other.pixels is not None:
            assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 3
    assert [image.error for image in again] == [image.error for image in here[:9]]
    assert max(codec.lists) <= 6


def test_one_can_stop_reading_at_any_time(codec: Counted, tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 20)
    with closing(a_decoder(codec)) as lists:
        images = read_images(
            enumerate(path.as_uri() for path in paths),
            source=Source(uri="photos", decoder="gpu"),
            preprocessing=SMALL,
            threads=2,
            ahead=8,
            begin=lists.begin,
        )
        next(images)
        images.close()
        # It is still there for the next stretch.
        assert lists.submit(WHOLE).result().warning is None
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("images")]


@pytest.mark.parametrize("data", [WHOLE, b"no image"], ids=["for the device", "for the CPU"])
def test_a_worker_that_fails_while_it_reads_ahead_does_not_hang(codec: Counted, data: bytes) -> None:
    decoder = a_decoder(codec, files_bytes=len(data))
    with ThreadPoolExecutor(4) as readers:
        codec.may_decode.clear()
        reading = [readers.submit(decoder.submit, data) for _ in range(20)]
        codec.may_decode.set()
        decoder.close()
        for read in reading:
            error = read.exception(LIMIT_S) or read.result().exception(LIMIT_S)
            assert error is None or isinstance(error, RuntimeError | UnreadableImage)
        with pytest.raises(RuntimeError):
            decoder.submit(data)


def test_a_machine_without_a_gpu_says_what_to_do() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(Invalid) as error:
        open_codec(torch.device("cuda"), threads=1)
    assert str(error.value) == (
        "spec.source.decoder: gpu: there is no NVIDIA GPU here that torch can use; run the job on devices that have "
        "one, or set source.decoder to cpu"
    )


def test_a_codec_is_seen_to_decode_before_it_is_used() -> None:
    assert isinstance(open_codec(CPU, threads=1), NvImageCodec)

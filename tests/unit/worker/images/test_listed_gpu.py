"""Lists of images decoded on a real GPU, beside what CPUs make of the same files."""

import sys
from contextlib import closing

import numpy as np
import pytest
import torch
from PIL import Image

from dueby_worker.engines.build import build_engine
from dueby_worker.images.decode import decode_image
from dueby_worker.images.listed import ListDecoder, open_on_gpu
from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.models.preprocessing import Preprocessing
from gpu_decoding import in_floats
from support.jpegs import END, Jpeg
from support.models import loaded
from support.pictures import a_preprocessing, encode, exif, photo

pytestmark = pytest.mark.gpu
SQUARE = a_preprocessing()
CAT = photo(size=(640, 480))
WHOLE = Jpeg(encode(CAT, "JPEG", quality=85))
PROGRESSIVE = Jpeg(encode(CAT, "JPEG", progressive=True))
RESTARTS = Jpeg(encode(CAT, "JPEG", restart_marker_blocks=2))
MIDDLE = (WHOLE.scan + WHOLE.end) // 2
# nvJPEG rounds otherwise than libjpeg, in the transform as in the smoothing of colours.
MOST_APART, MEAN_APART = 16, 1.0
DAMAGED = {
    "cut short": WHOLE.data[: len(WHOLE.data) * 2 // 3],
    "cut short, with an end": WHOLE.data[: len(WHOLE.data) * 2 // 3] + END,
    "without its end": WHOLE.data[:-2],
    "with a hole": WHOLE.cut(WHOLE.scan + 100, WHOLE.scan + 900).data,
    "with zeros": WHOLE.overwrite(MIDDLE, b"\0" * (WHOLE.end - MIDDLE)).data,
    "without a restart marker": RESTARTS.cut(at := RESTARTS.data.index(b"\xff\xd0"), at + 2).data,
    "without a scan": PROGRESSIVE.cut(*PROGRESSIVE.scans[2]).data,
    "with scans that contradict each other": PROGRESSIVE.with_range(b"\0\0\0").data,
}


def a_decoder(preprocessing: Preprocessing = SQUARE, *, most: int = 64) -> ListDecoder:
    pytest.importorskip("nvidia.nvimgcodec", reason="nvImageCodec is not installed")
    return open_on_gpu(preprocessing, max_pixels=10**8, threads=2, most=most)


@pytest.mark.parametrize("size", [(640, 480), (1600, 1200), (301, 299)], ids=["usual", "large", "odd"])
@pytest.mark.parametrize("subsampling", [0, 1, 2], ids=["4:4:4", "4:2:2", "4:2:0"])
def test_squares_are_those_that_the_benchmark_expects_of_a_gpu(size: tuple[int, int], subsampling: int) -> None:
    data = encode(CAT.resize(size, Image.Resampling.BICUBIC), "JPEG", quality=85, subsampling=subsampling)
    with closing(a_decoder()) as decoder:
        pixels = decoder.submit(data).result().pixels
    apart = np.abs(pixels.astype(int) - in_floats(data, SQUARE))
    assert apart.max() <= MOST_APART
    assert apart.mean() <= MEAN_APART


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_as_exif_says(orientation: int) -> None:
    data = encode(CAT, "JPEG", exif=exif(orientation))
    with closing(a_decoder()) as decoder:
        pixels = decoder.submit(data).result().pixels
    assert np.abs(pixels.astype(int) - decode_image(data, SQUARE).pixels).mean() <= MEAN_APART


@pytest.mark.parametrize("kind", ["grey", "progressive", "with restart markers"])
def test_all_kinds_of_whole_jpegs_are_decoded(kind: str) -> None:
    grey = encode(CAT.convert("L"), "JPEG")
    data = {"grey": grey, "progressive": PROGRESSIVE.data, "with restart markers": RESTARTS.data}[kind]
    with closing(a_decoder()) as decoder:
        pixels = decoder.submit(data).result().pixels
    assert np.abs(pixels.astype(int) - decode_image(data, SQUARE).pixels).mean() <= MEAN_APART


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_harms_no_other_one_of_its_list(data: bytes) -> None:
    with closing(a_decoder(most=8)) as decoder:
        alone = decoder.submit(WHOLE.data).result().pixels
        futures = [decoder.submit(file) for file in [WHOLE.data, data, WHOLE.data, data, WHOLE.data]]
        for future in futures[::2]:
            assert np.array_equal(future.result().pixels, alone)
        for future in futures[1::2]:
            # Whether nvJPEG shows the damage is not known: docs/decisions/0017-decoding-on-a-gpu.md.
            if (error := future.exception()) is not None:
                assert isinstance(error, UnreadableImage)
            print(f"{data[:20]!r}: {error or 'decoded'}", file=sys.stderr)


def test_what_was_decoded_does_not_depend_on_the_rest_of_its_list() -> None:
    files = [encode(CAT.rotate(angle), "JPEG", quality=85) for angle in range(12)]
    with closing(a_decoder(most=1)) as one_by_one:
        alone = [one_by_one.submit(data).result().pixels for data in files]
    with closing(a_decoder(most=12)) as decoder:
        together = [future.result().pixels for future in [decoder.submit(data) for data in files * 3]]
    for number, pixels in enumerate(together):
        assert np.array_equal(pixels, alone[number % len(files)])


def test_a_graph_is_captured_while_lists_are_decoded() -> None:
    with closing(a_decoder()) as decoder:
        futures = [decoder.submit(WHOLE.data) for _ in range(500)]
        engine = build_engine(
            name="cudagraph",
            loaded=loaded("efficientnet_lite0", weights="DEFAULT", image_size=224),
            mini_batch_size=8,
            precision="fp32",
            threads=1,
        )
        engine.submit(engine.buffer())
        engine.collect()
        engine.close()
        assert all(np.array_equal(future.result().pixels, futures[0].result().pixels) for future in futures)


def test_closing_gives_the_memory_back() -> None:
    with closing(a_decoder()) as decoder:
        decoder.submit(WHOLE.data).result()
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    for _ in range(3):
        with closing(a_decoder()) as decoder:
            decoder.submit(WHOLE.data).result()
    torch.cuda.empty_cache()
    assert torch.cuda.mem_get_info()[0] >= free - 256 * 2**20

"""Decoding in processes that an image may kill. tests/integration/test_poison.py has images that do kill them."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dueby_api.source import Source
from dueby_worker.images.decode import decode_image
from dueby_worker.images.isolation import SHARED_BYTES, IsolatedDecoder, memory_left_bytes
from dueby_worker.images.read_ahead import read_images
from dueby_worker.images.unreadable import UnreadableImage
from support.pictures import SMALL, decode_pixels, encode, photo, write_photos

MAX_PIXELS = 100_000_000
GIB = 1024**3


@pytest.fixture
def decoder() -> Iterator[IsolatedDecoder]:
    decoder = IsolatedDecoder(preprocessing=SMALL, max_pixels=MAX_PIXELS, processes=2)
    yield decoder
    decoder.close()


def test_an_image_is_what_it_is_elsewhere(decoder: IsolatedDecoder) -> None:
    for kind in ("JPEG", "PNG"):
        data = encode(photo(), kind)
        decoded = decoder.decode(data)
        assert np.array_equal(decoded.picture.pixels, decode_pixels(data, SMALL))
        assert decoded.cpu_ns > 0


def test_a_faulty_file_has_the_same_warning(decoder: IsolatedDecoder) -> None:
    data = encode(photo(size=(40, 30)), "DIB")
    warning = decoder.decode(data).picture.warning
    assert warning is not None
    assert warning == decode_image(data, SMALL).warning


def test_an_image_that_can_not_be_decoded_has_the_same_error(decoder: IsolatedDecoder) -> None:
    for data in (b"", b"%PDF-1.7", encode(photo(), "JPEG")[:-2000]):
        with pytest.raises(UnreadableImage) as here:
            decode_image(data, SMALL)
        with pytest.raises(UnreadableImage) as there:
            decoder.decode(data)
        assert str(there.value) == str(here.value)


def test_the_folder_for_temporary_files_may_have_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    script = """
import sys, tempfile
from pathlib import Path
from support.pictures import SMALL
from dueby_worker.images.isolation import IsolatedDecoder

decoder = IsolatedDecoder(preprocessing=SMALL, max_pixels=10**8, processes=1)
print(decoder.decode(Path(sys.argv[1]).read_bytes()).picture.pixels.shape, tempfile.gettempdir())
decoder.close()
"""
    (tmp_path / "photo.jpg").write_bytes(encode(photo(), "JPEG"))
    command = [sys.executable, "-c", script, str(tmp_path / "photo.jpg")]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == f"(32, 32, 3) {folder}\n", done.stderr


def test_an_image_that_needs_more_memory_than_its_share_is_decoded_alone(decoder: IsolatedDecoder) -> None:
    grey = Image.fromarray(np.zeros((6_000, 7_000), dtype=np.uint16))
    buffer = io.BytesIO()
    grey.save(buffer, "PNG", compress_level=1)
    assert SHARED_BYTES < 16 * 6_000 * 7_000  # bytes that decoding it takes
    assert decoder.decode(buffer.getvalue()).picture.pixels.shape == (32, 32, 3)


def test_a_decoder_that_does_not_end_is_given_up() -> None:
    decoder = IsolatedDecoder(preprocessing=SMALL, max_pixels=MAX_PIXELS, processes=1, max_decode_s=1e-6)
    large = encode(Image.new("RGB", (3_000, 3_000)), "PNG")
    with pytest.raises(
        UnreadableImage, match=r"^It was given up because its decoder took longer than 1e-06 s, twice\.$"
    ):
        decoder.decode(large)
    decoder.close()


def test_images_come_in_order_from_the_reader(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 20)
    paths[7].write_bytes(b"%PDF-1.7")
    uris = [path.as_uri() for path in paths]
    images = list(
        read_images(
            enumerate(uris), source=Source(uri=uris[0]), preprocessing=SMALL, threads=2, ahead=8, is_isolated=True
        )
    )
    assert [image.index for image in images] == list(range(20))
    assert [image.index for image in images if image.error] == [7]


@pytest.mark.parametrize(
    ("files", "left"),
    [
        pytest.param({}, 8 * GIB, id="what the machine has"),
        pytest.param({"memory.max": "max\n"}, 8 * GIB, id="v2 without a limit"),
        pytest.param({"memory.max": f"{4 * GIB}\n"}, 3 * GIB, id="v2"),
        pytest.param({"memory/memory.limit_in_bytes": f"{2 * GIB}\n"}, GIB, id="v1"),
        pytest.param({"memory.max": f"{GIB // 2}\n"}, 0, id="more is held than allowed"),
    ],
)
def test_what_is_left_is_the_least_of_machine_and_container(tmp_path: Path, files: dict[str, str], left: int) -> None:
    written = {
        "proc/meminfo": f"MemTotal: 99999999 kB\nMemAvailable: {8 * GIB // 1024} kB\n",
        "proc/self/status": f"Name: python\nVmRSS:\t {GIB // 1024} kB\n",
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }
    for name, text in written.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory_left_bytes(tmp_path) == left

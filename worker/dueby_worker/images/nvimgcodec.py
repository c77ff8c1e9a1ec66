"""Decode lists of JPEGs with nvImageCodec, NVIDIA's library, which is imported only here.

On a GPU it calls nvJPEG. It has a decoder for CPUs, too, by the same interface: that one is for tests on machines
without a GPU, and the device is all that differs. What is different from images/jpeg.py, whatever the device:

- it decodes in full and doesn't reduce, so that an image takes 3 bytes of the device's memory for each pixel;
- it isn't strict: damage inside a file may pass (docs/decisions/0017-decoding-on-a-gpu.md);
- one call takes a list, and has None for each file of which it makes nothing.

Images stay on the device until they are cut to what a model sees, and only that comes back.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from dueby_api.errors import Invalid
from dueby_worker.images.jpeg import encode
from dueby_worker.models.preprocessing import Pixels

Cutter = Callable[[Mapping[int, torch.Tensor]], Mapping[int, torch.Tensor]]
"""Returns the squares (side, side, 3) of images (height, width, 3), all uint8, by their numbers in the list."""

EXTRA = "dueby[gpu-decoding]"
# Colours are smoothed, as libjpeg does; by default they are repeated.
_OPTIONS = ":fancy_upsampling=1"


class NvImageCodec:
    """Decodes JPEGs on one device. Not thread-safe."""

    def __init__(self, device: torch.device, *, threads: int) -> None:
        """Open the library for the device. `threads` is how many of the host's cores it may use beside the device.

        Raise ImportError if it isn't installed.
        """
        library = self._library = _load()
        is_gpu = device.type == "cuda"
        kinds = library.BackendKind
        # Not HW_GPU_ONLY: some GPUs have a unit for JPEGs, and nobody has seen yet whether its pixels are the same.
        # Without a list, files of which the GPU makes nothing would be decoded on the CPU unseen.
        backends = (kinds.GPU_ONLY, kinds.HYBRID_CPU_GPU) if is_gpu else (kinds.CPU_ONLY,)
        self._decoder = library.Decoder(
            device_id=torch.cuda.current_device() if is_gpu else library.NVIMGCODEC_DEVICE_CPU_ONLY,
            max_num_cpu_threads=threads,
            backends=[library.Backend(kind) for kind in backends],
            options=_OPTIONS,
        )
        # Photos are cut as they are stored and turned afterwards, as on the CPU.
        self._params = library.DecodeParams(apply_exif_orientation=False, color_spec=library.ColorSpec.SRGB)
        # Not the default stream, which waits for others and has others wait.
        self._stream = torch.cuda.Stream() if is_gpu else None  # type: ignore[no-untyped-call]

    def decode(self, files: Sequence[bytes], cut: Cutter) -> list[Pixels | None]:
        """Return the square of each file, cut on the device; None for files of which the library makes nothing."""
        streams = [self._library.CodeStream(data) for data in files]
        handle = 0 if self._stream is None else self._stream.cuda_stream
        with torch.inference_mode(), self._on_stream():
            # They hold the device's memory, so they live until the squares have been copied.
            images = self._decoder.decode(streams, params=self._params, cuda_stream=handle)
            squares = cut({number: self._tensor(image) for number, image in enumerate(images) if image is not None})
            # One copy for all of them, because each copy waits for the device.
            copied = torch.stack(list(squares.values())).cpu().numpy() if squares else ()
        by_number = dict(zip(squares, copied, strict=True))
        return [by_number.get(number) for number in range(len(files))]

    def _on_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _tensor(self, image: Any) -> torch.Tensor:
        """Return the image's pixels (height, width, 3) where they lie."""
        if self._stream is None:
            return torch.from_numpy(np.asarray(image))
        # By __cuda_array_interface__. The library and torch use the same stream here, so neither waits for the other.
        return torch.as_tensor(image, device="cuda")


def open_codec(device: torch.device, *, threads: int) -> NvImageCodec:
    """Return a codec that was seen to decode. Raise Invalid, with the reason and what to do, if there can be none."""
    if device.type == "cuda" and not torch.cuda.is_available():
        raise _obstacle("there is no NVIDIA GPU here that torch can use; run the job on devices that have one")
    try:
        codec = NvImageCodec(device, threads=threads)
        decoded = codec.decode([encode(np.zeros((16, 16, 3), np.uint8), quality=90)], lambda images: images)
    except ImportError as error:
        raise _obstacle(f"nvImageCodec can't be loaded ({error}); install it with pip install '{EXTRA}'") from error
    except RuntimeError as error:  # all that the library raises, such as for a driver of an older CUDA
        raise _obstacle(f"nvImageCodec fails here ({error}); install the one for this driver's CUDA") from error
    if decoded[0] is None:
        # It has a library for each format, and does without those that it doesn't find.
        raise _obstacle(f"nvImageCodec doesn't find nvJPEG; install both with pip install '{EXTRA}'")
    return codec


def _obstacle(sentence: str) -> Invalid:
    return Invalid("spec.source.decoder", f"gpu: {sentence}, or set source.decoder to cpu")


def _load() -> Any:
    # It prints a line for each file of which it makes nothing, with the file's number in the list. The row has more.
    os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")
    from nvidia import nvimgcodec

    return nvimgcodec

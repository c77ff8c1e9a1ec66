"""JPEGs decoded by nvImageCodec, in full and only where a model looks: how fast, how many, and whether pixels agree.

    python benchmarks/gpu_steps_decoder.py --photos DIR --device cuda --list 64 --seconds 3

Workers decode in full, on the GPU's multiprocessors. This tries what they might gain by: the region that is cut out,
and the unit for JPEGs that A100, H100 and L4 cards have. Nothing reduces a photo while it is decoded: nvImageCodec 0.9
has no option for that, and nvJPEG's own (nvjpegDecodeParamsSetScaleFactor) works with that unit only. It prints one
line of JSON.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# The library prints a line for each file of which it makes nothing.
os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")
from nvidia import nvimgcodec  # it reads the variable when it is loaded

# EfficientNet-B0's: the shorter side becomes RESIZED pixels, SQUARE of them are seen, and the filter reaches 2 further.
RESIZED, SQUARE, REACH = 256, 224, 2
# As workers ask for it; and for regions, at whose edges nvJPEG smooths colours rightly from 13.2 on.
OPTIONS = ":fancy_upsampling=1 :enable_roi_fancy_upsampling=1"
KIND = nvimgcodec.BackendKind
BACKENDS: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "cuda": {"multiprocessors": (KIND.GPU_ONLY, KIND.HYBRID_CPU_GPU), "unit": (KIND.HW_GPU_ONLY,)},
    "cpu": {"cores": (KIND.CPU_ONLY,)},
}


def main() -> None:
    """Decode, compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--device", choices=list(BACKENDS), required=True)
    parser.add_argument("--list", type=int, required=True, help="photos that are decoded at once")
    parser.add_argument("--seconds", type=float, required=True, help="for each way")
    options = parser.parse_args()
    files = [path.read_bytes() for path in sorted(options.photos.glob("*.jpg"))[: options.list]]
    found = {name: measure(files, options, kinds) for name, kinds in BACKENDS[options.device].items()}
    print(json.dumps({"photos": len(files), "backends": found}))


def measure(files: Sequence[bytes], options: argparse.Namespace, kinds: Sequence[Any]) -> dict[str, Any]:
    """One decoder's speeds; None where it decodes nothing."""
    device = 0 if options.device == "cuda" else nvimgcodec.NVIMGCODEC_DEVICE_CPU_ONLY
    decoder = nvimgcodec.Decoder(
        device_id=device, max_num_cpu_threads=1, backends=[nvimgcodec.Backend(kind) for kind in kinds], options=OPTIONS
    )
    params = nvimgcodec.DecodeParams(apply_exif_orientation=False, color_spec=nvimgcodec.ColorSpec.SRGB)
    whole = [nvimgcodec.CodeStream(data) for data in files]
    seen = [region_of(stream) for stream in whole]
    parts = [stream.get_sub_code_stream(region=region) for stream, region in zip(whole, seen, strict=True)]

    def decode(streams: Sequence[Any]) -> list[Any]:
        return list(decoder.decode(list(streams), params=params))

    pairs = [
        (pixels(image)[region.start[0] : region.end[0], region.start[1] : region.end[1]], pixels(part))
        for image, part, region in zip(decode(whole), decode(parts), seen, strict=True)
        if image is not None and part is not None
    ]
    return {
        "inFull": speed(lambda: decode(whole), options.seconds),
        "regions": speed(lambda: decode(parts), options.seconds),
        "regionsOfPixels": sum(map(area, seen)) / sum(stream.width * stream.height for stream in whole),
        "compared": len(pairs),
        "largestDifference": max((int(np.abs(one.astype(int) - two).max()) for one, two in pairs), default=None),
    }


def region_of(stream: Any) -> Any:
    """What of a photo the square is made from."""
    height, width = stream.height, stream.width
    half = (SQUARE / 2 + REACH) * min(height, width) / RESIZED
    start = [max(0, int(length / 2 - half)) for length in (height, width)]
    end = [min(length, int(length / 2 + half) + 1) for length in (height, width)]
    return nvimgcodec.Region(start=start, end=end)


def area(region: Any) -> int:
    """Its pixels."""
    return int((region.end[0] - region.start[0]) * (region.end[1] - region.start[1]))


def pixels(image: Any) -> np.ndarray:
    """The image on the host."""
    return np.asarray(image.cpu())


def speed(decode: Callable[[], Sequence[Any]], seconds: float) -> float | None:
    """Photos a second that are decoded, in the photos' own size; None if there are none."""
    began, count = time.perf_counter(), 0
    while not count or time.perf_counter() < began + seconds:
        images = [image for image in decode() if image is not None]
        if not images:
            return None
        images[-1].cpu()  # waits for the device
        count += len(images)
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    main()

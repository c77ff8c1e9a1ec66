"""How answers would change if a GPU decoded: the same photos, decoded as one would and as workers do.

    python benchmarks/gpu_decoding.py       # a minute; needs no GPU

Each step takes one thing that a decoder on a GPU does otherwise, and adds it to those before. What it does is done here
on the CPU, so what is seen is what comes of that step alone, and no decoder's own rounding:

- workers have photos of more than twice the wanted size reduced while they are decoded; nvJPEG decodes in full;
- workers resize bytes, which PyTorch rounds after each axis; on a GPU it resizes floats only;
- workers smooth the colours that a JPEG has at half its size; nvJPEG repeats them unless it is told to smooth.

Differences are those from what workers have. Probabilities are EfficientNet-Lite0's at fp32, over its 1,000 classes.
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch.nn.functional import interpolate

from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_worker.engines.network import Network
from dueby_worker.images.decode import decode_image
from dueby_worker.images.geometry import cut_out, plan_cut
from dueby_worker.models.loading import LoadedModel, load_model
from dueby_worker.models.preprocessing import Pixels, Preprocessing
from photos import QUALITY, write_photos

SIZES = ((640, 480), (1600, 1200))
UPRIGHT = 1
# What comes of a photo's bytes: the square that the model sees.
Way = Callable[[bytes, Preprocessing], Pixels]


def in_full(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """Decoded in full, and resized as bytes."""
    pixels = simplejpeg.decode_jpeg(data)
    return cut_out(pixels, plan_cut(pixels.shape[1], pixels.shape[0], UPRIGHT, preprocessing), preprocessing)


def in_floats(data: bytes, preprocessing: Preprocessing, *, is_smooth: bool = True) -> Pixels:
    """Decoded in full, and resized as floats."""
    pixels = simplejpeg.decode_jpeg(data, fastupsample=not is_smooth)
    cut = plan_cut(pixels.shape[1], pixels.shape[0], UPRIGHT, preprocessing)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    resized = interpolate(planes, (cut.height, cut.width), mode=preprocessing.interpolation, antialias=True)
    square = resized[0, :, cut.top : cut.top + cut.side, cut.left : cut.left + cut.side]
    return square.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def with_repeated_colours(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """As `in_floats`, and colours are not smoothed."""
    return in_floats(data, preprocessing, is_smooth=False)


WAYS: dict[str, Way] = {
    "decoded in full": in_full,
    "and resized in floats": in_floats,
    "and colours repeated": with_repeated_colours,
}


def main() -> None:
    """Decode, classify and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=48, help="how many (default: %(default)s)")
    count: int = parser.parse_args().photos
    model = load_model(Model(name="efficientnet_lite0"), Output())
    print(
        "| photos | a GPU's way | pixels differ by, of 255 | at most | probabilities differ by, at most | other best |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for size in SIZES:
        photos = photos_of(size, count)
        ours = squares(photos, model, lambda data, preprocessing: decode_image(data, preprocessing).pixels)
        expected = probabilities(model, ours)
        for name, way in WAYS.items():
            theirs = squares(photos, model, way)
            found = probabilities(model, theirs)
            pixels = np.abs(ours.astype(int) - theirs)
            others = int((expected.argmax(1) != found.argmax(1)).sum())
            worst = float((expected - found).abs().max())
            numbers = f"{pixels.mean():.2f} | {pixels.max()} | {worst:.1e} | {others} of {count}"
            print(f"| {size[0]} x {size[1]} | {name} | {numbers} |")


def photos_of(size: tuple[int, int], count: int) -> list[bytes]:
    """Return so many photos' files, enlarged to that size."""
    with TemporaryDirectory() as folder:
        return [_enlarged(path, size) for path in write_photos(Path(folder), count)]


def _enlarged(path: Path, size: tuple[int, int]) -> bytes:
    with Image.open(path) as photo:
        if photo.size == size:
            return path.read_bytes()
        buffer = io.BytesIO()
        photo.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=QUALITY)
        return buffer.getvalue()


def squares(photos: list[bytes], model: LoadedModel, way: Way) -> Pixels:
    """Return what the model sees of each photo."""
    return np.stack([way(data, model.preprocessing) for data in photos])


def probabilities(model: LoadedModel, images: Pixels) -> torch.Tensor:
    """Return those of each class."""
    network = Network(model.module, model.preprocessing).eval()
    with torch.inference_mode():
        return torch.cat([network(torch.from_numpy(image[None])).softmax(1) for image in images])


if __name__ == "__main__":
    main()

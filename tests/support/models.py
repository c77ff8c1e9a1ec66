"""Networks, weights and pictures for tests. They are small, and random unless a test is about what they say."""

from collections.abc import Callable
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.models import get_model

from dueby_api.inference_job import Model
from dueby_worker.models.loading import LoadedModel, load_model
from dueby_worker.models.preprocessing import Pixels, Preprocessing

# Few weights and fast at any size; its outputs differ between pictures even with random weights.
SMALL = "squeezenet1_1"
IMAGENET_NAMES = 1000


@cache
def loaded(
    name: str = SMALL, *, weights: str = "none", image_size: int = 64, classes: int | None = None
) -> LoadedModel:
    """The model, loaded once for all tests: engines must leave it as it is."""
    return load_model(Model(name=name, weights=weights, image_size=image_size, classes=classes))


def trained(name: str = SMALL, *, classes: int = IMAGENET_NAMES, seed: int = 7, **options: bool) -> nn.Module:
    """A network as somebody's training leaves it: no layer has the values that it began with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: torch.nn.Module = get_model(name, weights=None, num_classes=classes, **options).eval()
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.01 * torch.rand_like(tensor))
    return network


def written(path: Path, content: object, write: Callable[..., None] = torch.save) -> str:
    """The content in a file; its path, as a job gives it."""
    write(content, path)
    return str(path)


def noise(count: int, side: int, *, seed: int = 0) -> Pixels:
    """Pictures of noise."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def photo(name: str, preprocessing: Preprocessing) -> Pixels:
    """A photo of scikit-image's, (1, side, side, 3), prepared by Pillow."""
    with as_file(files("skimage") / "data" / name) as path, Image.open(path) as image:
        scale = preprocessing.resize_side / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        side = preprocessing.crop_side
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        return np.array(resized.crop((left, top, left + side, top + side)))[None]

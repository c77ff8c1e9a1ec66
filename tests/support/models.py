"""Networks, weights and images for tests. They are small, and random unless a test is about their results."""

from collections.abc import Callable
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.models import get_model

from dueby_api.inference_job import Model
from dueby_worker.models.loading import LoadedModel, load_model
from dueby_worker.models.preprocessing import Pixels, Preprocessing

# It has few weights, is fast at any size, and its outputs differ between images even with random weights.
SMALL = "squeezenet1_1"
IMAGENET_NAMES = 1000

State = dict[str, torch.Tensor]


def load(name: str = SMALL, *, image_size: int = 64, **changes: Any) -> LoadedModel:
    """Load the model as a job with these fields would."""
    return load_model(Model(name=name, image_size=image_size, **changes))


@cache
def loaded(
    name: str = SMALL, *, weights: str = "none", image_size: int = 64, classes: int | None = None
) -> LoadedModel:
    """Return the model, loaded once for all tests: engines must not change it."""
    return load_model(Model(name=name, weights=weights, image_size=image_size, classes=classes))


def trained(name: str = SMALL, *, classes: int = IMAGENET_NAMES, seed: int = 7, **options: bool) -> nn.Module:
    """Return a network as training would leave it: no layer has its initial values."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: torch.nn.Module = get_model(name, weights=None, num_classes=classes, **options).eval()
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.01 * torch.rand_like(tensor))
    return network


def logits(module: nn.Module, side: int = 64) -> torch.Tensor:
    """Return the network's outputs for two images of noise."""
    images = torch.from_numpy(noise(2, side)).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        found: torch.Tensor = module(images)
    return found


def written(path: Path, content: object, write: Callable[..., None] = torch.save) -> str:
    """Write the content to a file and return its path as a job gives it."""
    write(content, path)
    return str(path)


def noise(count: int, side: int, *, seed: int = 0) -> Pixels:
    """Return images of noise."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def photo(name: str, preprocessing: Preprocessing) -> Pixels:
    """Return one of scikit-image's photos as (1, side, side, 3), prepared by Pillow."""
    with as_file(files("skimage") / "data" / name) as path, Image.open(path) as image:
        scale = preprocessing.resize_side / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        side = preprocessing.crop_side
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        return np.array(resized.crop((left, top, left + side, top + side)))[None]

"""How the peers of peers.py prepare photos and run the networks.

As documented, photos become normalised floats, one by one, and the network is the plain module. Tuned, photos stay
uint8 until they are a mini-batch, and the network is that of DueBy's eager engine, prepared once in a file which all
processes of a peer map into memory.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from peers_task import DECODE, Task

# Floats (b, 3, side, side) as documented, uint8 (b, side, side, 3) tuned; labels and scores come back.
Classify = Callable[[torch.Tensor], tuple[list[int], list[float]]]


class FloatPreset:
    """A photo as Ray's and Daft's examples prepare it: ToTensor, then the weights' own preset, in floats."""

    def __init__(self, preset: Mapping[str, Any]) -> None:
        from torchvision import transforms
        from torchvision.transforms import InterpolationMode

        self.transform = transforms.Compose(
            [
                transforms.ToTensor(),
                transforms.Resize(preset["resize"], InterpolationMode(preset["interpolation"]), antialias=True),
                transforms.CenterCrop(preset["crop"]),
                transforms.Normalize(preset["mean"], preset["std"]),
            ]
        )

    def __call__(self, photo: Any) -> torch.Tensor:
        """(3, side, side) of a Pillow image, or of an array (height, width, 3)."""
        prepared: torch.Tensor = self.transform(photo)
        return prepared

    def of_file(self, path: str) -> torch.Tensor:
        """(3, side, side) of a file, opened by Pillow."""
        from PIL import Image

        with Image.open(path) as photo:
            return self(photo.convert("RGB"))


class Uint8Square:
    """A photo in the fastest way that torchvision offers: its own decoder, resized and cropped in uint8."""

    def __init__(self, preset: Mapping[str, Any]) -> None:
        from torchvision.io import ImageReadMode, decode_jpeg
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.v2 import functional

        self._decode, self._rgb, self._functional = decode_jpeg, ImageReadMode.RGB, functional
        self._resize, self._crop = [preset["resize"]], [preset["crop"]]
        self._filter = InterpolationMode(preset["interpolation"])

    def __call__(self, data: bytes | NDArray[np.uint8]) -> torch.Tensor:
        """(side, side, 3) of a file's bytes."""
        # bytearray: torch warns of memory that it may not write to.
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        pixels = self._decode(encoded, mode=self._rgb)
        pixels = self._functional.resize(pixels, self._resize, self._filter, antialias=True)
        square: torch.Tensor = self._functional.center_crop(pixels, self._crop).permute(1, 2, 0).contiguous()
        return square

    def of_file(self, path: str) -> torch.Tensor:
        """(side, side, 3) of a file."""
        return self(Path(path).read_bytes())


def preset_of(task: Task) -> FloatPreset | Uint8Square:
    """How this peer prepares a photo."""
    return Uint8Square(task.preset) if task.tuned else FloatPreset(task.preset)


def load_classifier(task: Task) -> Classify:
    """The network, or for "decode" what shows that there are pixels."""
    if task.model == DECODE:
        return first_channel_means(is_uint8=task.tuned)
    network = load_network(task)

    def classify(pixels: torch.Tensor) -> tuple[list[int], list[float]]:
        with torch.inference_mode():
            found = network(pixels)
            scores, labels = (
                (found["scores"], found["classes"]) if isinstance(found, dict) else found.softmax(1).topk(1)
            )
        return labels[:, 0].tolist(), scores[:, 0].tolist()

    return classify


def load_network(task: Task) -> nn.Module:
    """The network in this process."""
    if task.tuned:
        # DueBy's eager network, folded and in channels_last; mapped, so that processes share its pages.
        network: nn.Module = torch.load(task.models / f"{task.model}.tuned.pt", mmap=True, weights_only=False)
        return network
    network = build_plain(task.model)
    network.load_state_dict(torch.load(task.models / f"{task.model}.pth", weights_only=True))
    return network.eval()


def build_plain(model: str) -> nn.Module:
    """The module with random weights: torchvision's, or EfficientNet-Lite0, which torchvision doesn't have."""
    if model == "efficientnet_lite0":
        from dueby_worker.models.lite0 import build_lite0

        return build_lite0(image_size=224, classes=1000)
    import torchvision.models

    network: nn.Module = torchvision.models.get_model(model, weights=None)
    return network


def first_channel_means(*, is_uint8: bool) -> Classify:
    """What stands for a network in the task "decode"."""

    def means(pixels: torch.Tensor) -> tuple[list[int], list[float]]:
        channel = pixels[..., 0].flatten(1).float() if is_uint8 else pixels[:, 0].flatten(1)
        return [0] * len(pixels), channel.mean(1).tolist()

    return means

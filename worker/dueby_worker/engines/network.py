"""The network as torch runs it: from uint8 images to the best classes, in the fastest layout and precision.

Batch norms are folded into the convolutions before them. That is exact up to rounding (3e-6 in the logits), and up to
1.4 times as fast on CPUs, where a batch norm is another pass over memory. Normalisation, softmax and top-k are in fp32
whatever the precision of the network: they cost almost nothing, and 1,000 classes in bf16 would have ties.
"""

import copy
from typing import cast

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dueby_api.engines import Precision
from dueby_worker.engines.interface import MAX_CLASSES
from dueby_worker.models.loading import LoadedModel
from dueby_worker.models.preprocessing import Preprocessing

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Logits(nn.Module):
    """The model with its normalisation in front: maps (b, side, side, 3) uint8 to (b, classes) logits."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, module: nn.Module, preprocessing: Preprocessing, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.module = module
        self.dtype = dtype
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (preprocessing.mean, preprocessing.std))
        # (x / 255 - mean) / std, rewritten as one multiplication and one addition for each channel.
        self.register_buffer("scale", (1 / (255 * std)).float().view(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).float().view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalise the images and run the model."""
        # permute makes a view: NHWC bytes are a channels_last tensor, and stay one through every layer.
        planes = pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift
        return cast(torch.Tensor, self.module(planes.to(self.dtype)))


class Classifier(nn.Module):
    """Maps (b, side, side, 3) uint8 to the best classes and their probabilities."""

    def __init__(self, logits: nn.Module, classes: int) -> None:
        super().__init__()
        self.logits = logits
        self.count = min(MAX_CLASSES, classes)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the best classes and their probabilities."""
        return best_classes(self.logits(pixels), self.count)


def best_classes(logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (b, count) int32 classes, best first, and their float32 probabilities."""
    scores, classes = logits.float().softmax(dim=1).topk(count, dim=1)
    return classes.to(torch.int32), scores


def tuned_classifier(loaded: LoadedModel, precision: Precision) -> Classifier:
    """Return a copy of the model for inference: folded, channels_last, in this precision."""
    dtype = DTYPES[precision]
    module = fold_batch_norms(loaded.module).to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Classifier(Logits(module, loaded.preprocessing, dtype), len(loaded.labels)).eval().requires_grad_(False)


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """Return a copy in which a batch norm is merged into a convolution that feeds nothing else.

    The module must be traceable by torch.fx, which all of torchvision's classifiers are.
    """
    # torch.fx.experimental.optimization.fuse does the same, but importing it warns of torch.jit's deprecation.
    traced = fx.symbolic_trace(copy.deepcopy(module))
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not (isinstance(before, fx.Node) and before.op == "call_module" and len(before.users) == 1):
            continue
        convolution, norm = modules[str(before.target)], modules[str(node.target)]
        if type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.track_running_stats:
            traced.set_submodule(str(before.target), fuse_conv_bn_eval(convolution, norm))
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced

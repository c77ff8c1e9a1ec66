"""The network as torch runs it: from uint8 images to the columns of their rows, at the job's precision.

Batch norms are folded into the convolutions before them. That is exact up to rounding (3e-6 in the logits), and up to
1.4 times as fast on CPUs, where a batch norm is another pass over memory. What is before and after the network (the
normalisation, softmax and top-k, an embedding's length) is in fp32 whatever the precision of the network: it costs
almost nothing, and 1,000 classes in bf16 would have ties.
"""

import copy
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dueby_api.classifiers import source_of
from dueby_api.engines import Precision
from dueby_worker.models.columns import FLAGGED, RowRule
from dueby_worker.models.embedding import is_close, tried_images
from dueby_worker.models.loading import LoadedModel
from dueby_worker.models.preprocessing import Preprocessing

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    # The layers' tensors are those of fp32; only what they multiply is rounded, by the GPU.
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
Layout = Literal["NHWC", "NCHW"]
"""How maps lie in memory: all channels of a pixel side by side (channels last), or all pixels of a channel."""


class Network(nn.Module):
    """The model with its normalisation in front: maps (b, side, side, 3) uint8 to the model's (b, values)."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, module: nn.Module, preprocessing: Preprocessing, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.module = module
        self.dtype = dtype
        self.layout: Layout = "NHWC"
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (preprocessing.mean, preprocessing.std))
        # (x / 255 - mean) / std, rewritten as one multiplication and one addition for each channel.
        self.register_buffer("scale", (1 / (255 * std)).float().view(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).float().view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalise the images and run the model."""
        # permute makes a view: NHWC bytes are a channels_last tensor, and stay one through every layer.
        planes = (pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift).to(self.dtype)
        return cast(torch.Tensor, self.module(planes if self.layout == "NHWC" else planes.contiguous()))


class RowNetwork(nn.Module):
    """Maps (b, side, side, 3) uint8 to the columns of b rows."""

    def __init__(self, network: nn.Module, rule: RowRule) -> None:
        super().__init__()
        self.network = network
        self.rule = rule

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the columns by name."""
        return columns_from(self.network(pixels), self.rule)


def probabilities_from(values: torch.Tensor, rule: RowRule) -> torch.Tensor:
    """Return the probability of each class, in fp32."""
    return values.float() if rule.are_probabilities else values.float().softmax(dim=1)


def columns_from(values: torch.Tensor, rule: RowRule) -> dict[str, torch.Tensor]:
    """Return the columns that the network's (b, values) become, as models/columns.py describes them."""
    output = rule.output
    match output.kind:
        case "TopK":
            probabilities = probabilities_from(values, rule)
            scores, classes = probabilities.topk(min(output.k or 1, values.shape[1]), dim=1)
            columns = {"classes": classes.to(torch.int32), "scores": scores}
            if output.threshold is not None and rule.watched is not None:
                columns[FLAGGED] = probabilities[:, rule.watched, None] > output.threshold.above
            return columns
        case "Probabilities":
            return {"probabilities": probabilities_from(values, rule)}
        case "Embedding":
            values = values.float()
            scaled = functional.normalize(values, dim=1) if output.normalize else values
            return {"embedding": scaled.to(torch.float16 if output.dtype == "float16" else torch.float32)}


def tuned_network(loaded: LoadedModel, precision: Precision) -> RowNetwork:
    """Return a copy of the model for inference: folded, channels_last, in this precision."""
    dtype = DTYPES[precision]
    # torchvision's networks are known to be traced whole. Of others, the trial takes as long as four images do.
    images = None if source_of(loaded.name) is None else tried_images(loaded.preprocessing.crop_side)
    module = fold_batch_norms(loaded.module, images).to(dtype=dtype)
    network = RowNetwork(Network(module, loaded.preprocessing, dtype), loaded.rule).eval().requires_grad_(False)
    lay_out(network, "NHWC")
    return network


def lay_out(network: RowNetwork, layout: Layout) -> None:
    """Change how the network's weights lie in memory, and the maps that it makes."""
    inner = cast(Network, network.network)
    inner.layout = layout
    for tensor in (*inner.module.parameters(), *inner.module.buffers()):
        # Module.to would do the same, but fails for tensors of five dimensions, which timm's Swin has.
        if tensor.dim() == 4:
            tensor.data = _laid_out(tensor.data, layout)


def _laid_out(weights: torch.Tensor, layout: Layout) -> torch.Tensor:
    if layout == "NHWC":
        return weights.contiguous(memory_format=torch.channels_last)
    # Not `contiguous`: it would leave weights of 1 x 1 as they are, whose strides may still say channels last, and one
    # such tensor makes cuDNN compute in that layout.
    return weights.clone(memory_format=torch.contiguous_format)


def has_convolutions(network: RowNetwork) -> bool:
    """Return whether the network has weights for which it matters how they lie in memory."""
    return any(tensor.dim() == 4 for tensor in network.parameters())


def fold_batch_norms(module: nn.Module, images: torch.Tensor | None = None) -> nn.Module:
    """Return a copy in which a batch norm is merged into a convolution that feeds nothing else.

    Return a plain copy if torch.fx can't trace it, as some of timm's and transformers' can't be, or would miss a part
    of it. Whether it does shows on the images, if there are any. People's own networks may raise anything then.
    """
    has_own_call = type(module).__call__ is not nn.Module.__call__ and not isinstance(module, fx.GraphModule)
    if has_own_call or not _is_unchanged(module):
        return copy.deepcopy(module)
    # torch.fx.experimental.optimization.fuse does the same, but importing it warns of torch.jit's deprecation.
    try:
        traced = fx.symbolic_trace(copy.deepcopy(module))
    except Exception:
        return copy.deepcopy(module)
    _fold(traced)
    return traced if images is None or _answers_alike(traced, module, images) else copy.deepcopy(module)


def _answers_alike(traced: fx.GraphModule, module: nn.Module, images: torch.Tensor) -> bool:
    try:
        # Not inference_mode: what networks keep of a call must be of use outside of it, too.
        with torch.no_grad():
            # Not by a call, of whose errors torch.fx prints the traced code. Clones, since it may compute in place.
            return is_close(traced.forward(images.clone()), module(images.clone()))
    except Exception:
        return False


def _fold(traced: fx.GraphModule) -> None:
    uses = Counter(id(used) for node in traced.graph.nodes if (used := _used_by(node, traced)) is not None)
    for node in list(traced.graph.nodes):
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not (isinstance(before, fx.Node) and before.op == "call_module" and len(before.users) == 1):
            continue
        convolution, norm = traced.get_submodule(str(before.target)), traced.get_submodule(str(node.target))
        # A layer that is used twice may have other neighbours there.
        if not all(uses[id(layer)] == 1 and _is_unchanged(layer) for layer in (convolution, norm)):
            continue
        if type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.track_running_stats:
            traced.set_submodule(str(before.target), fuse_conv_bn_eval(convolution, norm))
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    traced.recompile()
    traced.delete_all_unused_submodules()


def _is_unchanged(module: nn.Module) -> bool:
    """Return whether calling the module runs the forward of its class and nothing else, such as hooks."""
    # torch has no public way to ask for hooks.
    return not (module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _used_by(node: fx.Node, traced: fx.GraphModule) -> nn.Module | None:
    """Return the layer that the node calls, or whose weights it reads; None if it does neither."""
    match node.op:
        case "call_module":
            return traced.get_submodule(str(node.target))
        case "get_attr":
            return traced.get_submodule(str(node.target).rpartition(".")[0])
    return None


@contextmanager
def quiet_tracing() -> Iterator[None]:
    """Keep back what would say nothing to people who classify images."""
    with warnings.catch_warnings():
        # torch.jit.trace is deprecated, and so is what calls it.
        warnings.simplefilter("ignore", DeprecationWarning)
        # The tracer reads all properties of a module, and so those that transformers will remove.
        warnings.simplefilter("ignore", FutureWarning)
        # The tracer warns of shapes that it takes for constants, and here they are.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        yield

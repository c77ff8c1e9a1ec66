"""Cut a network so that it gives an embedding: what one of its layers makes of an image.

By default that is the input of the network's last layer, the one that tells classes apart: 2,048 values of ResNet-50,
1,280 of EfficientNet-B0, 768 of ViT-B/16. The rule is the same for all of torchvision's classifiers, and gives what
setting `fc` or the last entry of `classifier` to Identity gives. Any other layer is found by the name that
torchvision.models.feature_extraction knows it by. Its output must be a vector, or a map (channels, side, side), which
is averaged over its places, as the networks themselves do before they classify.
"""

import difflib
from typing import cast

import torch
from torch import fx, nn

from dueby_api.errors import Invalid
from dueby_api.output import MAX_VALUES
from dueby_worker.models.late_compiler import compiler_imported_late

FIELD = "spec.output.layer"
_VALUE = "embedding"
# How many names of layers a message lists.
_SHOWN = 5


class CutsItself(nn.Module):
    """A network whose layers torch knows nothing of."""

    def cut(self, layer: str | None, *, side: int) -> tuple[nn.Module, int]:
        """Return the network up to the layer, and how many values it gives of an image; Invalid as `cut_network`."""
        raise NotImplementedError


def cut_network(module: nn.Module, layer: str | None, *, side: int) -> tuple[nn.Module, int]:
    """Return the network up to the layer, or up to its last one, and how many values it gives of an image.

    The given network is used up. Raise Invalid if there is no such layer or it gives no vector.
    """
    if isinstance(module, CutsItself):
        cut, values = module.cut(layer, side=side)
    else:
        cut, values = _without_head(module) if layer is None else _up_to(module, layer, side=side)
    if values > MAX_VALUES:
        where = layer or "the last layer's input"
        raise Invalid(FIELD, f"{where} has {values:,} values; an embedding has at most {MAX_VALUES:,}")
    return cut, values


def _without_head(module: nn.Module) -> tuple[nn.Module, int]:
    # In all of torchvision's classifiers the last layer with classes is also the last one to be made.
    layers = [item for item in module.named_modules() if item[0] and isinstance(item[1], nn.Linear | nn.Conv2d)]
    if not layers:
        raise Invalid(FIELD, "is missing, and the network has no last layer that could be left out; name a layer")
    name, head = layers[-1]
    module.set_submodule(name, nn.Identity())
    return module, head.in_features if isinstance(head, nn.Linear) else head.in_channels


def _up_to(module: nn.Module, layer: str, *, side: int) -> tuple[nn.Module, int]:
    with compiler_imported_late():
        from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names
    try:
        # The graphs of training and of evaluation may differ, in what has no part here.
        body = create_feature_extractor(module, return_nodes={layer: _VALUE}, suppress_diff_warning=True)
    except ValueError:
        raise Invalid(FIELD, _no_such_layer(layer, get_graph_node_names(module)[1])) from None
    with torch.inference_mode():
        found = body.eval()(torch.zeros(1, 3, side, side))[_VALUE]
    shape = tuple(found.shape[1:]) if isinstance(found, torch.Tensor) else ()
    # Images are square, and so are maps of them: (height, width, channels) is none.
    if len(shape) != 1 and not (len(shape) == 3 and shape[1] == shape[2]):
        what = f"values of the shape {shape}" if shape else "no single tensor"
        raise Invalid(
            FIELD, f"{layer} gives {what} of an image; name a layer that gives a vector or a map (channels, side, side)"
        )
    # Traced, because torchvision's extractor holds two graphs, and a copy of it is in training mode.
    return fx.symbolic_trace(_Layer(body, is_map=len(shape) > 1).eval()).eval(), shape[0]


class _Layer(nn.Module):
    """Takes the layer's output out of what torchvision's extractor returns, and averages a map over its places."""

    def __init__(self, body: nn.Module, *, is_map: bool) -> None:
        super().__init__()
        self.body = body
        self.is_map = is_map

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return a vector for each image."""
        found = cast(torch.Tensor, self.body(images)[_VALUE])
        return found.mean((2, 3)) if self.is_map else found


def _no_such_layer(layer: str, names: list[str]) -> str:
    near = difflib.get_close_matches(layer, names, n=_SHOWN) or names[-_SHOWN:]
    return (
        f"there is no layer {layer!r} in the network; there are {', '.join(near)} and {len(names) - len(near)} others"
    )

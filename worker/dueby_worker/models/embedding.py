"""Cut a network so that it gives an embedding: what one of its layers makes of an image.

By default that is the input of the network's last layer, the one that tells classes apart: 2,048 values of ResNet-50,
1,280 of EfficientNet-B0, 768 of ViT-B/16. The rule is the same for all of torchvision's classifiers, and gives what
setting `fc` or the last entry of `classifier` to Identity gives. Networks of other libraries and people's own may have
several last layers, or make them first. Any other layer is found by the name that torchvision.models.feature_extraction
knows it by. The layer's output must be a vector, or a map (channels, side, side), which is averaged over its places, as
the networks themselves do before they classify.

torch.fx follows tensors through a network's code. It takes no notice of what else the code depends on, such as hooks,
or conditions on the type of the input, and says nothing of it. So whatever was traced or cut is tried on two made-up
images, and compared with the network itself.
"""

import difflib
from typing import Any, cast

import torch
from torch import fx, nn

from dueby_api.errors import Invalid, first_line
from dueby_api.output import MAX_VALUES
from dueby_worker.models.late_compiler import compiler_imported_late

# Two, because code that drops axes of size 1 would drop that of the mini-batch, too.
_IMAGES = 2
# Of the largest value. Folded batch norms and other orders of adding differ by 1e-5 at most, and averages of 16 bits by
# some units of their last place.
_LIMIT = 1e-3
_LAST_PLACES = 4
FIELD = "spec.output.layer"
_VALUE = "embedding"
# How many names of layers a message lists.
_SHOWN = 5
_WHOLE_ADVICE = (
    "torch.fx, which cuts it, misses hooks, calls of its own and conditions on the input's type: put them into the "
    "network's plain code, or leave layer out"
)


def tried_images(side: int) -> torch.Tensor:
    """Return (2, 3, side, side) images that are the same at every call, each time in memory of their own.

    They are on both sides of zero, or what is positive already would pass through a ReLU unseen.
    """
    return torch.randn(_IMAGES, 3, side, side, generator=torch.Generator().manual_seed(0))


def is_close(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether both hold the same values but for rounding, which is coarser in types of 16 bits."""
    if one.shape != other.shape:
        return False
    coarsest = max((torch.finfo(t.dtype).eps for t in (one, other) if t.is_floating_point()), default=0.0)
    one, other = one.float(), other.float()
    # Networks with random weights may give infinite values.
    largest = float(other.nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(one, other, rtol=0, atol=max(_LIMIT, _LAST_PLACES * coarsest) * largest, equal_nan=True)


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
        cut, values = _without_head(module, side=side) if layer is None else _up_to(module, layer, side=side)
    if values > MAX_VALUES:
        where = layer or "the last layer's input"
        raise Invalid(FIELD, f"{where} has {values:,} values; an embedding has at most {MAX_VALUES:,}")
    return cut, values


def _without_head(module: nn.Module, *, side: int) -> tuple[nn.Module, int]:
    # In all of torchvision's classifiers the last layer with classes is also the last one to be made.
    layers = [item for item in module.named_modules() if item[0] and isinstance(item[1], nn.Linear | nn.Conv2d)]
    if not layers:
        raise Invalid(FIELD, "is missing, and the network has no last layer that could be left out; name a layer")
    name, head = layers[-1]
    try:
        with torch.inference_mode():
            is_cut = _cut_at(module, name, head, side=side)
    # People's own networks may raise anything.
    except Exception as error:
        sentence = f"is missing, and {name}, the network's last layer, can't be left out: {first_line(error)}"
        raise Invalid(FIELD, f"{sentence}; name a layer") from None
    if not is_cut:
        sentence = f"is missing, and the values of the network are not those of {name}, its last layer, alone"
        raise Invalid(FIELD, f"{sentence}; name a layer")
    return module, head.in_features if isinstance(head, nn.Linear) else head.in_channels


def _cut_at(module: nn.Module, name: str, head: nn.Linear | nn.Conv2d, *, side: int) -> bool:
    """Leave the head out of the network.

    Return whether it made the network's values of what it was given, which the cut network gives now. A map is averaged
    over its places, as SqueezeNet averages it after its last layer.
    """
    calls = list[tuple[torch.Tensor, torch.Tensor]]()

    def note(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: torch.Tensor) -> None:
        # Copies, since the next layer may compute in place.
        calls.append((next(iter((*inputs, *named.values()))).clone(), output.clone()))

    hook = head.register_forward_hook(note, with_kwargs=True)
    values = module(tried_images(side))
    hook.remove()
    module.set_submodule(name, nn.Identity())
    if len(calls) != 1:
        return False
    ((before, after),) = calls
    channels = 1 if isinstance(head, nn.Conv2d) else before.dim() - 1
    places = [axis for axis in range(1, before.dim()) if axis != channels]
    has_one_place = all(before.shape[axis] == 1 for axis in places)
    # SqueezeNet has a ReLU behind its last layer.
    ways = [after, after.relu()] if isinstance(head, nn.Conv2d) else [after]
    if has_one_place and not any(is_close(way.flatten(1), values) for way in ways):
        return False
    try:
        embedding = module(tried_images(side))
    # Whatever needs as many values as there are classes.
    except Exception:
        return False
    return is_close(before.mean(places) if places else before, embedding)


def _up_to(module: nn.Module, layer: str, *, side: int) -> tuple[nn.Module, int]:
    with compiler_imported_late():
        from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names
    try:
        # The graphs of training and of evaluation may differ, in what has no part here.
        body = create_feature_extractor(module, return_nodes={layer: _VALUE}, suppress_diff_warning=True)
    # Tracing may raise anything in networks of other libraries and in people's own.
    except Exception:
        try:
            names = get_graph_node_names(module)[1]
        except Exception as error:
            sentence = f"{layer} can't be found, because torch.fx can't trace the network: {first_line(error)}"
            raise Invalid(FIELD, f"{sentence}; use a network that it can trace, or leave layer out") from None
        raise Invalid(FIELD, _no_such_layer(layer, names)) from None
    try:
        with torch.inference_mode():
            # Not by a call, of whose errors torch.fx prints the traced code.
            values = body.eval().forward(tried_images(side))[_VALUE]
            is_whole = not isinstance(values, torch.Tensor) or _is_whole(module, layer, values, side=side)
    except Exception as error:
        raise Invalid(FIELD, f"the network up to {layer} fails: {first_line(error)}; {_WHOLE_ADVICE}") from None
    if not is_whole:
        raise Invalid(FIELD, f"the network up to {layer} gives other values than in the whole one; {_WHOLE_ADVICE}")
    shape = tuple(values.shape[1:]) if isinstance(values, torch.Tensor) else ()
    # Images are square, and so are maps of them: (height, width, channels) is none.
    if len(shape) != 1 and not (len(shape) == 3 and shape[1] == shape[2]):
        what = f"values of the shape {shape}" if shape else "no single tensor"
        raise Invalid(
            FIELD, f"{layer} gives {what} of an image; name a layer that gives a vector or a map (channels, side, side)"
        )
    # Traced, because torchvision's extractor holds two graphs, and a copy of it is in training mode.
    return fx.symbolic_trace(_Layer(body, is_map=len(shape) > 1).eval()).eval(), shape[0]


def _is_whole(module: nn.Module, layer: str, values: torch.Tensor, *, side: int) -> bool:
    """Return whether the layer gives what was found when the network runs untraced."""
    if any(is_close(values, output) for output in _outputs_of(module, layer, side=side)):
        return True
    # It is a function, of which the network shows nothing, or torchvision numbers layers otherwise than the network, as
    # ViT's ln_1. If the trace of the whole network missed anything, its values would differ.
    traced = fx.symbolic_trace(module).eval().forward(tried_images(side))
    return is_close(traced, module(tried_images(side)))


def _outputs_of(module: nn.Module, layer: str, *, side: int) -> list[torch.Tensor]:
    """Return what the layer gives at each of its calls when the network runs; nothing if it is no module."""
    seen = list[torch.Tensor]()

    def note(_: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            # A copy, since the next layer may compute in place.
            seen.append(output.clone())

    try:
        hook = module.get_submodule(layer).register_forward_hook(note)
    except AttributeError:
        return []
    try:
        module(tried_images(side))
    finally:
        # The cut network has the layer, too.
        hook.remove()
    return seen


class _Layer(nn.Module):
    """Takes the layer's output out of what torchvision's extractor returns, and averages a map over its places."""

    def __init__(self, body: nn.Module, *, is_map: bool) -> None:
        super().__init__()
        self.body = body
        self.is_map = is_map

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        values = cast(torch.Tensor, self.body(images)[_VALUE])
        return values.mean((2, 3)) if self.is_map else values


def _no_such_layer(layer: str, names: list[str]) -> str:
    near = difflib.get_close_matches(layer, names, n=_SHOWN) or names[-_SHOWN:]
    return (
        f"there is no layer {layer!r} in the network; there are {', '.join(near)} and {len(names) - len(near)} others"
    )

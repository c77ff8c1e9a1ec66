"""torchvision's classifiers, as torchvision lists them.

Everything is read from torchvision, so that a new release brings new models. Only the special cases of its builders (a
vision transformer's positions, Inception's input) are handled here.
"""

import re
from functools import partial
from typing import Any

from torch import nn

from dueby_api.classifiers import LITE0, unknown_model
from dueby_api.errors import Invalid
from dueby_worker.models.entry import ModelEntry, PublishedWeights
from dueby_worker.models.late_compiler import compiler_imported_late
from dueby_worker.models.preprocessing import Interpolation, Preprocessing
from dueby_worker.models.weights import State, fetch_weights

with compiler_imported_late():
    import torchvision.models
    from torchvision.models import WeightsEnum

_FILTERS: dict[str, Interpolation] = {"nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic"}
# Heads that only training uses. The published weights of Inception and GoogLeNet contain them.
_TRAINING_HEADS = ("AuxLogits.", "aux1.", "aux2.")
# DenseNet's published weights are older than torch's rule that names of layers have no dots: norm.1 is now norm1.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)$")


def find_torchvision(name: str) -> ModelEntry:
    """Return the model's entry. Raise Invalid, which suggests similar names, if there is no such model."""
    names = [LITE0, *torchvision.models.list_models(module=torchvision.models)]
    if name not in names:
        raise Invalid("spec.model.name", unknown_model(name, names))
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

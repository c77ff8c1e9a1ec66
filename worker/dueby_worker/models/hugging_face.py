"""Image classifiers of the Hugging Face hub: `hf/OWNER/NAME`, and any `hf/NAME` for a folder that `weights` names.

Everything is read from a folder as `save_pretrained` leaves it: config.json says which network it is and what its
classes are called, preprocessor_config.json how images are prepared, model.safetensors holds the weights. What the hub
has is fetched into its cache first, which is such a folder. Code that comes with a model is never run, and preparation
that can't be done exactly is refused.
"""

import copy
import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from huggingface_hub import snapshot_download
from torch import nn

from dueby_api.classifiers import HUGGING_FACE
from dueby_api.errors import Invalid, first_line
from dueby_api.inference_job import Model
from dueby_worker.models.entry import (
    DEFAULT,
    NO_WEIGHTS,
    ModelEntry,
    PublishedWeights,
    digest_settings,
    weights_folder,
)
from dueby_worker.models.preprocessing import Interpolation, Preprocessing
from dueby_worker.models.weights import FIELD, State

NAME_FIELD = "spec.model.name"
# Pillow's numbers of the filters that torch has, too.
_FILTERS: dict[int, Interpolation] = {2: "bilinear", 3: "bicubic"}
# The processors that resize, crop, and normalise, and do nothing else to an image.
_PLAIN = ("Beit", "Bit", "CLIP", "DeiT", "MobileNetV1", "MobileNetV2", "Pvt", "Segformer", "Siglip", "ViT")
# From this size on, ConvNeXt's processor stretches the image and crops nothing.
_CONVNEXT_STRETCHES = 384
# What a configuration holds that makes no other network: where it lay, who wrote it, what the classes are called, and
# what is for training or for other users of the network.
_NO_ARCHITECTURE = re.compile(
    "_name_or_path|transformers_version|(torch_)?dtype|id2label|label2id|problem_type|torchscript|return_dict"
    "|output_(attentions|hidden_states)|initializer_.*|.*drop(out|_path)?(_rate|_prob)?|gradient_checkpointing"
)
_LABELS_ADVICE = 'must have a label for each class, such as {"0": "cat", "1": "dog"}'
_SETTINGS, _WEIGHTS = (
    ["config.json", "preprocessor_config.json"],
    ["model*.safetensors", "model.safetensors.index.json"],
)


class ImageLogits(nn.Module):
    """The network as DueBy's engines call it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the logits (b, classes) of normalised images."""
        return cast(torch.Tensor, self.network(pixel_values=pixels).logits)


def find_hugging_face(spec: Model) -> ModelEntry:
    """Return the entry of a model of transformers. Raise Invalid unless it can be used as transformers uses it."""
    # Progress bars and reports about weights would mix with the worker's lines; what they report is checked here.
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    local = weights_folder(spec)
    if local is None and spec.weights not in (DEFAULT, NO_WEIGHTS):
        advice = "a folder with config.json, preprocessor_config.json and model.safetensors; DEFAULT; or none"
        raise Invalid(FIELD, f"there is no folder {spec.weights}; {spec.name} takes {advice}")
    folder = local or _from_hub(spec.name, _SETTINGS)
    config = _read_config(folder)
    weights = PublishedWeights(
        name=str(local or spec.name),
        labels=tuple(str(config.id2label[number]) for number in range(config.num_labels)),
        preprocessing=_read_preprocessing(folder),
        fetch=partial(_fetch, local, spec.name),
    )
    published = {DEFAULT: weights, spec.weights: weights} if local else {DEFAULT: weights}
    return ModelEntry(
        name=spec.name,
        published=published,
        build=partial(_build, config),
        rename=lambda state: state,
        any_size=False,
        files=None,
        # The file's own settings. Of those that it leaves out, each version of transformers has its defaults, which it
        # changes and adds to.
        code=digest_settings(_architecture(json.loads((folder / "config.json").read_text(encoding="utf-8")))),
    )


def _from_hub(name: str, patterns: list[str]) -> Path:
    """Return the folder in the hub's cache, with these files fetched if there is internet."""
    identity = name.removeprefix(HUGGING_FACE)
    try:
        return Path(snapshot_download(identity, allow_patterns=patterns))
    # OSError: no internet, or no such model. ValueError: no such name can be.
    except (OSError, ValueError) as error:
        advice = (
            f"set {FIELD}, or the --weights of dueby profile, to a folder with config.json, preprocessor_config.json "
            "and model.safetensors"
        )
        raise Invalid(
            NAME_FIELD, f"the Hugging Face hub's {identity} can't be had here: {first_line(error)}; {advice}"
        ) from None


def _read_config(folder: Path) -> Any:
    """Return config.json. Raise Invalid unless it is of a classifier that has one class for each image."""
    try:
        written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        # transformers makes two classes of nothing, or fails.
        if written.get("id2label", {}) is None and not written.get("num_labels"):
            raise Invalid(NAME_FIELD, f"{folder}/config.json: id2label is null; it {_LABELS_ADVICE}")
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(NAME_FIELD, f"{folder}/config.json can't be used: {first_line(error)}") from None
    if not config.id2label or set(config.id2label) != set(range(len(config.id2label))):
        raise Invalid(NAME_FIELD, f"{folder}/config.json: id2label {_LABELS_ADVICE}")
    networks = config.architectures or []
    if not any("ForImageClassification" in network for network in networks):
        advice = "DueBy runs those with ForImageClassification in their names"
        raise Invalid(NAME_FIELD, f"{folder}/config.json is of {' and '.join(networks) or 'no network'}; {advice}")
    if config.problem_type not in (None, "single_label_classification"):
        raise Invalid(
            NAME_FIELD,
            f"{folder}/config.json says {config.problem_type}; DueBy's scores are of classes that exclude each other",
        )
    return config


def _architecture(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a configuration, and of those in it, says which network it is."""
    kept = {key: value for key, value in config.items() if not _NO_ARCHITECTURE.fullmatch(key)}
    return {key: _architecture(value) if isinstance(value, Mapping) else value for key, value in kept.items()}


def _build(config: Any, *, image_size: int, classes: int, trained: bool) -> nn.Module:
    # The network is the same with and without weights.
    del trained
    config = copy.deepcopy(config)
    if classes != config.num_labels:
        config.num_labels = classes
    if hasattr(config, "image_size"):
        config.image_size = image_size
    network = transformers.AutoModelForImageClassification.from_config(
        config, trust_remote_code=False, dtype=torch.float32
    )
    return ImageLogits(network)


def _fetch(local: Path | None, name: str) -> State:
    """Return the weights as transformers reads them, its older names included. Raise Invalid if any is missing."""
    folder = local or _from_hub(name, _SETTINGS + _WEIGHTS)
    try:
        network, report = transformers.AutoModelForImageClassification.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            # A pickle may run code.
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise Invalid(FIELD, f"{folder} holds no weights of its network: {first_line(error)}") from None
    if missing := sorted(report["missing_keys"]):
        raise Invalid(FIELD, f"{folder} holds no weights for {', '.join(missing[:3])}, which would be random")
    return ImageLogits(network).state_dict()


def _read_preprocessing(folder: Path) -> Preprocessing:
    """Return what the folder's image processor does to an image. Raise Invalid if that can't be done exactly."""
    if not (folder / "preprocessor_config.json").is_file():
        raise Invalid(NAME_FIELD, f"{folder} has no preprocessor_config.json, so nothing says how images are prepared")
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Invalid(NAME_FIELD, f"{folder}/preprocessor_config.json can't be used: {first_line(error)}") from None
    try:
        return _preprocessing(processor)
    except _InexactError as error:
        raise Invalid(NAME_FIELD, f"{folder}/preprocessor_config.json {error}") from None


class _InexactError(Exception):
    """What a processor does that DueBy doesn't."""


def _preprocessing(processor: Any) -> Preprocessing:
    kind = type(processor).__name__.removesuffix("Fast").removesuffix("Pil").removesuffix("ImageProcessor")
    resample = int(processor.resample)
    if kind not in (*_PLAIN, "ConvNext"):
        raise _InexactError(f"is of {type(processor).__name__}, which does more than to resize, crop and normalise")
    if not processor.do_resize or not processor.do_rescale or abs(processor.rescale_factor * 255 - 1) > 1e-6:
        raise _InexactError("leaves out do_resize or do_rescale, or rescales by other than 1/255; DueBy does both so")
    if resample not in _FILTERS:
        names = " and ".join(f"{number} ({name})" for number, name in _FILTERS.items())
        raise _InexactError(f"resizes with resample {resample}; DueBy has {names} only")
    resize_side, crop_side, stretches = _convnext_sides(processor) if kind == "ConvNext" else _sides(processor)
    if resize_side < crop_side:
        raise _InexactError(f"crops {crop_side} px out of {resize_side}; DueBy crops squares that are not larger")
    normalizes = processor.do_normalize
    return Preprocessing(
        resize_side=resize_side,
        crop_side=crop_side,
        interpolation=_FILTERS[resample],
        antialias=True,
        mean=tuple(processor.image_mean) if normalizes else (0.0, 0.0, 0.0),
        std=tuple(processor.image_std) if normalizes else (1.0, 1.0, 1.0),
        stretches=stretches,
        floors=True,
        whitens=bool(processor.do_convert_rgb),
    )


def _sides(processor: Any) -> tuple[int, int, bool]:
    """Return the side to resize to, the side of the crop, and whether the image is stretched."""
    size: Mapping[str, int] = dict(processor.size)
    sides = set(size.values())
    if set(size) not in ({"shortest_edge"}, {"height", "width"}) or len(sides) != 1:
        raise _InexactError(f"resizes to {size}; DueBy resizes to a shortest_edge, or to an equal height and width")
    (resize_side,), stretches = sides, "height" in size
    if not processor.do_center_crop:
        if not stretches:
            raise _InexactError("resizes to a shortest_edge without do_center_crop, so images are no squares")
        return resize_side, resize_side, stretches
    crop: Mapping[str, int] = dict(processor.crop_size)
    side = crop.get("height", 0)
    if crop.get("width") != side or side < 1:
        raise _InexactError(f"crops {crop}; DueBy crops squares")
    return resize_side, side, stretches


def _convnext_sides(processor: Any) -> tuple[int, int, bool]:
    side = dict(processor.size).get("shortest_edge")
    if not side or processor.do_center_crop:
        raise _InexactError("has a size other than a shortest_edge, or crops twice")
    if side >= _CONVNEXT_STRETCHES:
        return side, side, True
    return int(side / processor.crop_pct), side, False

"""timm's models: `timm/NAME` and `timm/NAME.TAG`, where NAME and TAG are as `timm.list_pretrained()` writes them.

Weights are timm's, by tag; a file; or a folder with config.json and model.safetensors, as timm's `save_for_hf` and the
Hugging Face hub have it. How images are prepared, and what the classes are, is read from the pretrained_cfg of the same
weights. What of it can't be done exactly is refused.
"""

import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_data_config
from timm.models import get_arch_pretrained_cfgs
from torch import nn

from dueby_api.classifiers import TIMM, nearest
from dueby_api.errors import Invalid, first_line
from dueby_api.inference_job import Model
from dueby_worker.models.entry import (
    DEFAULT,
    ModelEntry,
    PublishedWeights,
    digest_settings,
    imagenet_labels,
    weights_folder,
)
from dueby_worker.models.preprocessing import Interpolation, Preprocessing
from dueby_worker.models.weights import FIELD, State, read_weights

NAME_FIELD = "spec.model.name"
Config = Mapping[str, Any]
"""A pretrained_cfg."""
_FILTERS: dict[str, Interpolation] = {"bilinear": "bilinear", "bicubic": "bicubic"}
# The files of weights that timm and the hub put into a folder, the best first.
_FILES = ("model.safetensors", "pytorch_model.bin")
# Values of the published heads for which timm knows no names: up to 1,280 of those that make an embedding, which is
# compared with a text's, and 19,168 or more of those that tell classes apart.
_MOST_OF_AN_EMBEDDING = 4096


def find_timm(spec: Model) -> ModelEntry:
    """Return the entry of a model of timm. Raise Invalid if there is none, or if it can't be used as timm uses it."""
    called = spec.name.removeprefix(TIMM)
    architecture, _, tag = called.partition(".")
    if not timm.is_model(architecture):
        raise Invalid(NAME_FIELD, f"timm has no model {architecture!r}{nearest(architecture, timm.list_models())}")
    if folder := weights_folder(spec):
        config, code = _read_folder(folder, architecture)
        weights = _weights(spec.weights, config, origin=f"{folder}/config.json", fetch=partial(_read, folder))
        published = {DEFAULT: weights, spec.weights: weights}
        return _entry(spec.name, f"local-dir:{folder}", config, published, code=code)
    configs = {tag.partition(".")[2]: cfg.to_dict() for tag, cfg in get_arch_pretrained_cfgs(architecture).items()}
    if tag and tag not in configs:
        raise Invalid(NAME_FIELD, f"timm has no tag {tag!r} of {architecture}; it has {_listed(configs)}")
    # Without a tag, timm takes the first.
    config = configs[tag] if tag else timm.get_pretrained_cfg(architecture).to_dict()
    published = {DEFAULT: _tagged(architecture, tag or config.get("tag", ""), config)}
    if not tag:
        # Weights without classes are for feature extraction, not for classification.
        variants = {name: config for name, config in configs.items() if name and config["num_classes"]}
        published |= {
            name: _tagged(architecture, name, config) for name, config in variants.items() if _refusal(config) is None
        }
    return _entry(spec.name, architecture, config, published)


def _entry(
    name: str, source: str, config: Config, published: dict[str, PublishedWeights], *, code: str = ""
) -> ModelEntry:
    is_fixed = bool(config.get("fixed_input_size"))
    build = partial(_build, source, is_fixed)
    return ModelEntry(
        name=name,
        published=published,
        build=build,
        rename=lambda state: state,
        any_size=not is_fixed,
        files=None,
        code=code,
    )


def _build(source: str, is_fixed: bool, *, image_size: int, classes: int, trained: bool) -> nn.Module:
    # The network is the same with and without weights. Only networks of a fixed size are told one.
    del trained
    size = {"img_size": image_size} if is_fixed else {}
    return timm.create_model(source, pretrained=False, num_classes=classes, **size)  # type: ignore[no-any-return]


def _tagged(architecture: str, tag: str, config: Config) -> PublishedWeights:
    name = f"{architecture}.{tag}" if tag else architecture
    has_weights = any(config.get(place) for place in ("url", "file", "hf_hub_id"))
    return _weights(name, config, origin=f"timm's {name}", fetch=partial(_fetch, name, has_weights))


def _weights(name: str, config: Config, *, origin: str, fetch: Any) -> PublishedWeights:
    if refusal := _refusal(config):
        raise Invalid(NAME_FIELD, f"{origin} {refusal}")
    trained, tested = (_preprocessing(config, use_test_size=use_test_size) for use_test_size in (False, True))
    return PublishedWeights(
        name=name,
        labels=_labels(config),
        preprocessing=trained,
        at_test_size=tested if tested.crop_side != trained.crop_side else None,
        is_encoder=_is_encoder(config),
        fetch=fetch,
    )


def _fetch(name: str, has_weights: bool) -> State:
    if not has_weights:
        raise Invalid(FIELD, f"timm publishes no weights of {name}; give the path of a file, a folder, or none")
    try:
        return timm.create_model(name, pretrained=True).state_dict()  # type: ignore[no-any-return]
    # OSError: no internet. RuntimeError: the file is not what it should be.
    except (OSError, RuntimeError, ValueError) as error:
        advice = "give the path of a file or of a folder with config.json and model.safetensors"
        raise Invalid(FIELD, f"timm can't load the weights of {name}: {first_line(error)}; {advice}") from None


def _read_folder(folder: Path, architecture: str) -> tuple[Config, str]:
    """Return the pretrained_cfg in a folder that holds a model of that architecture, and a digest of its settings."""
    try:
        # Built without memory, as nothing else of timm's interface reads the file.
        with torch.device("meta"):
            config: Config = timm.create_model(f"local-dir:{folder}", pretrained=False).pretrained_cfg
        # What timm gives its builder. Sizes and classes are in the fingerprint by themselves.
        args = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_args") or {}
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(FIELD, f"{folder} can't be read as a model of timm: {first_line(error)}") from None
    if config["architecture"] != architecture:
        advice = f"set {NAME_FIELD} to {TIMM}{config['architecture']}"
        raise Invalid(FIELD, f"{folder} holds a {config['architecture']}, not a {architecture}; {advice}")
    settings = {"architecture": architecture, "model_args": args, "global_pool": config.get("global_pool")}
    return config, digest_settings(settings)


def _read(folder: Path) -> State:
    for name in _FILES:
        if (folder / name).is_file():
            return read_weights(folder / name)
    raise Invalid(FIELD, f"{folder} holds no weights; put {' or '.join(_FILES)} there")


def _labels(config: Config) -> tuple[str, ...]:
    """Return the labels that the weights' configuration names, ImageNet's where it has as many classes, or numbers."""
    count = config["num_classes"]
    names = config.get("label_names")
    if names:
        # In JSON a gap between numbers makes a mapping of a list, with texts for numbers.
        named = (
            {int(key): name for key, name in names.items()} if isinstance(names, Mapping) else dict(enumerate(names))
        )
        described = config.get("label_descriptions") or {}
        return tuple(described.get(named[i], named[i]) if i in named else str(i) for i in range(count))
    if count == len(imagenet_labels()):
        return imagenet_labels()
    subset = infer_imagenet_subset(dict(config))
    return tuple(ImageNetInfo(subset).label_descriptions() if subset else map(str, range(count)))


def _is_encoder(config: Config) -> bool:
    """Return whether the weights' last layer makes an embedding."""
    tags = get_arch_pretrained_cfgs(config["architecture"])
    published = tags.get(f"{config['architecture']}.{config.get('tag', '')}")
    count = config["num_classes"]
    return (
        published is not None
        and published.num_classes == count
        and 0 < count <= _MOST_OF_AN_EMBEDDING
        and not config.get("label_names")
        and infer_imagenet_subset(dict(config)) is None
        and count != len(imagenet_labels())
    )


def _refusal(config: Config) -> str | None:
    """Return what of the preparation of images DueBy can't do as timm does it; None if it can."""
    data = resolve_data_config({}, pretrained_cfg=dict(config))
    channels, height, width = data["input_size"]
    if channels != 3 or height != width:
        return f"sees {channels} x {height} x {width} values; DueBy makes squares of three channels only"
    if data["crop_mode"] not in ("center", "squash"):
        return f"prepares images with crop_mode {data['crop_mode']}; DueBy has center and squash only"
    if data["interpolation"] not in _FILTERS:
        return f"resizes images with {data['interpolation']}; DueBy has {' and '.join(_FILTERS)} only"
    if data["crop_pct"] > 1:
        resized = math.floor(height / data["crop_pct"])
        return (
            f"crops {height} px out of {resized} (crop_pct {data['crop_pct']}); DueBy crops squares that are not larger"
        )
    return None


def _preprocessing(config: Config, *, use_test_size: bool) -> Preprocessing:
    """Return what timm's `create_transform` does to an image for these weights."""
    data = resolve_data_config({}, pretrained_cfg=dict(config), use_test_size=use_test_size)
    side = data["input_size"][1]
    return Preprocessing(
        resize_side=math.floor(side / data["crop_pct"]),
        crop_side=side,
        interpolation=_FILTERS[data["interpolation"]],
        antialias=True,
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        stretches=data["crop_mode"] == "squash",
    )


def _listed(tags: Mapping[str, Any]) -> str:
    return ", ".join(tag for tag in tags if tag) or "none"

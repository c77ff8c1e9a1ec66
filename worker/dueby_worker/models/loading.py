"""From `spec.model` to a network that is ready to classify, with its labels, preprocessing and weights' digest.

`describe_model` answers what can be known without building anything, so that a wrong name, label list or class count is
refused at once; `load_model` does the rest. Weights are never random unless the job says `none`: results would look
like any others.
"""

import logging
import os.path
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.models.registry import DEFAULT, Entry, Published, find_entry
from dueby_worker.models.weights import FIELD, digest_weights, first_line, fit_weights, read_weights

NO_WEIGHTS = "none"
# The seed of `none`: any two workers, and a run and its resumption, must have the same network.
_SEED = 0
_WEIGHTS_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".safetensors")
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What the job's model is, without its weights."""

    name: str
    labels: tuple[str, ...]
    """One for each class, in the order of the network's outputs."""
    preprocessing: Preprocessing
    warnings: tuple[str, ...]
    """Sentences that the user must see."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A network with its weights, and what belongs to it."""

    name: str
    module: nn.Module
    """Takes normalised pictures (b, 3, side, side), gives logits (b, classes); fp32, eval, on the CPU. Engines copy it
    and leave it as it is."""
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    weights_digest: str
    """SHA-256 in hex of the weights; random:<seed> for `none`."""


def describe_model(spec: Model) -> ModelFacts:
    """The model's labels and preprocessing; Invalid with the field and a sentence where the specification is wrong."""
    entry = find_entry(spec.name)
    published = _find_published(entry, spec.weights)
    default = published or entry.published[DEFAULT]
    labels, warnings = _resolve_labels(spec, published, default)
    if spec.weights == NO_WEIGHTS:
        warnings += (f"{FIELD}: none: the weights of {spec.name} are random, and the results mean nothing",)
    elif published:
        warnings += _judge_image_size(spec, entry, published)
    return ModelFacts(
        name=spec.name,
        labels=labels,
        preprocessing=default.preprocessing.scaled_to(spec.image_size),
        warnings=warnings,
    )


def load_model(spec: Model) -> LoadedModel:
    """The model with its weights; warnings are logged. Invalid as describe_model, or where the weights don't fit."""
    facts, entry = describe_model(spec), find_entry(spec.name)
    for warning in facts.warnings:
        log.warning("%s", warning)
    module = _build(entry, spec, classes=len(facts.labels))
    if spec.weights == NO_WEIGHTS:
        digest = f"random:{_SEED}"
    else:
        published = _find_published(entry, spec.weights)
        state = published.fetch() if published else read_weights(_path(spec.weights))
        origin = published.name if published else spec.weights
        fit_weights(module, entry.respell(state), origin=origin, classes=len(facts.labels))
        digest = digest_weights(module)
    return LoadedModel(
        name=spec.name, module=module, preprocessing=facts.preprocessing, labels=facts.labels, weights_digest=digest
    )


def _find_published(entry: Entry, weights: str) -> Published | None:
    """The published weights of that name; None for `none` or the path of a file that is there."""
    if weights in entry.published:
        return entry.published[weights]
    if weights == NO_WEIGHTS or os.path.isfile(_path(weights)):  # unlike Path.is_file, False for what can be no path
        return None
    if "/" in weights or weights.endswith(_WEIGHTS_SUFFIXES):
        raise Invalid(FIELD, f"there is no file {weights}; give a path that the worker can read")
    raise Invalid(
        FIELD,
        f"{entry.name} has no weights {weights!r}; write {', '.join(entry.published)}, the path of a file, or none",
    )


def _judge_image_size(spec: Model, entry: Entry, published: Published) -> tuple[str, ...]:
    """Warnings where it is not the one that the weights are made for; Invalid where they fit no other."""
    field, side = "spec.model.imageSize", published.preprocessing.crop_side
    if spec.image_size == side:
        return ()
    if not entry.any_size:
        raise Invalid(field, f"{published.name} of {spec.name} fits pictures of {side} px and no others; set {side}")
    return (f"{field}: {published.name} of {spec.name} is made for {side} px, and may be worse at {spec.image_size}",)


def _resolve_labels(
    spec: Model, published: Published | None, default: Published
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels, and warnings about them."""
    field = "spec.model.labels"
    own = _read_labels(spec.labels) if spec.labels else None
    if own and spec.classes and len(own) != spec.classes:
        raise Invalid(field, f"{spec.labels} has {len(own)} labels, but spec.model.classes is {spec.classes}")
    classes = len(own) if own else spec.classes or len(default.labels)
    if published and classes != len(published.labels):
        field = field if own else "spec.model.classes"
        raise Invalid(
            field,
            f"{published.name} has {len(published.labels)} classes, not {classes}; give the path of weights that do",
        )
    if own:
        return own, ()
    if classes == len(default.labels):
        return default.labels, ()
    numbers = tuple(map(str, range(classes)))
    return numbers, (f"{field}: there is none for {classes} classes; the results will carry their numbers",)


def _path(written: str) -> Path:
    return Path(os.path.expanduser(written))


def _read_labels(path: str) -> tuple[str, ...]:
    """The lines of a text file."""
    field = "spec.model.labels"
    try:
        text = _path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise Invalid(field, f"{path} can't be read as text: {first_line(error)}") from None
    labels = tuple(line.strip() for line in text.rstrip().split("\n"))
    if "" in labels:
        raise Invalid(field, f"line {labels.index('') + 1} of {path} is empty; there must be one label a line")
    return labels


def _build(entry: Entry, spec: Model, *, classes: int) -> nn.Module:
    """The network with weights from a fixed seed, tried on one picture where its size is not the model's usual one."""
    side = spec.image_size
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(_SEED)
        try:
            module = entry.build(image_size=side, classes=classes, trained=spec.weights != NO_WEIGHTS).eval()
            if side != entry.published[DEFAULT].preprocessing.crop_side:
                module(torch.zeros(1, 3, side, side))
        except (RuntimeError, ValueError, AssertionError) as error:  # what torchvision's models raise for a bad side
            sentence = f"{entry.name} can't take pictures of {side} px: {first_line(error)}"
            raise Invalid("spec.model.imageSize", sentence) from None
    return module.requires_grad_(False)

"""Load the network of `spec.model`, with its labels, its preprocessing and the digest of its weights.

`describe_model` checks what can be known without building the network, so that a wrong name, list of labels or number
of classes is refused at once. `load_model` does the rest. Weights are never random unless the job says `none`, because
the results of random weights look like any others.
"""

import logging
import os.path
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.words import counted
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.models.registry import DEFAULT, ModelEntry, PublishedWeights, find_entry
from dueby_worker.models.weights import FIELD, digest_weights, first_line, fit_weights, read_weights

NO_WEIGHTS = "none"
# The seed of random weights. All workers, and a run that resumes another, must have the same network.
_SEED = 0
# A value of spec.model.weights that ends so is meant as a path, even if there is no such file.
_WEIGHTS_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".safetensors")
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """The job's model without its weights."""

    name: str
    labels: tuple[str, ...]
    """A label for each class, in the order of the network's outputs."""
    preprocessing: Preprocessing
    warnings: tuple[str, ...]
    """Sentences that the user must see."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """The job's model with its weights."""

    name: str
    module: nn.Module
    """Maps normalised images (b, 3, side, side) to logits (b, classes); fp32, eval mode, on the CPU.

    Engines copy it and never change it.
    """
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    weights_digest: str
    """SHA-256 of the weights in hex; `random:` and the seed for `none`."""


def describe_model(spec: Model) -> ModelFacts:
    """Return the model's labels and preprocessing. Raise Invalid if the specification is wrong."""
    entry = find_entry(spec.name)
    published = _find_published(entry, spec.weights)
    default = published or entry.published[DEFAULT]
    labels, warnings = _resolve_labels(spec, published, default)
    if spec.weights == NO_WEIGHTS:
        warnings += (f"{FIELD}: none: the weights of {spec.name} are random, so the results are meaningless",)
    elif published:
        warnings += _judge_image_size(spec, entry, published)
    return ModelFacts(
        name=spec.name,
        labels=labels,
        preprocessing=default.preprocessing.scaled_to(spec.image_size),
        warnings=warnings,
    )


def require_image_size(spec: Model) -> None:
    """Raise Invalid if the network can't take images of that size. It is built on torch's meta device, without memory
    and without its weights.
    """
    with torch.device("meta"):
        _build(find_entry(spec.name), spec.replace(weights=NO_WEIGHTS), classes=1)


def load_model(spec: Model) -> LoadedModel:
    """Return the model with its weights, and log warnings. Raise Invalid if the job or its weights are wrong."""
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
        fit_weights(module, entry.rename(state), origin=origin, classes=len(facts.labels))
        digest = digest_weights(module)
    return LoadedModel(
        name=spec.name, module=module, preprocessing=facts.preprocessing, labels=facts.labels, weights_digest=digest
    )


def _find_published(entry: ModelEntry, weights: str) -> PublishedWeights | None:
    """Return the published weights of that name; None for `none` and for the path of a file that exists."""
    if weights in entry.published:
        return entry.published[weights]
    # Not Path.is_file, which raises for a text that can't be a path, such as one with a NUL.
    if weights == NO_WEIGHTS or os.path.isfile(_path(weights)):
        return None
    if "/" in weights or weights.endswith(_WEIGHTS_SUFFIXES):
        raise Invalid(FIELD, f"there is no file {weights}; give the path of a file that the worker can read")
    raise Invalid(
        FIELD,
        f"{entry.name} has no weights {weights!r}; use {', '.join(entry.published)}, the path of a file, or none",
    )


def _judge_image_size(spec: Model, entry: ModelEntry, published: PublishedWeights) -> tuple[str, ...]:
    """Return a warning if the weights were trained for another image size. Raise Invalid if they fit no other."""
    field, side = "spec.model.imageSize", published.preprocessing.crop_side
    if spec.image_size == side:
        return ()
    if not entry.any_size:
        raise Invalid(field, f"{published.name} of {spec.name} fits images of {side} px only; set {side}")
    return (
        f"{field}: {published.name} of {spec.name} was trained for {side} px; accuracy may suffer at {spec.image_size}",
    )


def _resolve_labels(
    spec: Model, published: PublishedWeights | None, default: PublishedWeights
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the labels, and warnings about them."""
    field = "spec.model.labels"
    own = _read_labels(spec.labels) if spec.labels else None
    if own and spec.classes and len(own) != spec.classes:
        raise Invalid(field, f"{spec.labels} has {len(own)} labels, but spec.model.classes is {spec.classes}")
    classes = len(own) if own else spec.classes or len(default.labels)
    if published and classes != len(published.labels):
        field = field if own else "spec.model.classes"
        raise Invalid(
            field,
            f"{published.name} has {counted(len(published.labels), 'class', 'classes')}, not {classes}; "
            f"give the path of weights that have {classes}",
        )
    if own:
        return own, ()
    if classes == len(default.labels):
        return default.labels, ()
    numbers = tuple(map(str, range(classes)))
    return numbers, (
        f"{field}: absent, and there are no default labels for {counted(classes, 'class', 'classes')}; results show "
        "class numbers",
    )


def _path(written: str) -> Path:
    return Path(os.path.expanduser(written))


def _read_labels(path: str) -> tuple[str, ...]:
    """Return the lines of a text file."""
    field = "spec.model.labels"
    try:
        text = _path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise Invalid(field, f"{path} can't be read as text: {first_line(error)}") from None
    labels = tuple(line.strip() for line in text.rstrip().split("\n"))
    if "" in labels:
        raise Invalid(field, f"line {labels.index('') + 1} of {path} is empty; each line must hold one label")
    return labels


def _build(entry: ModelEntry, spec: Model, *, classes: int) -> nn.Module:
    """Return the network with weights from the fixed seed. Raise Invalid if it can't take images of that size."""
    side = spec.image_size
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(_SEED)
        try:
            module = entry.build(image_size=side, classes=classes, trained=spec.weights != NO_WEIGHTS).eval()
            # Many networks fail only when they run, so an unusual size is tried on one image.
            if side != entry.published[DEFAULT].preprocessing.crop_side:
                module(torch.zeros(1, 3, side, side))
        # These are what torchvision's models raise for a size that they can't take.
        except (RuntimeError, ValueError, AssertionError) as error:
            sentence = f"{entry.name} can't take images of {side} px: {first_line(error)}"
            raise Invalid("spec.model.imageSize", sentence) from None
    return module.requires_grad_(False)

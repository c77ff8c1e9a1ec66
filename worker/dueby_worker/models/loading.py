"""Load the network of `spec.model`, with its labels, its preprocessing and the digest of its weights.

`describe_model` checks what can be known without building the network, so that a wrong name, list of labels or number
of classes is refused at once. `load_model` does the rest. Weights are never random unless the job says `none`, because
the results of random weights look like any others.
"""

import hashlib
import logging
import os.path
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from dueby_api.classifiers import nearest
from dueby_api.errors import Invalid, first_line
from dueby_api.inference_job import Model
from dueby_api.output import MAX_VALUES, Output
from dueby_api.words import counted
from dueby_worker.models.embedding import cut_network
from dueby_worker.models.entry import DEFAULT, NO_WEIGHTS, ModelEntry, PublishedWeights
from dueby_worker.models.facts import KnownModel, ModelFacts, stamps_of
from dueby_worker.models.registry import find_entry
from dueby_worker.models.weights import FIELD, digest_weights, fit_weights, read_weights

# The seed of random weights. All workers, and a run that resumes another, must have the same network.
_SEED = 0
# A value of spec.model.weights that ends so is meant as a path, even if there is no such file.
_WEIGHTS_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".safetensors")
log = logging.getLogger(__name__)


class LoadedModel(KnownModel, frozen=True, kw_only=True):
    """The job's model with its network."""

    module: nn.Module
    """Maps normalised images (b, 3, side, side) to (b, values); fp32, eval mode, on the CPU.

    Engines copy it and never change it. Of an ONNX file it is an OnnxNetwork, whose file they read themselves.
    """
    quantized: bytes | None = None
    """The int8 network, as engines/quantizing.py packs it; None before a job at int8 has one, and for all others."""


def describe_model(spec: Model) -> ModelFacts:
    """Return the model's labels and preprocessing. Raise Invalid if the specification is wrong."""
    return _describe(find_entry(spec), spec)


def _describe(entry: ModelEntry, spec: Model) -> ModelFacts:
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
        preprocessing=default.preprocessing_at(spec.image_size),
        # Weights of one's own, with classes of one's own, make a classifier of it.
        is_encoder=default.is_encoder and bool(published or not (spec.classes or spec.labels)),
        warnings=warnings,
    )


def require_image_size(spec: Model) -> None:
    """Raise Invalid if the network can't take images of that size. It is built without its weights, and on torch's
    meta device, which takes no memory.
    """
    # RegNet's builder computes its widths with tensors, and those of the meta device have no values.
    with torch.device("cpu" if spec.name.startswith("regnet_") else "meta"):
        _build(find_entry(spec), spec.replace(weights=NO_WEIGHTS), classes=1)


def load_model(spec: Model, output: Output = Output()) -> LoadedModel:  # noqa: B008
    """Return the model with its weights, and log warnings. Raise Invalid if the job or its weights are wrong."""
    # To find an entry may take reading a folder, so it is done once.
    entry = find_entry(spec)
    facts = _describe(entry, spec)
    facts.log_warnings()
    if facts.is_encoder and output.kind != "Embedding":
        problem = f"the {len(facts.labels)} values of {spec.name} are an embedding, and not of classes"
        raise Invalid("spec.output.kind", f"{problem}; set Embedding, or take another model")
    module = _build(entry, spec, classes=len(facts.labels))
    files = [_path(spec.labels)] if spec.labels else []
    if spec.weights == NO_WEIGHTS:
        digest = f"random:{_SEED}"
    else:
        published = _find_published(entry, spec.weights)
        state = published.fetch() if published else _path(spec.weights)
        if isinstance(state, Path):
            files.append(state)
            state = read_weights(state)
        origin = published.name if published else spec.weights
        fit_weights(module, entry.rename(state), origin=origin, classes=len(facts.labels))
        digest = digest_weights(module)
    if entry.code:
        digest = hashlib.sha256(f"{digest} {entry.code}".encode()).hexdigest()
    values = len(facts.labels)
    if output.threshold is not None:
        _require_one(output.threshold.label, facts.labels)
    if output.kind == "Embedding" and (output.layer or not facts.is_encoder):
        module, values = cut_network(module, output.layer, side=spec.image_size)
    elif output.kind == "Probabilities" and values > MAX_VALUES:
        raise Invalid(
            "spec.output.kind", f"Probabilities are of at most {MAX_VALUES:,} classes, not {values:,}; set TopK"
        )
    return LoadedModel(
        name=spec.name,
        module=module,
        values=values,
        output=output.resolved,
        preprocessing=facts.preprocessing,
        labels=facts.labels,
        is_encoder=facts.is_encoder,
        weights_digest=digest,
        are_probabilities=entry.are_probabilities,
        warnings=facts.warnings,
        files=None if entry.files is None else stamps_of((*entry.files, *files)),
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
    if published.knows(spec.image_size):
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
    labels = _read_labels(spec.labels) if spec.labels else None
    if labels and spec.classes and len(labels) != spec.classes:
        raise Invalid(field, f"{spec.labels} has {len(labels)} labels, but spec.model.classes is {spec.classes}")
    classes = len(labels) if labels else spec.classes or len(default.labels)
    if not classes:
        advice = "set classes, or labels to a file, and weights to a file of a network that was trained for them"
        raise Invalid("spec.model.classes", f"{spec.name} has no classes of its own; {advice}")
    if published and classes != len(published.labels):
        field = field if labels else "spec.model.classes"
        raise Invalid(
            field,
            f"{published.name} has {counted(len(published.labels), 'class', 'classes')}, not {classes}; "
            f"give the path of weights that have {classes}",
        )
    if labels:
        return labels, ()
    if classes == len(default.labels):
        return default.labels, ()
    numbers = tuple(map(str, range(classes)))
    return numbers, (
        f"{field}: absent, and there are no default labels for {counted(classes, 'class', 'classes')}; results show "
        "class numbers",
    )


def _require_one(label: str, labels: Sequence[str]) -> None:
    """Raise Invalid unless exactly one class has that label."""
    field, count = "spec.output.threshold.label", labels.count(label)
    if count == 0:
        raise Invalid(field, f"the model has no label {label!r}{nearest(label, labels)}".rstrip("."))
    if count > 1:
        raise Invalid(field, f"several classes of the model have the label {label!r}; give other names in labels")


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

"""What depends on a model's name alone: how its network is built, and which weights are published for it."""

import hashlib
import json
import os.path
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from dueby_api.inference_job import Model
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.models.weights import State

# One a line, in the words of torchvision. A test holds them equal.
_LABELS = Path(__file__).with_name("imagenet_labels.txt")
# The name of the weights that are recommended for a model, and of random ones.
DEFAULT = "DEFAULT"
NO_WEIGHTS = "none"


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """Weights that are known by a name."""

    name: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    """At the image size for which the weights were trained."""
    at_test_size: Preprocessing | None = None
    """At the other size at which they were evaluated, if there is one."""
    is_encoder: bool = False
    """Whether the network's values are an embedding, and not of classes; its labels are numbers then."""
    fetch: Callable[[], Path | State]
    """Returns the path of their file, downloaded if need be, or their tensors, if another library has read them.

    Raises Invalid if they are not available here.
    """

    def knows(self, side: int) -> bool:
        """Return whether the weights were trained or evaluated at that size."""
        return any(p.crop_side == side for p in (self.preprocessing, self.at_test_size) if p)

    def preprocessing_at(self, side: int) -> Preprocessing:
        at_test_size = self.at_test_size
        if at_test_size and at_test_size.crop_side == side:
            return at_test_size
        return self.preprocessing.scaled_to(side)


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
    files: tuple[Path, ...] | None = ()
    """The files that the entry itself was read from; None if only another library knows which files the model has."""
    code: str = ""
    """Digest of what the network is made of beside its name and weights: the code or the settings that came with it."""
    are_probabilities: bool = False
    """Whether the network's values are probabilities already, and not logits."""


def digest_settings(settings: Mapping[str, Any]) -> str:
    """Return a digest of what JSON can hold. It is the same in every process, whatever the order of the keys."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def weights_folder(spec: Model) -> Path | None:
    """Return the folder that the specification's weights are; None if they are something else."""
    folder = Path(os.path.expanduser(spec.weights))
    # Not Path.is_dir, which raises for a text that can't be a path, such as one with a NUL.
    is_folder = spec.weights not in (DEFAULT, NO_WEIGHTS) and os.path.isdir(folder)
    return folder if is_folder else None


def imagenet_labels() -> tuple[str, ...]:
    """Return ImageNet's 1,000 labels, in the order of every network that was trained for them."""
    return tuple(_LABELS.read_text(encoding="utf-8").splitlines())

"""Networks that people's own code makes: `python/MODULE:FUNCTION`.

The function takes nothing and returns a mapping with `network`, `input`, `values` and `labels` (docs/models.md). Its
module is imported here, in the processes that run the model, and nowhere else. It runs with their rights, as everything
that is in their image does. Whatever it raises becomes a sentence.
"""

import hashlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from dueby_api.classifiers import PYTHON
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.schema import Spec, validate
from dueby_worker.models.description import Labels, Preparation, Values, require_said
from dueby_worker.models.entry import DEFAULT, ModelEntry, PublishedWeights

NAME_FIELD = "spec.model.name"
# Random weights must be the same in all workers.
_SEED = 0
_TRIED_IMAGES = 2
_NETWORK = "network"
_ADVICE = "return {'network': ..., 'input': ..., 'values': ..., 'labels': ...}; docs/models.md says what they are"


class Said(Spec, frozen=True, kw_only=True):
    """What a function says of its network."""

    input: Preparation
    """How images are prepared."""
    values: Values
    """Whether the network's values are logits, or probabilities already."""
    labels: Labels
    """A label for each class, in the order of the values."""


def find_python(spec: Model) -> ModelEntry:
    """Return the entry of the network that the function makes. Raise Invalid if it makes none that can be run."""
    name = spec.name.removeprefix(PYTHON)
    module_name, _, function_name = name.partition(":")
    module = _import(module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise Invalid(NAME_FIELD, f"{module_name} has no function {function_name}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        returned = _call(function, name)
    network = returned.get(_NETWORK) if isinstance(returned, Mapping) else None
    if not isinstance(returned, Mapping) or not isinstance(network, nn.Module):
        what = f"a {type(returned).__name__}" if network is None else f"a {type(network).__name__} as network"
        raise Invalid(NAME_FIELD, f"{name} returned {what}: {_ADVICE}")
    said = validate(
        Said, {key: value for key, value in returned.items() if key != _NETWORK}, origin=f"what {name} returned"
    )
    network = network.eval().cpu().float()
    _require_classifier(network, said, name, side=spec.image_size)
    weights = PublishedWeights(
        name=name,
        labels=said.labels,
        preprocessing=said.input.preprocessing,
        fetch=network.state_dict,
    )
    return ModelEntry(
        name=spec.name,
        published={DEFAULT: weights},
        build=partial(_build, network),
        rename=lambda state: state,
        any_size=True,
        # What the module imports, nobody knows.
        files=None,
        code=_digest_of(module),
        are_probabilities=said.values == "Probabilities",
    )


def _import(name: str) -> ModuleType:
    # Where `python -m` would find it. At the end, so that no file there takes the place of a library.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            advice = "put it into the folder where dueby runs, into a folder of PYTHONPATH, or into the worker's image"
            raise Invalid(NAME_FIELD, f"there is no module {error.name}: {advice}") from None
        raise Invalid(NAME_FIELD, f"{name} can't be imported: {_last_words(error)}") from None
    except (Exception, SystemExit) as error:
        raise Invalid(NAME_FIELD, f"{name} can't be imported: {_last_words(error)}") from None


def _call(function: Callable[[], Any], name: str) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise Invalid(NAME_FIELD, f"{name} failed: {_last_words(error)}") from None


def _last_words(error: BaseException) -> str:
    """Return the last line of the traceback, and where in people's code that was."""
    line = traceback.format_exception_only(error)[-1].strip()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    in_models = [frame for frame in frames if "importlib" not in frame.filename]
    return f"{line} ({in_models[-1].filename}, line {in_models[-1].lineno})" if in_models else line


def _build(network: nn.Module, *, image_size: int, classes: int, trained: bool) -> nn.Module:
    # The function has made it.
    del image_size, classes, trained
    return network


def _require_classifier(network: nn.Module, said: Said, name: str, *, side: int) -> None:
    """Raise Invalid unless the network's values of two images are what is said of them."""
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(_SEED)
            values = network(torch.rand(_TRIED_IMAGES, 3, side, side))
    except Exception as error:
        what = f"the network of {name} can't take {_TRIED_IMAGES} images of {side} px"
        raise Invalid(NAME_FIELD, f"{what}: {_last_words(error)}") from None
    if not isinstance(values, torch.Tensor) or values.dim() != 2 or len(values) != _TRIED_IMAGES or values.shape[1] < 2:
        returned = (
            f"the shape {list(values.shape)}" if isinstance(values, torch.Tensor) else f"a {type(values).__name__}"
        )
        advice = "it must return a value for each of two classes or more"
        raise Invalid(NAME_FIELD, f"the network of {name} returns {returned} for {_TRIED_IMAGES} images: {advice}")
    if not values.isfinite().all():
        raise Invalid(NAME_FIELD, f"the network of {name} returns values that are not finite numbers")
    require_said(values, said.values, said.labels, origin=f"what {name} returned", what="the network")


def _digest_of(module: ModuleType) -> str:
    """Return a digest of the module's source, without which weights say little of a network."""
    file = getattr(module, "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else module.__name__

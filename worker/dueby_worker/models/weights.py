"""Weights: read them from a file, fetch them by torchvision's name, load them into a network, compute their digest.

Files are read as tensors only (`weights_only`, safetensors), because a pickle may run code. Weights that do not fit
exactly are refused, with some of the names that don't fit: a network that keeps some of its random weights still
answers, but wrongly.
"""

import hashlib
import pickle
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import safetensors
import safetensors.torch
import torch
from torch import nn

from dueby_api.errors import Invalid, first_line
from dueby_api.words import counted

# Not every model is torchvision's (registry.py).
if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

FIELD = "spec.model.weights"
State = dict[str, torch.Tensor]
# The keys under which PyTorch Lightning and torchvision's training scripts save the state_dict beside the optimiser.
_NESTED = ("state_dict", "model")
# The prefixes that DataParallel and torch.compile put before every name.
_PREFIXES = ("module.", "_orig_mod.")
# How many names a message lists.
_SHOWN = 3
_CONNECT_TIMEOUT_S = 30.0


def read_weights(path: Path) -> State:
    """Return the state_dict in a file of torch.save or in a .safetensors file. Raise Invalid if it can't be read."""
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        advice = "save only the tensors with torch.save(model.state_dict(), path), because a pickle may run code"
        raise Invalid(FIELD, f"{path} holds more than weights, or is not a file of torch.save; {advice}") from None
    except (OSError, EOFError, RuntimeError, ValueError, safetensors.SafetensorError) as error:
        raise Invalid(FIELD, f"{path} can't be read as weights: {first_line(error)}") from None
    return _as_state(content, path)


def fetch_weights(published: "WeightsEnum") -> Path:
    """Return the file of torchvision's published weights, in torch's cache, from the internet if it isn't there yet.

    Raise Invalid without either.
    """
    cache, name = Path(torch.hub.get_dir()) / "checkpoints", Path(urlsplit(published.url).path).name
    if (cache / name).is_file():
        return cache / name
    try:
        with _connect_timeout(_CONNECT_TIMEOUT_S):
            published.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    # OSError: no internet. RuntimeError: the file does not have the hash in its name.
    except (OSError, RuntimeError) as error:
        advice = f"put that file into {cache}, or set {FIELD} to the path of a file"
        raise Invalid(
            FIELD, f"{published.name} can't be downloaded from {published.url}: {first_line(error)}; {advice}"
        ) from None
    return cache / name


def fit_weights(module: nn.Module, state: Mapping[str, torch.Tensor], *, origin: str, classes: int) -> None:
    """Load the weights into the module. Raise Invalid unless names and shapes match exactly."""
    places = module.state_dict()
    missing = [name for name in places if name not in state and not name.endswith("num_batches_tracked")]
    unknown = [name for name in state if name not in places]
    unlike = [name for name in places if name in state and state[name].shape != places[name].shape]
    if not missing and not unknown and all(places[name].shape[:1] == (classes,) for name in unlike):
        _refuse_outputs({state[name].shape[0] for name in unlike if state[name].ndim}, origin, classes)
    wrong = [f"{name} is missing" for name in missing] + [f"{name} is unknown" for name in unknown]
    wrong += [f"{name} is {_shape(state[name])}, not {_shape(places[name])}" for name in unlike]
    if wrong:
        more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise Invalid(FIELD, f"{origin} doesn't fit the model: {', '.join(wrong[:_SHOWN])}{more}")
    if bad := [name for name in state if state[name].is_floating_point() and not state[name].isfinite().all()]:
        raise Invalid(FIELD, f"{origin} holds values that are not finite numbers, in {', '.join(bad[:_SHOWN])}")
    # The module's own state_dict is updated and loaded because it carries the versions of the layers. Without them
    # MNASNet takes the weights for those of its first version, and batch norms require a count that old files lack.
    places.update(state)
    module.load_state_dict(places)


def digest_weights(module: nn.Module) -> str:
    """Return SHA-256 over names, types, shapes and bytes, whatever file they came from; 20 ms for EfficientNet-B0."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _refuse_outputs(outputs: set[int], origin: str, classes: int) -> None:
    """Raise Invalid if the weights differ from the model only in the number of outputs."""
    if len(outputs) == 1:
        (count,) = outputs
        advice = f"set classes to {count}, or labels to a file of {counted(count, 'line')}"
        raise Invalid(
            "spec.model.classes",
            f"{origin} has {counted(count, 'output')}, but the job has {counted(classes, 'class', 'classes')}; "
            f"{advice}",
        )


def _as_state(content: Any, path: Path) -> State:
    """Return the state_dict within what torch.load returned, without the prefixes of wrappers."""
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(torch.is_tensor(value) for value in content.values()):
        raise Invalid(FIELD, f"{path} holds no state_dict; save one with torch.save(model.state_dict(), path)")
    state = dict(content)
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


@contextmanager
def _connect_timeout(seconds: float) -> Iterator[None]:
    """Limit how long connecting may take: torch.hub has no limit, and a firewall may drop packets without an answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"

"""Weights: read from a file, fetched by torchvision's name, fitted into a network, and their digest.

Files are read as tensors and nothing else (`weights_only`, safetensors), since a pickle may run code. What does not fit
is refused with a few of the names that don't: a network that keeps some of its random weights still answers, wrongly.
"""

import hashlib
import pickle
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import safetensors
import safetensors.torch
import torch
from torch import nn
from torchvision.models import WeightsEnum

from dueby_api.errors import Invalid

FIELD = "spec.model.weights"
State = dict[str, torch.Tensor]
# Where training scripts put the state_dict beside their optimiser: PyTorch Lightning, torchvision's references.
_NESTED = ("state_dict", "model")
# What DataParallel and torch.compile put in front of every name.
_PREFIXES = ("module.", "_orig_mod.")
_SHOWN = 3
_CONNECT_TIMEOUT_S = 30.0


def read_weights(path: Path) -> State:
    """The state_dict in a file of torch.save or a .safetensors file; Invalid with what is wrong with it."""
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        advice = (
            "only tensors are read, since a pickle may run code: save them with torch.save(model.state_dict(), path)"
        )
        raise Invalid(FIELD, f"{path} holds more than weights, or is not a file of torch.save; {advice}") from None
    except (OSError, EOFError, RuntimeError, ValueError, safetensors.SafetensorError) as error:
        raise Invalid(FIELD, f"{path} can't be read as weights: {first_line(error)}") from None
    return _as_state(content, path)


def fetch_weights(published: WeightsEnum) -> State:
    """torchvision's published weights, from torch's cache or from the internet."""
    cache, name = Path(torch.hub.get_dir()) / "checkpoints", Path(urlsplit(published.url).path).name
    if (cache / name).is_file():
        return read_weights(cache / name)
    try:
        with _connect_timeout(_CONNECT_TIMEOUT_S):
            published.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError) as error:  # no internet; or another file than its hash says
        advice = f"put that file into {cache}, or give the path of a file here"
        raise Invalid(
            FIELD, f"{published.name} can't be downloaded from {published.url}: {first_line(error)}; {advice}"
        ) from None
    return read_weights(cache / name)


def fit_weights(module: nn.Module, state: Mapping[str, torch.Tensor], *, origin: str, classes: int) -> None:
    """Load the weights into the module; Invalid unless every one has its place, and every place its weight."""
    places = module.state_dict()
    missing = [name for name in places if name not in state and not name.endswith("num_batches_tracked")]
    unknown = [name for name in state if name not in places]
    unlike = [name for name in places if name in state and state[name].shape != places[name].shape]
    if not missing and not unknown and all(places[name].shape[:1] == (classes,) for name in unlike):
        _refuse_outputs({state[name].shape[0] for name in unlike if state[name].ndim}, origin, classes)
    wrong = [f"{name} is missing" for name in missing] + [f"{name} has no place there" for name in unknown]
    wrong += [f"{name} is {_sides(state[name])}, not {_sides(places[name])}" for name in unlike]
    if wrong:
        more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise Invalid(FIELD, f"{origin} doesn't fit the model: {', '.join(wrong[:_SHOWN])}{more}")
    if bad := [name for name in state if state[name].is_floating_point() and not state[name].isfinite().all()]:
        raise Invalid(FIELD, f"{origin} holds values that aren't finite numbers, in {', '.join(bad[:_SHOWN])}")
    # Into the module's own state_dict: it carries the layers' versions, without which MNASNet takes the weights for
    # those of its first version, and batch norms want a count that old files don't have.
    places.update(state)
    module.load_state_dict(places)


def digest_weights(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes, whatever file they came from; 20 ms for EfficientNet-B0."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def first_line(error: Exception) -> str:
    """What a library says, without its stack of explanations."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _refuse_outputs(outputs: set[int], origin: str, classes: int) -> None:
    """Invalid where the weights are this model's but for the number of its outputs."""
    if len(outputs) == 1:
        (count,) = outputs
        advice = f"set classes to {count}, or labels to a file of {count} lines"
        raise Invalid("spec.model.classes", f"{origin} has {count} outputs, but the job {classes} classes; {advice}")


def _as_state(content: Any, path: Path) -> State:
    """The state_dict within what torch.load gave, without what wrappers put in front of the names."""
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
    # torch.hub opens the address without a time limit, and a firewall that drops packets would hold the job forever.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _sides(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"

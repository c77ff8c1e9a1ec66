"""Models in ONNX files: `onnx/` and a name of your own, with the file as `weights` and its description beside it."""

import json
import os.path
from functools import partial
from pathlib import Path

import torch
from torch import nn

from dueby_api.errors import Invalid, first_line
from dueby_api.inference_job import Model
from dueby_worker.models.description import require_said
from dueby_worker.models.entry import DEFAULT, ModelEntry, PublishedWeights
from dueby_worker.models.onnx_description import Description, description_path, read_description
from dueby_worker.models.onnx_file import digest_files, files_of
from dueby_worker.models.onnx_network import DIGEST, SHOWN, TYPES, OnnxGraph, OnnxNetwork, try_network
from dueby_worker.models.onnx_session import OnnxSession, Tensor, open_session
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.models.weights import FIELD, State


def find_onnx(spec: Model) -> ModelEntry:
    """Return the entry of the model in the file. Raise Invalid unless it can be run as its description says."""
    path = Path(os.path.expanduser(spec.weights))
    if not os.path.isfile(path):
        raise Invalid(FIELD, f"there is no file {spec.weights}; give the path of one that the worker can read")
    description = read_description(path)
    files = files_of(path)
    try:
        session = open_session(path)
    except ValueError as error:
        raise Invalid(FIELD, f"ONNX Runtime can't load {path}: {first_line(error)}") from None
    graph = OnnxGraph(
        path=path,
        input=_only_input(session, path),
        output=_chosen_output(session, description, path),
        is_nhwc=description.input.layout == "NHWC",
        is_bgr=description.input.channels == "BGR",
    )
    side = _fixed_side(graph, description)
    network = OnnxNetwork(graph, session, path)
    weights = PublishedWeights(
        name=spec.weights,
        labels=description.labels,
        preprocessing=description.input.preprocessing,
        fetch=partial(_fetch, network, files, description, side=spec.image_size),
    )
    return ModelEntry(
        name=spec.name,
        published={DEFAULT: weights, spec.weights: weights},
        build=partial(_build, network),
        rename=lambda state: state,
        any_size=side is None,
        files=(*files, description_path(path)),
        are_probabilities=description.values == "Probabilities",
    )


def _build(network: OnnxNetwork, *, image_size: int, classes: int, trained: bool) -> nn.Module:
    # The file is what it is.
    del image_size, classes, trained
    return network


def _fetch(network: OnnxNetwork, files: tuple[Path, ...], description: Description, *, side: int) -> State:
    """Return the network's state. Raise Invalid if its values aren't what is said of them."""
    values = try_network(network, side=side, field=FIELD)
    origin = str(description_path(network.graph.path))
    what = network.graph.output
    require_said(values, description.values, description.labels, origin=origin, what=what)
    # What the description says of images and labels is in the job's fingerprint, where differences are named.
    said = json.dumps([network.graph.output, network.graph.is_nhwc, network.graph.is_bgr, description.values])
    return {DIGEST: torch.frombuffer(bytearray(digest_files(files, said.encode())), dtype=torch.uint8)}


def _only_input(session: OnnxSession, path: Path) -> Tensor:
    inputs = session.inputs
    if len(inputs) != 1:
        names = ", ".join(tensor.name for tensor in inputs) or "none"
        raise Invalid(FIELD, f"{path} takes {len(inputs)} inputs ({names}); DueBy gives it images and nothing else")
    (tensor,) = inputs
    if tensor.type not in TYPES or len(tensor.shape) != 4:
        shape = " x ".join("?" if side is None else str(side) for side in tensor.shape)
        raise Invalid(
            FIELD,
            f"{path} takes {tensor.type} of the shape {shape or '?'}; DueBy gives mini-batches of images, which are "
            f"float, float16 or uint8 and have four axes",
        )
    return tensor


def _chosen_output(session: OnnxSession, description: Description, path: Path) -> str:
    names = [tensor.name for tensor in session.outputs]
    if description.output is None and len(names) == 1:
        return names[0]
    if description.output not in names:
        problem = f"there is no output {description.output!r}" if description.output else f"{path} has several outputs"
        raise Invalid(f"{description_path(path)}: output", f"{problem}; name one of {', '.join(names[:SHOWN])}")
    return description.output


def _fixed_side(graph: OnnxGraph, description: Description) -> int | None:
    """Return the side of images that the file fixes; None if it takes any. Raise Invalid if it contradicts the rest."""
    origin = str(description_path(graph.path))
    shape = graph.input.shape
    channels, height, width = (shape[3], *shape[1:3]) if graph.is_nhwc else shape[1:]
    written = " x ".join("?" if side is None else str(side) for side in shape)
    if channels not in (3, None):
        problem = f"is {description.input.layout}, but the file's input is {written}, without 3 channels there"
        raise Invalid(f"{origin}: input.layout", problem)
    if None not in (height, width) and height != width:
        raise Invalid(FIELD, f"{graph.path} takes images of {width} x {height} px; DueBy makes squares only")
    side = height if height is not None else width
    if side not in (None, description.input.size):
        raise Invalid(f"{origin}: input.size", f"is {description.input.size}, but the file's input is {written}")
    if graph.takes_bytes and not _is_plain(description.input.preprocessing):
        advice = "set divideBy to 1, mean to zeros and std to ones"
        raise Invalid(f"{origin}: input", f"normalises images, but the file takes them as bytes; {advice}")
    return side


def _is_plain(preprocessing: Preprocessing) -> bool:
    return set(preprocessing.mean) == {0.0} and set(preprocessing.std) == {1 / 255}

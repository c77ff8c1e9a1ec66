"""The network in an ONNX file: what engines need to know of it, and the reference that they are compared with.

The file is network and weights at once. OpenVINO and ONNX Runtime read it themselves; the reference is ONNX Runtime on
one core of the CPU. Nothing here loads ONNX Runtime before there is such a file.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from dueby_api.errors import Invalid, first_line
from dueby_worker.models.embedding import FIELD as LAYER_FIELD
from dueby_worker.models.embedding import CutsItself
from dueby_worker.models.onnx_file import with_output
from dueby_worker.models.weights import FIELD

if TYPE_CHECKING:
    from dueby_worker.models.onnx_session import OnnxSession, Tensor

# The only tensor of the network's state: what is known of weights that no library of ours loads.
DIGEST = "digest"
_DIGEST_BYTES = 32
# Types of a model's input that engines make, as ONNX Runtime writes them.
TYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(uint8)": torch.uint8}
# Two, because a network that takes one image at a time in spite of its shape fails with the second.
_TRIED_IMAGES = 2
# Far above any network.
_MAX_VALUES = 200_000
BATCH_ADVICE = "export it with a dynamic axis of the mini-batch"
# How many names of outputs a message lists.
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class OnnxGraph:
    """A model's file, and what an engine needs to know of it to run it."""

    path: Path
    input: "Tensor"
    output: str
    """The tensor whose values are wanted."""
    is_nhwc: bool
    """Whether channels are last."""
    is_bgr: bool
    """Whether channels are in the order of OpenCV."""

    @property
    def batch(self) -> int | None:
        """How many images it computes at once; None if any number."""
        return self.input.shape[0]

    @property
    def takes_bytes(self) -> bool:
        """Whether it takes images as they are, and normalises them itself."""
        return TYPES[self.input.type] is torch.uint8

    def require_batch(self, mini_batch_size: int) -> None:
        """Raise Invalid if it can't compute so many images at once."""
        if self.batch not in (None, mini_batch_size):
            what = f"{self.path} computes mini-batches of {self.batch}, not of {mini_batch_size}"
            raise Invalid(FIELD, f"{what}: {BATCH_ADVICE}")

    def arranged(self, planes: torch.Tensor) -> torch.Tensor:
        """Return normalised RGB images (b, 3, side, side) as the model takes them."""
        planes = planes.flip(1) if self.is_bgr else planes
        planes = planes.permute(0, 2, 3, 1) if self.is_nhwc else planes
        planes = planes.round().clamp(0, 255) if self.takes_bytes else planes
        return planes.to(TYPES[self.input.type]).contiguous()

    def gathered(self, values: torch.Tensor) -> torch.Tensor:
        """Return a vector for each image: the values, or the mean of a map over its places."""
        if values.dim() != 4:
            return values
        _, first, second, third = values.shape
        is_last = first == second and (second != third or self.is_nhwc)
        return values.float().mean((1, 2) if is_last else (2, 3))

    def gathered_array(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what `gathered` does, for an engine without torch."""
        vectors: NDArray[np.float32] = self.gathered(torch.from_numpy(values)).numpy()
        return vectors


class OnnxNetwork(CutsItself):
    """The model as every engine must compute it: ONNX Runtime on the CPU, in the file's own precision."""

    digest: torch.Tensor

    def __init__(self, graph: OnnxGraph, session: "OnnxSession", source: Path | bytes) -> None:
        super().__init__()
        self.graph = graph
        self.source = source
        self._session = session
        self.register_buffer(DIGEST, torch.zeros(_DIGEST_BYTES, dtype=torch.uint8))

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Return the values (b, values) of normalised images (b, 3, side, side)."""
        images = self.graph.arranged(planes)
        size = self.graph.batch or len(images)
        return torch.cat([self._run(images[first : first + size], size) for first in range(0, len(images), size)])

    def _run(self, images: torch.Tensor, size: int) -> torch.Tensor:
        count = len(images)
        if count < size:  # the file computes a fixed number
            images = torch.cat([images, images[:1].expand(size - count, *images.shape[1:])])
        return self.graph.gathered(self._values(images))[:count].float()

    def values_of_one(self, *, side: int) -> torch.Tensor:
        """Return what the file gives of a first mini-batch of black images, as it is."""
        planes = torch.zeros(self.graph.batch or 1, 3, side, side)
        return self._values(self.graph.arranged(planes))

    def _values(self, images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._session.run(self.graph.input.name, images.numpy(), self.graph.output))

    def extra_repr(self) -> str:
        """Return what else the network depends on, for the cache of what is made of it."""
        return f"{self.graph.output}, is_nhwc={self.graph.is_nhwc}, is_bgr={self.graph.is_bgr}"

    def cut(self, layer: str | None, *, side: int) -> tuple["OnnxNetwork", int]:
        """Return the network up to the tensor of that name, and how many values it has of an image.

        Raise Invalid if there is no such tensor, or if it holds no vectors.
        """
        outputs = [output.name for output in self._session.outputs]
        shown = f"{', '.join(outputs[:SHOWN])}{' and others' if len(outputs) > SHOWN else ''}"
        if layer is None:
            advice = f"name a tensor of the graph; its outputs are {shown}"
            raise Invalid(LAYER_FIELD, f"is missing: an ONNX file doesn't say which layer is the last one; {advice}")
        graph = replace(self.graph, output=layer)
        try:
            source = self.source if layer in outputs else with_output(graph.path.read_bytes(), layer)
            session = self._session if layer in outputs else _reopened(graph, source)
        except ValueError as error:
            advice = f"name one of its tensors; its outputs are {shown}"
            sentence = f"{graph.path} can't give {layer!r}: {first_line(error)}; {advice}"
            raise Invalid(LAYER_FIELD, sentence) from None
        network = OnnxNetwork(graph, session, source)
        network.load_state_dict(self.state_dict())
        values = try_network(network, side=side, field=LAYER_FIELD)
        return network, values.shape[1]


def try_network(network: OnnxNetwork, *, side: int, field: str) -> torch.Tensor:
    """Return the network's values of made-up images. Raise Invalid unless they are vectors of finite numbers."""
    graph = network.graph
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        images = torch.rand(_TRIED_IMAGES, 3, side, side) * (255 if graph.takes_bytes else 1)
        try:
            values: torch.Tensor = network(images)
        except (ValueError, RuntimeError) as error:
            what = f"{graph.path} can't compute {_TRIED_IMAGES} images of {side} px: {first_line(error)}"
            raise Invalid(field, f"{what}; {BATCH_ADVICE}") from None
    if values.dim() != 2 or len(values) != _TRIED_IMAGES or not 1 < values.shape[1] <= _MAX_VALUES:
        shape = " x ".join(map(str, values.shape))
        raise Invalid(
            field,
            f"{graph.output} of {graph.path} is {shape} for {_TRIED_IMAGES} images; it must hold two values or more of "
            "each image, such as one for each class",
        )
    if not values.isfinite().all():
        raise Invalid(field, f"{graph.output} of {graph.path} holds values that are not finite numbers")
    return values


def _reopened(graph: OnnxGraph, source: Path | bytes) -> "OnnxSession":
    from dueby_worker.models.onnx_session import open_session

    return open_session(source, folder=graph.path.parent)

"""OpenVINO on the CPU: fast there on every kind of network (docs/benchmarks.md), and the one for ONNX files and int8.

The network is converted with its normalisation and compiled for one fixed mini-batch of uint8 images as the decoder
leaves them. What follows it stays outside, in fp32; inside, it would run in the network's precision.

Only to convert a network takes torch (openvino_network.py): one that is kept is opened again without.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dueby_api.engines import EngineName, Precision
from dueby_api.errors import Invalid
from dueby_worker.engines.host import find_cpu_obstacle, missing_packages
from dueby_worker.engines.interface import EngineRequest
from dueby_worker.engines.openvino_files import import_openvino, read_network
from dueby_worker.models.columns import Columns, RowRule, columns_from_array
from dueby_worker.models.facts import KnownModel
from dueby_worker.models.preprocessing import Pixels

if TYPE_CHECKING:
    from dueby_worker.models.loading import LoadedModel

# OpenVINO's names of the precisions.
_HINTS: dict[Precision, str] = {
    "fp32": "f32",
    "bf16": "bf16",
    # What is quantized says so in the network itself. The rest stays in fp32.
    "int8": "f32",
}
# Makes a vector for each image of what the network gives.
Gather = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class OpenVINOEngine:
    """Runs a compiled network asynchronously, so that a signal need not wait for the end of a mini-batch."""

    name: EngineName = "openvino"
    depth = 1

    def __init__(
        self, *, compiled: Any, precision: Precision, shape: tuple[int, ...], rule: RowRule, gather: Gather
    ) -> None:
        self.precision = precision
        self._openvino = import_openvino()
        self._request = compiled.create_infer_request()
        self._shape = shape
        self._rule = rule
        self._gather = gather
        self._batch: Any = None

    def buffer(self) -> Pixels:
        """Return a new array for a mini-batch."""
        return np.empty(self._shape, dtype=np.uint8)

    def submit(self, batch: Pixels) -> None:
        """Start the inference on the array itself, without a copy."""
        self._batch = self._openvino.Tensor(batch, shared_memory=True)
        self._request.set_input_tensor(self._batch)
        self._request.start_async()

    def collect(self) -> Columns:
        """Wait for the inference and return the columns."""
        self._request.wait()
        # A copy, because an embedding may be the network's output itself, which the next mini-batch overwrites.
        values = self._request.get_output_tensor().data.copy()
        return columns_from_array(self._gather(values), self._rule)

    def close(self) -> None:
        """Cancel the inference and release its memory."""
        self._request.cancel()
        self._request = self._batch = None


def find_obstacle(precision: Precision) -> str | None:
    """Return why the engine can't run here at that precision; None if it can."""
    if missing_packages("openvino"):
        return "OpenVINO is not installed; install it (there is one for x86-64), or use the engine eager"
    if precision == "int8":
        # Only the index step and the profiler quantize, but what a job needs is said before it begins.
        if importlib.util.find_spec("nncf") is None:
            return "int8 needs NNCF: pip install 'dueby[int8]', in the worker's image too"
        return None
    obstacle = find_cpu_obstacle(precision)
    if obstacle is None and precision == "bf16":
        # Without such instructions OpenVINO accepts the hint and silently computes in fp32.
        has_bf16 = "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return None if has_bf16 else "this CPU has no bf16 instructions, so OpenVINO would compute in fp32; set fp32"
    return obstacle


def build(request: EngineRequest) -> OpenVINOEngine:
    import torch

    from dueby_worker.engines import openvino_network
    from dueby_worker.models.onnx_network import OnnxNetwork

    # torch only prepares images in the decoders' threads; the cores are for the network.
    torch.set_num_threads(1)
    core, loaded = import_openvino().Core(), request.loaded
    if request.precision == "int8":
        network = openvino_network.unpack(core, loaded)
    elif request.cache_dir is None:
        network = openvino_network.convert(loaded)
    else:
        network = openvino_network.converted(core, loaded, request.cache_dir)
    gather = loaded.module.graph.gathered_array if isinstance(loaded.module, OnnxNetwork) else _as_it_is
    return _compile(
        core,
        network,
        model=loaded,
        mini_batch_size=request.mini_batch_size,
        precision=request.precision,
        threads=request.threads,
        gather=gather,
    )


def entry_of(loaded: "LoadedModel", cache_dir: Path) -> Path:
    """Return the folder in which the converted network is kept."""
    from dueby_worker.engines import openvino_network

    return openvino_network.entry_of(loaded, cache_dir)


def reopen(
    entry: Path, *, model: KnownModel, mini_batch_size: int, precision: Precision, threads: int
) -> OpenVINOEngine:
    """Return the engine of a network that is kept in the folder `entry`, without torch."""
    core = import_openvino().Core()
    return _compile(
        core,
        read_network(core, entry),
        model=model,
        mini_batch_size=mini_batch_size,
        precision=precision,
        threads=threads,
        gather=_as_it_is,
    )


def _compile(
    core: Any,
    network: Any,
    *,
    model: KnownModel,
    mini_batch_size: int,
    precision: Precision,
    threads: int,
    gather: Gather,
) -> OpenVINOEngine:
    side = model.preprocessing.crop_side
    shape = (mini_batch_size, side, side, 3)
    _reshape(network, shape)
    settings = {
        # Without this hint, CPUs with bf16 compute every network in bf16.
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Pinning binds the first thread of every process to core 0; two workers together were as fast as one.
        "ENABLE_CPU_PINNING": False,
    }
    compiled = core.compile_model(network, "CPU", settings)
    actual = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if actual != _HINTS[precision]:
        raise Invalid(
            "spec.model.precision",
            f"OpenVINO computes in {actual} here, not in {precision}; use the engine eager",
        )
    return OpenVINOEngine(compiled=compiled, precision=precision, shape=shape, rule=model.rule, gather=gather)


def _as_it_is(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values


def _reshape(network: Any, shape: tuple[int, ...]) -> None:
    """Fix the shape of the network's input. Raise Invalid if it can't compute so many images at once."""
    try:
        network.reshape(list(shape))
        (output,) = network.outputs
        fits = output.partial_shape.rank.get_length() > 0 and output.partial_shape[0] == shape[0]
    except RuntimeError:
        fits = False
    if not fits:
        from dueby_worker.models.onnx_network import BATCH_ADVICE
        from dueby_worker.models.weights import FIELD

        raise Invalid(FIELD, f"the network can't take mini-batches of {shape[0]}: {BATCH_ADVICE}")

"""OpenVINO on the CPU: fast there on every kind of network (docs/benchmarks.md), and the one for ONNX files and int8.

The network is converted with its normalisation and compiled for one fixed mini-batch of uint8 images as the decoder
leaves them. What follows it stays outside, in fp32; inside, it would run in the network's precision.

Converting takes 2.5 s for EfficientNet-B0 and does not depend on the mini-batch size. The converted network is
therefore kept in the cache folder, under a name that changes with everything that it depends on. Workers of one machine
may write it at the same time.
"""

import importlib.util
import io
import logging
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dueby_api.engines import EngineName, Precision
from dueby_api.errors import DueByError, Invalid, first_line
from dueby_worker.engines.cache import cache_name, keep_folder
from dueby_worker.engines.eager import find_obstacle as find_cpu_obstacle
from dueby_worker.engines.host import missing_packages
from dueby_worker.engines.network import Network, columns_from
from dueby_worker.engines.tracing import quiet_tracing
from dueby_worker.models.columns import Columns, RowRule
from dueby_worker.models.loading import LoadedModel
from dueby_worker.models.onnx_network import BATCH_ADVICE, OnnxGraph, OnnxNetwork
from dueby_worker.models.preprocessing import Pixels, Preprocessing
from dueby_worker.models.weights import FIELD
from dueby_worker.system.scratch import scratch_folder

log = logging.getLogger(__name__)

# OpenVINO's names of the precisions.
_HINTS: dict[Precision, str] = {
    "fp32": "f32",
    "bf16": "bf16",
    # What is quantized says so in the network itself. The rest stays in fp32.
    "int8": "f32",
}
# The files of a network.
_PACKED = ("network.xml", "network.bin")
# The network is traced with 2 images: with 1, it may drop the axis of the mini-batch.
_TRACED_IMAGES = 2


# Makes a vector for each image of what the network gives.
Gather = Callable[[torch.Tensor], torch.Tensor]


class OpenVINOEngine:
    """Runs a compiled network asynchronously, so that a signal need not wait for the end of a mini-batch."""

    name: EngineName = "openvino"
    depth = 1

    def __init__(
        self, *, compiled: Any, precision: Precision, shape: tuple[int, ...], rule: RowRule, gather: Gather
    ) -> None:
        self.precision = precision
        self._openvino = _import_openvino()
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
        values = torch.from_numpy(self._request.get_output_tensor().data.copy())
        return {name: column.numpy() for name, column in columns_from(self._gather(values), self._rule).items()}

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
        has_bf16 = "BF16" in _import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return None if has_bf16 else "this CPU has no bf16 instructions, so OpenVINO would compute in fp32; set fp32"
    return obstacle


def build(
    *, loaded: LoadedModel, mini_batch_size: int, precision: Precision, threads: int, cache_dir: Path | None
) -> OpenVINOEngine:
    """Return the engine `openvino`."""
    # torch only prepares images in the decoders' threads; the cores are for the network.
    torch.set_num_threads(1)
    core = _import_openvino().Core()
    if precision == "int8":
        network = _unpacked(core, loaded)
    else:
        network = convert(loaded) if cache_dir is None else _converted(core, loaded, cache_dir)
    side = loaded.preprocessing.crop_side
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
    gather: Gather = loaded.module.graph.gathered if isinstance(loaded.module, OnnxNetwork) else lambda values: values
    return OpenVINOEngine(compiled=compiled, precision=precision, shape=shape, rule=loaded.rule, gather=gather)


def _import_openvino() -> Any:
    # On import, OpenVINO reports its use over the network if it finds the package openvino_telemetry. None in
    # sys.modules makes that package look missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def convert(loaded: LoadedModel) -> Any:
    """Return the network in OpenVINO's form, for any number of images."""
    if isinstance(loaded.module, OnnxNetwork):
        return _read_onnx(loaded.module.graph, loaded.preprocessing)
    side = loaded.preprocessing.crop_side
    example = torch.zeros(_TRACED_IMAGES, side, side, 3, dtype=torch.uint8)
    # OpenVINO calls torch.jit.trace. Converting by way of torch.export takes twice as long and gives the same network.
    with quiet_tracing(), _same_logging(), torch.no_grad():
        network = Network(loaded.module, loaded.preprocessing).eval()
        try:
            return _import_openvino().convert_model(network, example_input=example, input=[-1, side, side, 3])
        # Of people's own networks the tracer raises anything.
        except Exception as error:
            sentence = f"OpenVINO can't convert {loaded.name}: {first_line(error)}; use the engine eager"
            raise Invalid("spec.model.engine", sentence) from None


@contextmanager
def _same_logging() -> Iterator[None]:
    """Leave the root logger as it was: OpenVINO mutes warnings while it converts, and leaves them so if it can't."""
    root = logging.getLogger()
    level, filters, handlers = root.level, list(root.filters), list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers


def _read_onnx(graph: OnnxGraph, preprocessing: Preprocessing) -> Any:
    """Return the file's network, with what makes its input of uint8 images in front."""
    openvino = _import_openvino()
    from openvino.preprocess import PrePostProcessor

    try:
        model = openvino.Core().read_model(graph.path)
        names = {name for output in model.outputs for name in output.get_names()}
        output = model.output(graph.output) if graph.output in names else model.add_outputs(graph.output)[0]
        model = openvino.Model([output], model.get_parameters(), graph.path.stem)
        prepared = PrePostProcessor(model)
        image = prepared.input()
        image.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        image.model().set_layout(openvino.Layout("NHWC" if graph.is_nhwc else "NCHW"))
        steps = image.preprocess()
        if not graph.takes_bytes:
            steps.convert_element_type(openvino.Type.f32)
            steps.mean([255 * value for value in preprocessing.mean])
            steps.scale([255 * value for value in preprocessing.std])
        if graph.is_bgr:
            steps.reverse_channels()
        return prepared.build()
    except RuntimeError as error:
        raise Invalid(FIELD, f"OpenVINO can't take {graph.path}: {first_line(error)}") from None


def _reshape(network: Any, shape: tuple[int, ...]) -> None:
    """Fix the shape of the network's input. Raise Invalid if it can't compute so many images at once."""
    try:
        network.reshape(list(shape))
        (output,) = network.outputs
        fits = output.partial_shape.rank.get_length() > 0 and output.partial_shape[0] == shape[0]
    except RuntimeError:
        fits = False
    if not fits:
        raise Invalid(FIELD, f"the network can't take mini-batches of {shape[0]}: {BATCH_ADVICE}")


def pack(network: Any) -> bytes:
    """Return the network as one file, with its weights as they are."""
    packed = io.BytesIO()
    with scratch_folder("network") as folder:
        _save(network, folder)
        # Stored and not compressed: weights hardly get smaller.
        with zipfile.ZipFile(packed, "w") as file:
            for name in _PACKED:
                file.write(folder / name, name)
    return packed.getvalue()


def _unpacked(core: Any, loaded: LoadedModel) -> Any:
    """Return the job's int8 network."""
    if loaded.quantized is None:
        raise DueByError(f"{loaded.name} is to run at int8 and was not quantized")
    try:
        with zipfile.ZipFile(io.BytesIO(loaded.quantized)) as file:
            xml, weights = (file.read(name) for name in _PACKED)
        return core.read_model(xml, weights)
    except (zipfile.BadZipFile, KeyError, RuntimeError) as error:
        advice = "delete it from the sink's _dueby/int8, and the next run quantizes again"
        raise Invalid("spec.model.precision", f"the int8 network is damaged ({first_line(error)}); {advice}") from None


def _converted(core: Any, loaded: LoadedModel, cache_dir: Path) -> Any:
    """Return the converted network from the cache. If it isn't there, it is converted, and kept there if that works."""
    file = cache_dir / "openvino" / network_key(loaded) / _PACKED[0]
    if not file.exists():
        network = convert(loaded)
        try:
            keep_folder(file.parent, partial(_save, network))
        except (OSError, RuntimeError) as error:  # a full or read-only disk; OpenVINO says it in a RuntimeError
            log.warning("the converted network can't be kept in %s: %s", cache_dir, first_line(error))
            return network
    return core.read_model(file)


def _save(network: Any, folder: Path) -> None:
    # By default weights are saved in fp16, which shifts logits by 0.08.
    _import_openvino().save_model(network, folder / _PACKED[0], compress_to_fp16=False)


def network_key(loaded: LoadedModel) -> str:
    """Return a name that changes with everything that the converted network depends on."""
    return cache_name(
        loaded,
        preprocessing=loaded.preprocessing.document(),
        # torchvision is not imported for this: with torch's compiler, it takes a second of a core and 60 MiB.
        versions=[_import_openvino().__version__, torch.__version__, version("torchvision")],
    )

"""TensorRT, in the one file that imports it: plans for one shape of images, and networks that compute as a plan says.

A network is read from an ONNX file, and TensorRT keeps to the types that it finds there: since TensorRT 11 it has no
switches for precisions, and before that it is asked to. TensorRT reads and writes PyTorch's memory, and computes in
memory that PyTorch has given it, on PyTorch's current stream. Nothing here loads TensorRT before it is needed.
"""

import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dueby_api.errors import Invalid, first_line

_FIELD = "spec.model.engine"
# The first version in which memory that the caller gives has a size (set_device_memory).
_OLDEST = (10, 1)
# The first version in which all networks keep to their types, and the flag for it is deprecated.
_ALWAYS_TYPED = (11,)
_ADVICE = "pip install 'dueby[tensorrt]', in the worker's image too"
# TensorRT's names of the types that a network may give.
_TYPES = {"FLOAT": torch.float32, "HALF": torch.float16, "BF16": torch.bfloat16}
# How TensorRT says that memory has run out, in several places; of a kernel, that it can't have the workspace it needs.
_NO_MEMORY = re.compile(r"out ?of ?memory|insufficient workspace", re.IGNORECASE)

# Changes tensors on their way into a network, or out of it.
Change = Callable[[torch.Tensor], torch.Tensor]


class PlanNetwork(nn.Module):
    """The network of an engine of TensorRT's on the current device, for normalised images of one shape."""

    def __init__(self, engine: Any, shape: tuple[int, ...], *, arrange: Change, gather: Change) -> None:
        super().__init__()
        trt = _library()
        # The context keeps the engine.
        self._context = _made(
            engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED),
            "can't make a context",
        )
        self._memory = torch.empty(engine.device_memory_size_v2, dtype=torch.uint8, device="cuda")
        if len(self._memory):
            self._context.set_device_memory(self._memory.data_ptr(), len(self._memory))
        names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        # make_plan leaves one of each.
        (self._input,) = (name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT)
        (output,) = (name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT)
        _made(self._context.set_input_shape(self._input, shape), f"can't compute images of the shape {shape}")
        values, type_name = tuple(self._context.get_tensor_shape(output)), engine.get_tensor_dtype(output).name
        if type_name not in _TYPES or min(values, default=0) < 1:
            raise Invalid(_FIELD, f"TensorRT can't say what it gives: the type {type_name}, the shape {values}")
        self._values = torch.empty(values, dtype=_TYPES[type_name], device="cuda")
        _made(self._context.set_tensor_address(output, self._values.data_ptr()), "can't write into PyTorch's memory")
        self._arrange, self._gather = arrange, gather

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Return the values of normalised images. The next call overwrites them."""
        images = self._arrange(planes)
        _made(self._context.set_tensor_address(self._input, images.data_ptr()), "can't read PyTorch's memory")
        # On the default stream, TensorRT would wait for the whole device.
        _made(self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream), "can't compute a mini-batch")
        return self._gather(self._values)


def find_package_obstacle() -> str | None:
    """Return what is wrong with the TensorRT that is installed, whatever the GPU; None if nothing is."""
    if find_spec("tensorrt") is None:
        return f"TensorRT is not installed: {_ADVICE}"
    try:
        installed = version()
    # The package loads libraries by itself, and one that is missing is an error of several kinds.
    except (ImportError, OSError) as error:
        return f"TensorRT can't be loaded: {first_line(error)}; {_ADVICE}"
    if _numbers(installed) < _OLDEST:
        return f"TensorRT {installed} is too old; it must be {'.'.join(map(str, _OLDEST))} or newer: {_ADVICE}"
    return None


def version() -> str:
    """Return the version of the TensorRT that is installed."""
    return str(_library().__version__)


def make_plan(
    model: Path | bytes,
    *,
    shape: tuple[int, ...],
    tf32: bool,
    origin: Path | None = None,
    output: str | None = None,
) -> Any:
    """Return a plan for images of that shape, as a buffer. TensorRT makes it by trying kernels on the current device.

    With `tf32`, layers of fp32 may multiply with 10 bits of mantissa. An ONNX model in bytes says by `origin` where it
    comes from, since its weights may lie beside it. `output` is the one that is wanted; None if there is only one.
    Raise Invalid if TensorRT doesn't take the model.
    """
    trt = _library()
    try:
        builder = trt.Builder(_log())
    except TypeError:  # what a null pointer becomes
        builder = None
    _made(builder, "doesn't work on this GPU")
    is_typed_anyway = _numbers(version()) >= _ALWAYS_TYPED
    network = builder.create_network(
        0 if is_typed_anyway else 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    )
    # The network refers to weights that the parser holds.
    parser = trt.OnnxParser(network, _log())
    where = str(origin or model)
    if not (parser.parse(model, where) if isinstance(model, bytes) else parser.parse_from_file(where)):
        errors = [str(parser.get_error(number)) for number in range(parser.num_errors)]
        raise _failure("can't read the network", errors)
    config = new_config(builder, trt.BuilderFlag.TF32, tf32=tf32)
    _fix_shape(builder, network, config, shape)
    for tensor in [network.get_output(number) for number in range(network.num_outputs)]:
        if output is not None and tensor.name != output:
            network.unmark_output(tensor)
    return _made(builder.build_serialized_network(network, config), "can't make a plan of the network")


def new_config(builder: Any, flag: Any, *, tf32: bool) -> Any:
    """Return what a plan is made with, with the flag for TF32 set or cleared. By default TensorRT sets it."""
    config = builder.create_builder_config()
    (config.set_flag if tf32 else config.clear_flag)(flag)
    return config


def load_plan(plan: Any) -> Any:
    """Return the engine, in TensorRT's sense, of a plan: its weights on the current device."""
    return _made(_library().Runtime(_log()).deserialize_cuda_engine(plan), "can't load the plan")


def _fix_shape(builder: Any, network: Any, config: Any, shape: tuple[int, ...]) -> None:
    if network.num_inputs != 1:
        raise Invalid(_FIELD, f"TensorRT sees {network.num_inputs} inputs in the network, which must have one")
    images = network.get_input(0)
    if -1 in tuple(images.shape):
        profile = builder.create_optimization_profile()
        profile.set_shape(images.name, min=shape, opt=shape, max=shape)
        config.add_optimization_profile(profile)


def _library() -> Any:
    import tensorrt

    return tensorrt


@cache
def _log() -> Any:
    """Return the process's log. There is one, because TensorRT keeps the first that it is given."""
    trt = _library()

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        """Keeps errors until they are asked for, and drops the rest."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            """Take what TensorRT says."""
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.errors.append(msg)

    return Log()


def _made(result: Any, what: str) -> Any:
    """Return what TensorRT returned. If that is None or False, raise what its log says instead."""
    errors = _log().errors
    said = list(errors)
    errors.clear()
    if result is None or result is False:
        raise _failure(what, said)
    return result


def _failure(what: str, errors: list[str]) -> Exception:
    out_of_memory = [error for error in errors if _NO_MEMORY.search(error)]
    if out_of_memory:
        return torch.OutOfMemoryError(f"TensorRT {what}: the GPU is out of memory ({out_of_memory[0]})")
    why = errors[0] if errors else "it doesn't say why"
    return Invalid(_FIELD, f"TensorRT {what}: {why}; use auto")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])

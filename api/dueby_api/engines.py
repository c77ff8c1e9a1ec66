"""The table of engines: what runs a model, on which device, at which precisions.

An engine is one entry here, one module of the worker and its test. The module has two functions: `find_obstacle`, which
says why the engine can't run on this machine, and `build`, which makes it (see dueby_worker/engines/interface.py). It
is named as text, since this package imports no other of ours and most machines never load most engines.

The engine decides the kind of device it runs on, never the name of the device class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dueby_api.classifiers import is_onnx

Precision = Literal["fp32", "tf32", "bf16", "fp16", "int8"]
EngineName = Literal["cudagraph", "cuda", "inductor", "onnxruntime", "tensorrt", "openvino", "ncnn", "eager", "compile"]
DeviceKind = Literal["cpu", "gpu"]
# The first driver of each major version of CUDA (docs.nvidia.com/deploy/cuda-compatibility, minor versions).
LEAST_DRIVERS: Mapping[str, int] = {"11": 450, "12": 525, "13": 580}
# What a model is given as: a network of PyTorch's layers, or a graph in an ONNX file.
Format = Literal["torch", "onnx"]


@dataclass(frozen=True, kw_only=True)
class EngineEntry:
    """What is known of an engine without loading it."""

    name: EngineName
    device: DeviceKind
    precisions: tuple[Precision, ...]
    """Precisions that it has on some machine; whether it has them on this one, `find_obstacle` says."""
    module: str
    """The worker's module that builds it."""
    packages: tuple[str, ...] = ()
    """Python packages that it needs besides PyTorch."""
    formats: tuple[Format, ...] = ("torch",)
    """What it runs."""
    build_s: float = 0.0
    """About how many seconds building it takes for a mini-batch size of which the cache has nothing, where that is
    long. `engine: auto` measures it only in profiles that have the time for it."""


# The likely fastest comes first: `auto` compares in this order, and takes the best so far when its time is up.
ENGINES: Mapping[EngineName, EngineEntry] = {
    entry.name: entry
    for entry in (
        EngineEntry(
            name="cudagraph",
            device="gpu",
            precisions=("fp32", "tf32", "bf16", "fp16"),
            module="dueby_worker.engines.cudagraph",
        ),
        EngineEntry(
            name="cuda",
            device="gpu",
            precisions=("fp32", "tf32", "bf16", "fp16"),
            module="dueby_worker.engines.cuda",
        ),
        EngineEntry(
            name="inductor",
            device="gpu",
            precisions=("fp32", "tf32", "bf16", "fp16"),
            # Which needs Triton, by way of PyTorch.
            module="dueby_worker.engines.inductor",
            # An estimate: vLLM says 10 to 20 s a size, and here the first kernels of a process are part of it.
            build_s=30.0,
        ),
        EngineEntry(
            name="onnxruntime",
            device="gpu",
            precisions=("fp32", "tf32"),
            # Which imports ONNX Runtime by way of dueby_worker/models/onnx_session.py, as the reference does.
            module="dueby_worker.engines.onnx_cuda",
            formats=("onnx",),
        ),
        EngineEntry(
            name="tensorrt",
            device="gpu",
            precisions=("fp32", "tf32", "bf16", "fp16"),
            # Which imports TensorRT by way of tensorrt_plan.py, beside it.
            module="dueby_worker.engines.tensorrt",
            formats=("torch", "onnx"),
            # It tries kernels for every layer of every mini-batch size, which may take minutes: an estimate.
            build_s=60.0,
        ),
        EngineEntry(
            name="openvino",
            device="cpu",
            precisions=("fp32", "bf16", "int8"),
            module="dueby_worker.engines.openvino",
            packages=("openvino",),
            formats=("torch", "onnx"),
        ),
        EngineEntry(
            name="ncnn",
            device="cpu",
            precisions=("fp32",),
            module="dueby_worker.engines.ncnn",
            packages=("ncnn", "pnnx"),
        ),
        EngineEntry(name="eager", device="cpu", precisions=("fp32", "bf16"), module="dueby_worker.engines.eager"),
        EngineEntry(
            name="compile",
            device="cpu",
            precisions=("fp32", "bf16"),
            module="dueby_worker.engines.compiled",
            # It writes C++ and compiles it for every mini-batch size.
            build_s=30.0,
        ),
    )
}


def format_of(model: str) -> Format:
    """Return what the model of that name is given as."""
    return "onnx" if is_onnx(model) else "torch"


def engines_for(model: str) -> tuple[EngineEntry, ...]:
    """Return the engines that run the model of that name, the likely fastest first."""
    return tuple(entry for entry in ENGINES.values() if format_of(model) in entry.formats)


def unsuited(engine: str, model: str) -> str | None:
    """Return what is wrong with an engine that doesn't run such models; None if it does, or is `auto`."""
    suited = [entry.name for entry in engines_for(model)]
    if engine not in ENGINES or engine in suited:
        return None
    what = "ONNX files" if is_onnx(model) else "networks of PyTorch"
    return f"{engine} doesn't run {what}; set auto, {', '.join(suited[:-1])} or {suited[-1]}"


def runs_on(engine: str) -> DeviceKind | None:
    """Return the kind of device that the engine runs on; None for `auto` and for names that are no engine."""
    entry = ENGINES.get(engine)  # type: ignore[call-overload]
    return entry.device if entry else None


def runs_on_cpu(engine: str) -> bool:
    """Return whether the engine is one for CPUs."""
    return runs_on(engine) == "cpu"

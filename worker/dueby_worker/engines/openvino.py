"""OpenVINO on the CPU: the fastest engine for these models there, 1.2 to 2.2 times as fast as tuned torch.

The network is converted with its normalisation and compiled for one fixed mini-batch of uint8 images as the decoder
leaves them. Softmax and top-k stay outside, in fp32; inside, they would run in the network's precision.

Converting takes 2.5 s for EfficientNet-B0 and does not depend on the mini-batch size. The converted network is
therefore kept in the cache folder, under a name that changes with everything that it depends on. Workers of one machine
may write it at the same time.
"""

import hashlib
import importlib.util
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from dueby_api.engines import EngineName, Precision
from dueby_api.errors import Invalid
from dueby_worker.engines.eager import find_obstacle as find_cpu_obstacle
from dueby_worker.engines.interface import MAX_CLASSES, TopK
from dueby_worker.engines.network import Logits, best_classes
from dueby_worker.models.loading import LoadedModel
from dueby_worker.models.preprocessing import Pixels
from dueby_worker.system.scratch import scratch_folder

# OpenVINO's names of the precisions.
_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}
# The network is traced with 2 images: with 1, it may drop the axis of the mini-batch.
_TRACED_IMAGES = 2


class OpenVINOEngine:
    """Runs a compiled network asynchronously, so that a signal need not wait for the end of a mini-batch."""

    name: EngineName = "openvino"
    depth = 1

    def __init__(self, *, compiled: Any, precision: Precision, shape: tuple[int, ...], classes: int) -> None:
        self.precision = precision
        self._openvino = _import_openvino()
        self._request = compiled.create_infer_request()
        self._shape = shape
        self._count = min(MAX_CLASSES, classes)
        self._batch: Any = None

    def buffer(self) -> Pixels:
        """Return a new array for a mini-batch."""
        return np.empty(self._shape, dtype=np.uint8)

    def submit(self, batch: Pixels) -> None:
        """Start the inference on the array itself, without a copy."""
        self._batch = self._openvino.Tensor(batch, shared_memory=True)
        self._request.set_input_tensor(self._batch)
        self._request.start_async()

    def collect(self) -> TopK:
        """Wait for the inference and return the best classes."""
        self._request.wait()
        classes, scores = best_classes(torch.from_numpy(self._request.get_output_tensor().data), self._count)
        return TopK(classes=classes.numpy(), scores=scores.numpy())

    def close(self) -> None:
        """Cancel the inference and release its memory."""
        self._request.cancel()
        self._request = self._batch = None


def find_obstacle(precision: Precision) -> str | None:
    """Return why the engine can't run here at that precision; None if it can."""
    if importlib.util.find_spec("openvino") is None:
        return "OpenVINO is not installed; install it (there is one for x86-64), or use the engine eager"
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
    network = _convert(loaded) if cache_dir is None else core.read_model(_cached(loaded, cache_dir))
    side = loaded.preprocessing.crop_side
    shape = (mini_batch_size, side, side, 3)
    network.reshape(list(shape))
    settings = {
        # Without this hint, CPUs with bf16 compute every network in bf16.
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Pinning binds the first thread of every process to core 0; two workers together were as fast as one.
        "ENABLE_CPU_PINNING": False,
    }
    compiled = core.compile_model(network, "CPU", settings)
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if taken != _HINTS[precision]:
        raise Invalid(
            "spec.model.precision", f"OpenVINO computes in {taken} here, not in {precision}; use the engine eager"
        )
    return OpenVINOEngine(compiled=compiled, precision=precision, shape=shape, classes=len(loaded.labels))


def _import_openvino() -> Any:
    # On import, OpenVINO reports its use over the network if it finds the package openvino_telemetry. None in
    # sys.modules makes that package look missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _convert(loaded: LoadedModel) -> Any:
    """Return the network in OpenVINO's form, for any number of images."""
    side = loaded.preprocessing.crop_side
    example = torch.zeros(_TRACED_IMAGES, side, side, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        # OpenVINO calls torch.jit.trace, which is deprecated. Converting by way of torch.export, which warns too, takes
        # twice as long and gives the same network.
        warnings.simplefilter("ignore", DeprecationWarning)
        # The tracer warns of shapes that it takes for constants, and here they are.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        return _import_openvino().convert_model(
            Logits(loaded.module, loaded.preprocessing).eval(), example_input=example, input=[-1, side, side, 3]
        )


def _cached(loaded: LoadedModel, cache_dir: Path) -> Path:
    """Return the path of the converted network, and convert it first if it is not in the cache."""
    entry = cache_dir / "openvino" / _cache_key(loaded)
    file = entry / "network.xml"
    if file.exists():
        return file
    entry.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder("network", parent=entry.parent) as folder:
        made = folder / "made"
        made.mkdir()
        # By default weights are saved in fp16, which shifts logits by 0.08.
        _import_openvino().save_model(_convert(loaded), made / file.name, compress_to_fp16=False)
        for written in made.iterdir():
            with written.open("rb") as stream:
                os.fsync(stream.fileno())
        try:
            made.rename(entry)
        except OSError:
            # If the file exists now, another worker was faster and made the same network.
            if not file.exists():
                raise
    return file


def _cache_key(loaded: LoadedModel) -> str:
    """Return a name that changes with everything that the converted network depends on."""
    content = {
        "model": loaded.name,
        "weights": loaded.weights_digest,
        "classes": len(loaded.labels),
        "preprocessing": loaded.preprocessing.document(),
        "versions": [_import_openvino().__version__, torch.__version__, torchvision.__version__],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

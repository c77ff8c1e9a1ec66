"""OpenVINO on CPUs: the fastest way to run these models on one, 1.2 to 2.2 times as fast as tuned torch.

The network goes in with its normalisation, and is compiled for one fixed mini-batch of uint8 pictures as the decoder
leaves them. Softmax and top-k stay outside, in fp32: within, they would run in the network's precision.

Converting takes 2.5 s for EfficientNet-B0 and does not depend on the mini-batch, so the converted model is kept in the
cache folder, under a name that says everything that is in it. Workers of one machine may write it at the same time.
"""

import hashlib
import importlib.util
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from dueby_api.engines import EngineName, Precision
from dueby_api.errors import Invalid
from dueby_worker.engines.eager import find_obstacle as find_cpu_obstacle
from dueby_worker.engines.interface import MAX_CLASSES, Pixels, TopK
from dueby_worker.engines.network import Logits, best_classes
from dueby_worker.models.loading import LoadedModel

_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}
# Traced with 2 pictures: with 1, a network may take the axis for one that can go.
_TRACED_PICTURES = 2


class OpenVINOEngine:
    """Runs a compiled network asynchronously: a signal is not kept waiting for the end of a mini-batch."""

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
        """As Engine says."""
        return np.empty(self._shape, dtype=np.uint8)

    def submit(self, batch: Pixels) -> None:
        """As Engine says."""
        self._batch = self._openvino.Tensor(batch, shared_memory=True)
        self._request.set_input_tensor(self._batch)
        self._request.start_async()

    def collect(self) -> TopK:
        """As Engine says."""
        self._request.wait()
        classes, scores = best_classes(torch.from_numpy(self._request.get_output_tensor().data), self._count)
        return TopK(classes=classes.numpy(), scores=scores.numpy())

    def close(self) -> None:
        """As Engine says."""
        self._request.cancel()
        self._request = self._batch = None


def find_obstacle(precision: Precision) -> str | None:
    """Why the engine can't run here at that precision; None where it can."""
    if importlib.util.find_spec("openvino") is None:
        return "OpenVINO is not installed; install it (there is one for x86-64), or take eager"
    obstacle = find_cpu_obstacle(precision)
    if obstacle is None and precision == "bf16":
        # It would take the hint and compute in fp32 without a word.
        able = "BF16" in _import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return None if able else "this CPU has no bf16 instructions, and OpenVINO would compute in fp32; take fp32"
    return obstacle


def build(
    *, loaded: LoadedModel, mini_batch_size: int, precision: Precision, threads: int, cache_dir: Path | None
) -> OpenVINOEngine:
    """The engine `openvino`."""
    torch.set_num_threads(1)  # it only prepares pictures, in the decoders' threads; the cores are the network's
    core = _import_openvino().Core()
    network = _convert(loaded) if cache_dir is None else core.read_model(_cached(loaded, cache_dir))
    side = loaded.preprocessing.crop_side
    shape = (mini_batch_size, side, side, 3)
    network.reshape(list(shape))
    settings = {
        # Without it, CPUs with bf16 compute in bf16 whatever the network is.
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # It pins the first thread of every process to core 0: two workers had the speed of one.
        "ENABLE_CPU_PINNING": False,
    }
    compiled = core.compile_model(network, "CPU", settings)
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if taken != _HINTS[precision]:
        raise Invalid(
            "spec.model.precision", f"OpenVINO computes in {taken} here, not in {precision}; take the engine eager"
        )
    return OpenVINOEngine(compiled=compiled, precision=precision, shape=shape, classes=len(loaded.labels))


def _import_openvino() -> Any:
    # OpenVINO reports its use over the network when it is imported. It does without where that package is missing, and
    # None says that it is.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _convert(loaded: LoadedModel) -> Any:
    """The network in OpenVINO's form, for any number of pictures."""
    side = loaded.preprocessing.crop_side
    example = torch.zeros(_TRACED_PICTURES, side, side, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        # Its own call of torch.jit.trace, which is deprecated. By way of torch.export, which warns too, converting
        # takes twice as long and gives the same network.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # shapes are fixed here
        return _import_openvino().convert_model(
            Logits(loaded.module, loaded.preprocessing).eval(), example_input=example, input=[-1, side, side, 3]
        )


def _cached(loaded: LoadedModel, cache_dir: Path) -> Path:
    """The converted network's file, made where it isn't there yet."""
    place = cache_dir / "openvino" / _key(loaded)
    file = place / "network.xml"
    if file.exists():
        return file
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".new-") as folder:
        made = Path(folder) / "made"
        made.mkdir()
        # fp16, its default, shifts logits by 0.08.
        _import_openvino().save_model(_convert(loaded), made / file.name, compress_to_fp16=False)
        for written in made.iterdir():
            with written.open("rb") as stream:
                os.fsync(stream.fileno())
        try:
            made.rename(place)
        except OSError:
            if not file.exists():  # else another worker was faster, with the same network
                raise
    return file


def _key(loaded: LoadedModel) -> str:
    """A name that changes with whatever the converted network depends on."""
    content = {
        "model": loaded.name,
        "weights": loaded.weights_digest,
        "classes": len(loaded.labels),
        "preprocessing": loaded.preprocessing.document(),
        "versions": [_import_openvino().__version__, torch.__version__, torchvision.__version__],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

"""PyTorch on an NVIDIA GPU: op by op (`cuda`), or as one CUDA graph of the fixed mini-batch (`cudagraph`).

Two mini-batches are in flight. While one computes, the next one's bytes (uint8, a quarter of fp32) are copied from
pinned memory on a stream of their own; only the best classes come back. Launching B0's kernels one by one takes 10 ms
on an A100 whatever the mini-batch, which is all of the time below 64 pictures: a graph is launched at once.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from dueby_api.engines import EngineName, Precision
from dueby_worker.engines.interface import Pixels, TopK
from dueby_worker.engines.network import Classifier, tuned_classifier
from dueby_worker.models.loading import LoadedModel

Forward = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
# cuDNN and cuBLAS choose their kernels and workspaces in the first calls, which a graph may not contain.
_CALLS_BEFORE_CAPTURE = 3


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What one mini-batch in flight occupies."""

    pixels: torch.Tensor
    """On the GPU."""
    classes: torch.Tensor
    """Pinned, on the host; scores too."""
    scores: torch.Tensor
    copied: torch.cuda.Event
    done: torch.cuda.Event


class CudaEngine:
    """Copies on one stream, computes on another."""

    depth = 2

    def __init__(
        self, *, name: EngineName, precision: Precision, classifier: Classifier, shape: tuple[int, ...]
    ) -> None:
        self.name = name
        self.precision = precision
        self._shape = shape
        self._copying, self._computing = torch.cuda.Stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._free = deque(_make_slot(shape, classifier.count) for _ in range(self.depth))
        self._in_flight: deque[Slot] = deque()
        # Weights and slots were made on the default stream.
        torch.cuda.synchronize()
        self._forward: Forward = _capture(classifier, shape, self._computing) if name == "cudagraph" else classifier

    def buffer(self) -> Pixels:
        """As Engine says."""
        return torch.empty(self._shape, dtype=torch.uint8, pin_memory=True).numpy()

    def submit(self, batch: Pixels) -> None:
        """As Engine says."""
        slot = self._free.popleft()  # its result was collected, so nothing reads or writes it any more
        with torch.inference_mode(), torch.cuda.stream(self._copying):
            slot.pixels.copy_(torch.from_numpy(batch), non_blocking=True)
            slot.copied.record()
        with torch.inference_mode(), torch.cuda.stream(self._computing):
            self._computing.wait_event(slot.copied)
            classes, scores = self._forward(slot.pixels)
            slot.classes.copy_(classes, non_blocking=True)
            slot.scores.copy_(scores, non_blocking=True)
            slot.done.record()
        self._in_flight.append(slot)

    def collect(self) -> TopK:
        """As Engine says."""
        slot = self._in_flight.popleft()
        slot.done.synchronize()
        top = TopK(classes=slot.classes.numpy().copy(), scores=slot.scores.numpy().copy())
        self._free.append(slot)
        return top

    def close(self) -> None:
        """As Engine says."""
        torch.cuda.synchronize()
        self._in_flight.clear()
        self._free.clear()
        del self._forward
        torch.cuda.empty_cache()


def find_obstacle(precision: Precision) -> str | None:
    """Why the engines can't run here at that precision; None where they can."""
    if not torch.cuda.is_available():
        return "there is no NVIDIA GPU here that torch can use; take eager, openvino or auto"
    if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return f"{torch.cuda.get_device_name()} has no bf16; take fp16 or fp32"
    return None


def build(*, name: EngineName, loaded: LoadedModel, mini_batch_size: int, precision: Precision) -> CudaEngine:
    """The engine `cuda` or `cudagraph`, on the current device."""
    torch.set_num_threads(1)  # on the host it only prepares pictures, in the decoders' threads, a core each
    _refuse_tf32()
    # Shapes never change, so that trying cuDNN's algorithms once pays.
    torch.backends.cudnn.benchmark = True
    side = loaded.preprocessing.crop_side
    return CudaEngine(
        name=name,
        precision=precision,
        classifier=tuned_classifier(loaded, precision).cuda(),
        shape=(mini_batch_size, side, side, 3),
    )


def _make_slot(shape: tuple[int, ...], count: int) -> Slot:
    return Slot(
        pixels=torch.empty(shape, dtype=torch.uint8, device="cuda"),
        classes=torch.empty(shape[0], count, dtype=torch.int32, pin_memory=True),
        scores=torch.empty(shape[0], count, dtype=torch.float32, pin_memory=True),
        copied=torch.cuda.Event(),  # type: ignore[no-untyped-call]
        # Waiting for it sleeps: a spinning wait would take the core from the decoders.
        done=torch.cuda.Event(blocking=True),  # type: ignore[no-untyped-call]
    )


def _capture(classifier: nn.Module, shape: tuple[int, ...], stream: torch.cuda.Stream) -> Forward:
    """The classifier as a graph; it reads one fixed place, into which each mini-batch is copied within the GPU."""
    pixels = torch.zeros(shape, dtype=torch.uint8, device="cuda")
    graph = torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(stream):
        for _ in range(_CALLS_BEFORE_CAPTURE):
            classifier(pixels)
    with torch.inference_mode(), torch.cuda.graph(graph, stream=stream):
        classes, scores = classifier(pixels)

    def replay(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels.copy_(batch)
        graph.replay()
        return classes, scores

    return replay


def _refuse_tf32() -> None:
    """fp32 is fp32: cuDNN's default for convolutions keeps 10 bits of the mantissa."""
    if hasattr(torch.backends, "fp32_precision"):  # torch >= 2.9; the older switches must not be mixed with it
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
        torch.backends.cuda.matmul.fp32_precision = "ieee"
    else:
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False

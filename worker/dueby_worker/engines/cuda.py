"""PyTorch on an NVIDIA GPU, operation by operation: the engine `cuda`, and the parts that others share with it.

Two mini-batches are in flight. While one is computed, the bytes of the next (uint8, a quarter of fp32) are copied from
pinned memory on a stream of their own. Only what the rows hold comes back.
"""

import gc
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from dueby_api.engines import EngineName, Precision
from dueby_worker.engines.interface import EngineRequest
from dueby_worker.engines.memory_layout import LaidOut, in_faster_layout, mean_step_us
from dueby_worker.engines.network import RowNetwork, tuned_network
from dueby_worker.engines.torch_gpu import explain, read_gpu
from dueby_worker.models.columns import Columns, OutputColumn, empty_columns
from dueby_worker.models.preprocessing import Pixels
from dueby_worker.system.capture_lock import CAPTURE_LOCK

Shape = tuple[int, int, int, int]
# Maps uint8 images on the GPU to the columns of their rows, there.
RunOnGPU = Callable[[torch.Tensor], dict[str, torch.Tensor]]
# Prepares the network to be called with mini-batches of this shape on this stream.
Prepare = Callable[[RowNetwork, Shape, torch.cuda.Stream], RunOnGPU]


@dataclass(frozen=True, kw_only=True)
class BatchSlot:
    """The memory and the events of one mini-batch in flight."""

    pixels: torch.Tensor
    """On the GPU."""
    columns: Mapping[str, torch.Tensor]
    """On the host, pinned."""
    copied: torch.cuda.Event
    done: torch.cuda.Event


class CudaEngine:
    """Copies mini-batches on one stream and computes them on another."""

    depth = 2

    def __init__(
        self,
        name: EngineName,
        request: EngineRequest,
        network: RowNetwork,
        *,
        prepare: Prepare,
        tries_layouts: bool = False,
    ) -> None:
        self.name = name
        self.precision = request.precision
        self._shape = shape = request.shape
        self._copying, self._computing = torch.cuda.Stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._free = deque(_make_slot(shape, request.loaded.columns) for _ in range(self.depth))
        self._in_flight: deque[BatchSlot] = deque()
        # Weights and slots were made on the default stream, which the two others don't wait for.
        torch.cuda.synchronize()
        prepared = prepare_alone(prepare, network, shape, self._computing, tries_layouts=tries_layouts)
        self.layout, self.layouts_us = prepared.layout, prepared.step_us
        self._run: RunOnGPU = prepared.run

    def buffer(self) -> Pixels:
        """Return a new pinned array for a mini-batch."""
        return torch.empty(self._shape, dtype=torch.uint8, pin_memory=True).numpy()

    def submit(self, batch: Pixels) -> None:
        """Enqueue the copy, the computation and the copy back, and return at once."""
        # The result of this slot was collected, so nothing reads or writes it any more.
        slot = self._free.popleft()
        with torch.inference_mode(), torch.cuda.stream(self._copying):
            slot.pixels.copy_(torch.from_numpy(batch), non_blocking=True)
            slot.copied.record()
        with torch.inference_mode(), torch.cuda.stream(self._computing):
            self._computing.wait_event(slot.copied)
            for name, column in self._run(slot.pixels).items():
                slot.columns[name].copy_(column, non_blocking=True)
            slot.done.record()
        self._in_flight.append(slot)

    def collect(self) -> Columns:
        """Wait for the oldest mini-batch and return a copy of its result."""
        slot = self._in_flight.popleft()
        slot.done.synchronize()
        columns = {name: column.numpy().copy() for name, column in slot.columns.items()}
        self._free.append(slot)
        return columns

    def close(self) -> None:
        """Wait for what is in flight, drop it and give the memory back to the GPU."""
        torch.cuda.synchronize()
        self._in_flight.clear()
        self._free.clear()
        del self._run
        release_memory()


def prepare_alone(
    prepare: Prepare, network: RowNetwork, shape: Shape, stream: torch.cuda.Stream, *, tries_layouts: bool = False
) -> LaidOut[RunOnGPU]:
    """Prepare the network, which may capture a graph, while no other thread has the GPU decode."""
    with CAPTURE_LOCK:
        prepare_now = partial(prepare, network, shape, stream)
        if not tries_layouts:
            return LaidOut(run=prepare_now())
        return in_faster_layout(
            network, prepare=prepare_now, time_us=partial(_time_us, shape, stream), release=release_memory
        )


def _time_us(shape: Shape, stream: torch.cuda.Stream, run: RunOnGPU) -> float:
    """Return the mean time of a mini-batch that is on the GPU already, in microseconds."""
    pixels = torch.zeros(shape, dtype=torch.uint8, device="cuda")
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(stream):
        return mean_step_us(partial(run, pixels), wait=stream.synchronize, clock=time.perf_counter)


def release_memory() -> None:
    """Give the GPU what no tensor holds: torch's cache, and cuBLAS's workspaces, one for each stream that was used."""
    # A traced network is a cycle, which keeps the weights until it is collected.
    gc.collect()
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()


def used_mib() -> int:
    """Return how much of the current device's memory is in use, by anyone.

    CUDA says it of a slice of a GPU too, and of GPUs that share the host's memory; NVML doesn't say it of all of them.
    """
    free, total = torch.cuda.mem_get_info()
    return (total - free) // 2**20


def find_obstacle(precision: Precision) -> str | None:
    """Return why the engines for GPUs can't run here at that precision; None if they can."""
    if (obstacle := explain(read_gpu())) is not None:
        return obstacle
    # GPUs have both from Ampere on. On older ones PyTorch computes tf32 as fp32, and doesn't say so.
    if precision in ("tf32", "bf16") and not torch.cuda.is_bf16_supported(including_emulation=False):
        return f"{torch.cuda.get_device_name()} has no {precision}; set precision to fp16 or fp32"
    if precision == "int8":
        return "PyTorch's layers aren't quantized; set precision to fp16 or fp32"
    return None


def build(request: EngineRequest) -> CudaEngine:
    """Return the engine `cuda` on the current device. There is nothing to keep."""
    return make_engine("cuda", request, prepare=lambda network, shape, stream: network, tries_layouts=True)


def make_engine(
    name: EngineName, request: EngineRequest, *, prepare: Prepare, tries_layouts: bool = False
) -> CudaEngine:
    """Return an engine on the current device that calls the network as `prepare` returns it.

    `tries_layouts` says whether it computes in the faster layout (memory_layout.py) or in the usual one.
    """
    # On the host, torch only prepares images in the decoders' threads, which have a core each.
    torch.set_num_threads(1)
    switch_tf32(on=request.precision == "tf32")
    # Shapes never change, so trying cuDNN's algorithms once pays.
    torch.backends.cudnn.benchmark = True
    network = tuned_network(request.loaded, request.precision).cuda()
    return CudaEngine(name, request, network, prepare=prepare, tries_layouts=tries_layouts)


def _make_slot(shape: Shape, columns: Mapping[str, OutputColumn]) -> BatchSlot:
    on_host = empty_columns(columns, shape[0])
    return BatchSlot(
        pixels=torch.empty(shape, dtype=torch.uint8, device="cuda"),
        columns={name: torch.from_numpy(column).pin_memory() for name, column in on_host.items()},
        copied=torch.cuda.Event(),  # type: ignore[no-untyped-call]
        # blocking: waiting for the event sleeps. A spinning wait would take the core from the decoders.
        done=torch.cuda.Event(blocking=True),  # type: ignore[no-untyped-call]
    )


def switch_tf32(*, on: bool) -> None:
    """Let layers of fp32 multiply with 10 bits of mantissa, or with all 23, which isn't cuDNN's default."""
    # The old switches first: as long as they differ from the new ones, which torch has since 2.9, reading them raises,
    # and inductor and `torch.backends.cudnn.flags` read them.
    torch.backends.cudnn.allow_tf32 = on
    torch.backends.cuda.matmul.allow_tf32 = on
    if hasattr(torch.backends, "fp32_precision"):
        precision = "tf32" if on else "ieee"
        torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]
        torch.backends.cuda.matmul.fp32_precision = precision

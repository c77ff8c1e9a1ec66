"""PyTorch on an NVIDIA GPU as one CUDA graph of the fixed mini-batch: the engine `cudagraph`.

Launching B0's kernels one by one takes 10 ms on an A100 whatever the mini-batch, which is all of the time below 64
images. A graph is launched as a whole. Streams, slots and precisions are those of the engine `cuda`.
"""

from dataclasses import dataclass

import torch

from dueby_worker.engines import cuda
from dueby_worker.engines.interface import EngineRequest

# cuDNN and cuBLAS choose kernels and workspaces in their first calls, which a graph may not contain.
_CALLS_BEFORE_CAPTURE = 3


# Graphs need nothing that `cuda` lacks.
find_obstacle = cuda.find_obstacle


def build(request: EngineRequest) -> cuda.CudaEngine:
    """Return the engine `cudagraph` on the current device. A captured graph can't be kept."""
    return cuda.make_engine("cudagraph", request, prepare=capture, tries_layouts=True)


@dataclass(frozen=True, kw_only=True)
class CapturedNetwork:
    """A network as a graph. It reads one fixed tensor, into which each mini-batch is copied on the GPU."""

    network: cuda.RunOnGPU
    """The graph reads its weights, and holds none of them."""
    graph: torch.cuda.CUDAGraph
    pixels: torch.Tensor
    columns: dict[str, torch.Tensor]

    def __call__(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute a mini-batch. The next call overwrites the columns."""
        self.pixels.copy_(batch)
        self.graph.replay()
        return self.columns


def capture(network: cuda.RunOnGPU, shape: cuda.Shape, stream: torch.cuda.Stream) -> CapturedNetwork:
    """Return the network as a graph for mini-batches of this shape, on this stream."""
    pixels = torch.zeros(shape, dtype=torch.uint8, device="cuda")
    graph = torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(stream):
        for _ in range(_CALLS_BEFORE_CAPTURE):
            network(pixels)
    # thread_local: the worker reads ahead meanwhile, and where the GPU decodes (images/listed.py), another thread takes
    # memory of it, which otherwise no thread may while a graph is captured.
    with torch.inference_mode(), torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        columns = network(pixels)
    return CapturedNetwork(network=network, graph=graph, pixels=pixels, columns=columns)

"""The rows of warm-ups: what is known right before a fresh process's first mini-batch, and how long that took.

How heavy the model is, in three numbers, is counted on torch's meta device, which computes nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

from dueby_api.inference_job import Model
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.machine.nvml import GpuState
from dueby_profiler.measuring.messages import Built, Point
from dueby_profiler.measuring.process_group import ProcessGroup
from dueby_profiler.monitor.features.columns import FEATURES
from dueby_profiler.monitor.readers.host import Host, WatchedProcess
from dueby_profiler.monitor.readers.status_page import StatusPage
from dueby_profiler.monitor.sampler import Row, SampledProcess, Sampler

# Columns of a sample that are kept; what the process reports of itself is the same in all of these rows.
_BEFORE = ("at_us", "since_previous_us", "slice", "round", "engine", *(feature.name for feature in FEATURES))


@dataclass(frozen=True, kw_only=True)
class ModelWeight:
    """How heavy a model is."""

    parameters: int
    model_bytes: int
    """Bytes of its parameters and buffers as they are loaded, in fp32."""
    image_flops: int
    """Operations for one image; a multiplication and an addition are two."""


def weigh(model: Model) -> ModelWeight:
    """Count the model's parameters, bytes and operations. Takes about a second, besides the import of torch."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from dueby_worker.models.loading import describe_model
    from dueby_worker.models.registry import find_entry

    classes = len(describe_model(model).labels)
    entry = find_entry(model)
    with torch.device("meta"), torch.no_grad():
        network = entry.build(image_size=model.image_size, classes=classes, trained=False).eval()
        # What people's own code makes is there already.
        network = network.to("meta")
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, model.image_size, model.image_size))
    return ModelWeight(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        model_bytes=sum(tensor.nbytes for tensor in network.state_dict().values()),
        image_flops=counter.get_total_flops(),
    )


@contextmanager
def open_sampled_group(
    open_group: Callable[[Sequence[int]], ProcessGroup],
    *,
    layout: Layout,
    host: Host,
    read_gpu: Callable[[str], GpuState],
    clock: Callable[[], float],
    facts: Mapping[str, Any],
) -> Iterator[tuple[ProcessGroup, Sampler]]:
    """Open a group of fresh processes, each with its status page, and a sampler of them; `facts` are in every row."""
    with ExitStack() as stack:
        pages = [stack.enter_context(closing(StatusPage.new())) for _ in layout.slices]
        group = stack.enter_context(open_group([page.descriptor for page in pages]))
        processes = [
            SampledProcess(
                slice=number, process=WatchedProcess(group.pids[number]), gpu=slice_.gpu, status_page=pages[number]
            )
            for number, slice_ in enumerate(layout.slices)
        ]
        yield group, Sampler(processes=processes, host=host, read_gpu=read_gpu, clock=clock, facts=facts)


def warmup_row(before: Row, built: Built, point: Point) -> Row:
    """Return a process's row: the sample taken before its first mini-batch, and W."""
    state_before = {name: before[name] for name in _BEFORE if name in before}
    return state_before | {
        "mini_batch_size": point.size,
        "startup_us": built.startup_us,
        "build_us": built.build_us,
        "warmup_us": point.warmup_us,
    }


def known_facts(*, layout: Layout, node: str, model: Model, weight: ModelWeight) -> Row:
    """Return the columns that are the same in all rows of a layout and a model."""
    return {
        "device_class": layout.device_class,
        "gpu": layout.is_gpu,
        "node": node,
        "slices": len(layout.slices),
        "threads": layout.slices[0].threads,
        "model": model.name,
        "precision": model.precision,
        "parameters": weight.parameters,
        "model_bytes": weight.model_bytes,
        "image_flops": weight.image_flops,
        "image_size": model.image_size,
    }

"""What this machine has to measure: its GPUs and its cores, as layouts, with the memory and facts of each device."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from socket import gethostname

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import Device
from dueby_profiler.analysis.memory import usable_mib
from dueby_profiler.machine import nvml
from dueby_profiler.machine.layouts import Layout, Slice, cpu_layouts, gpu_layouts
from dueby_profiler.machine.limits import Limits, read_limits
from dueby_profiler.measuring.messages import Point

_SOFTWARE = ("torch", "torchvision", "openvino", "dueby")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The devices, and the clock by which they are measured."""

    limits: Limits
    gpus: tuple[nvml.Gpu, ...]
    node: str
    clock: Callable[[], float]
    """Monotonic seconds; the same in all processes."""
    part: Layout | None = None
    """What of it is there to be measured; None: all of it."""

    @property
    def layouts(self) -> list[Layout]:
        """GPUs first, then the cores in ever larger slices; or the part."""
        if self.part is not None:
            return [self.part]
        uuids: dict[str, list[str]] = defaultdict(list)
        for gpu in self.gpus:
            uuids[gpu.product].append(gpu.uuid)
        return [*gpu_layouts(uuids, self.limits), *cpu_layouts(self.limits)]

    @property
    def spare_cores(self) -> float:
        """How many cores others may use before they take something from what is measured."""
        return 0.0 if self.part is None else max(0.0, len(self.limits.cores) - float(self.part.slices[0].threads))

    def usable_mib(self, layout: Layout) -> int:
        """Memory of one device of the layout."""
        if layout.is_gpu:
            return usable_mib(min(gpu.memory_mib for gpu in self.gpus if gpu.product == layout.device_class), 1)
        return usable_mib(self.limits.memory_mib, len(layout.slices))

    def peaks_mib(self, layout: Layout, points: Sequence[Point]) -> list[int]:
        """Peak memory of each device of the layout, after these points were measured on them."""
        if layout.is_gpu:
            return [nvml.used_mib(place.gpu) for place in layout.slices if place.gpu]
        return [point.peak_mib for point in points]

    def is_gpu_used(self, layout: Layout) -> bool:
        """Whether someone computes on one of the layout's GPUs now."""
        return any(nvml.is_used(place.gpu) for place in layout.slices if place.gpu)

    def devices(self, layout: Layout) -> list[Device]:
        """What has a profile of its own: each GPU, but of a CPU's slices, which are alike, only one."""
        if layout.is_gpu:
            uuids = {place.gpu for place in layout.slices}
            return [
                Device(node=self.node, uuid=gpu.uuid, memory_mib=gpu.memory_mib, driver=gpu.driver)
                for gpu in self.gpus
                if gpu.uuid in uuids
            ]
        return [Device(node=self.node, threads=layout.slices[0].threads, slices=len(layout.slices))]


def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(limits=read_limits(), gpus=tuple(nvml.read_gpus()), node=gethostname(), clock=time.monotonic)


def one_device(machine: Machine, device_class: str, *, threads: int, gpu: bool) -> Machine:
    """The part of the machine that a pod has of it: one GPU, or one slice of so many cores.

    Its class is what the cluster calls it, whatever the driver does: a label of the cloud's, or a slice of a GPU.
    """
    if not gpu:
        part = Layout(device_class=device_class, slices=(Slice(threads=threads),))
        return replace(machine, gpus=(), part=part)
    if not machine.gpus:
        raise Invalid(
            "spec.gpus.classes",
            f"a pod on a device of the class {device_class} sees no NVIDIA GPU; are driver and container toolkit in "
            "order on its node?",
        )
    named = replace(machine.gpus[0], product=device_class)
    part = Layout(device_class=device_class, slices=(Slice(threads=threads, gpu=named.uuid),))
    return replace(machine, gpus=(named,), part=part)


def software_versions() -> dict[str, str]:
    """Versions of what decides the speed, as far as it is installed."""
    found = {}
    for name in _SOFTWARE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

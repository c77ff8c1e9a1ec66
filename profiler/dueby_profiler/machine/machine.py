"""This machine as the profiler sees it: its GPUs and cores as layouts, with the memory and the facts of each device."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from socket import gethostname

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import Device
from dueby_profiler.analysis.memory import usable_mib
from dueby_profiler.machine import nvml
from dueby_profiler.machine.layouts import Layout, Slice, cpu_layouts, gpu_layouts
from dueby_profiler.machine.limits import Limits, read_limits
from dueby_worker.engines.host import installed_versions

# Packages whose version changes how fast a mini-batch is.
_SOFTWARE = (
    *("torch", "torchvision", "openvino", "ncnn", "dueby", "triton"),
    # One of each, as they are installed beside a torch for that CUDA.
    *("nvidia-cudnn-cu13", "nvidia-cudnn-cu12", "tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    *("onnxruntime-gpu", "onnxruntime"),
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine's devices, and the clock by which they are measured."""

    limits: Limits
    gpus: tuple[nvml.Gpu, ...]
    node: str
    clock: Callable[[], float]
    """Monotonic seconds; the same clock in all processes of the machine."""
    part: Layout | None = None
    """The only layout to measure, as in a pod that has one device; None means the whole machine."""

    @property
    def layouts(self) -> list[Layout]:
        """All GPUs first, then the cores in ever larger slices; or only the part."""
        if self.part is not None:
            return [self.part]
        uuids: dict[str, list[str]] = defaultdict(list)
        for gpu in self.gpus:
            uuids[gpu.product].append(gpu.uuid)
        return [*gpu_layouts(uuids, self.limits), *cpu_layouts(self.limits)]

    @property
    def spare_cores(self) -> float:
        """Cores that others may use without taking anything from what is measured.

        A pod has a slice of its node's cores, and a container with a quota so many cores' worth of its host's; others
        may use the rest.
        """
        measured = self.limits.usable if self.part is None else float(self.part.slices[0].threads)
        return max(0.0, len(self.limits.cores) - measured)

    def usable_mib(self, layout: Layout) -> int:
        memories = [gpu.memory_mib for gpu in self.gpus if gpu.product == layout.device_class and gpu.memory_mib]
        # GPUs of one product share one MB, so the smallest counts.
        return usable_mib(min(memories), 1) if layout.is_gpu and memories else self.usable_host_mib(layout)

    def usable_host_mib(self, layout: Layout) -> int:
        """Return the host's memory that one process of the layout may take."""
        return usable_mib(self.limits.memory_mib, len(layout.slices))

    def gpu_states(self, layout: Layout) -> list[Mapping[str, float]]:
        """Return what NVML says now of each of the layout's GPUs."""
        return [state.values for state in nvml.read_load(slice_.gpu for slice_ in layout.slices if slice_.gpu)]

    def is_gpu_used(self, layout: Layout) -> bool:
        """Return whether a process computes on one of the layout's GPUs now."""
        return any(nvml.is_used(slice_.gpu) for slice_ in layout.slices if slice_.gpu)

    def other_names(self, layout: Layout) -> list[str | None]:
        """Return what the driver calls each of the layout's devices, where it is a GPU whose class has another name."""
        names = {gpu.uuid: gpu.other_name for gpu in self.gpus}
        return [names.get(device.uuid or "") for device in self.devices(layout)]

    def devices(self, layout: Layout) -> list[Device]:
        """Return the devices that get a profile of their own: each GPU, but only one of a CPU's slices, which are all
        alike.
        """
        if layout.is_gpu:
            uuids = {slice_.gpu for slice_ in layout.slices}
            return [
                Device(node=self.node, uuid=gpu.uuid, memory_mib=gpu.memory_mib, driver=gpu.driver)
                for gpu in self.gpus
                if gpu.uuid in uuids
            ]
        return [Device(node=self.node, threads=layout.slices[0].threads, slices=len(layout.slices))]


def this_machine() -> Machine:
    return Machine(limits=read_limits(), gpus=tuple(nvml.read_gpus()), node=gethostname(), clock=time.monotonic)


def one_device(machine: Machine, device_class: str, *, threads: int, gpu: bool) -> Machine:
    """Return the part of the machine that a pod has: one GPU, or one slice of `threads` cores.

    The device class is the cluster's name for it, which may differ from the driver's: a label set by the cloud, or a
    slice of a GPU.
    """
    if not gpu:
        part = Layout(device_class=device_class, slices=(Slice(threads=threads),))
        return replace(machine, gpus=(), part=part)
    if not machine.gpus:
        raise Invalid(
            "spec.gpus.classes",
            f"a pod on a device of the class {device_class} sees no NVIDIA GPU; check the driver and the container "
            "toolkit on its node",
        )
    found = machine.gpus[0]
    # A slice's class ends with the resource's name, which is spelt otherwise.
    is_alike = found.product.casefold() == device_class.casefold()
    named = replace(found, product=device_class, other_name=None if is_alike else found.product)
    only = Slice(threads=threads, gpu=named.uuid, is_only_gpu=len(machine.gpus) == 1)
    part = Layout(device_class=device_class, slices=(only,))
    return replace(machine, gpus=(named,), part=part)


def software_versions() -> dict[str, str]:
    """Return the versions of the installed packages that decide the speed."""
    return installed_versions(_SOFTWARE)

"""How a machine is cut into devices: `cpu-k`, slices of k cores, all of one size at a time.

Two workers of one thread beat one of two (280 against 210 images/s in one measurement) or not, depending on model and
machine, so each k = 1, 2, 4, ... is a layout of its own, measured with all of its slices busy; a pool is one layout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dueby_profiler.machine.limits import Limits


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One device of a layout."""

    threads: int
    """Threads that the model computes with: the cores of a CPU slice, or of the host for a GPU."""
    cores: tuple[int, ...] | None = None
    """The cores that it is pinned to; None where cores can't be given out one by one."""
    gpu: str | None = None
    """UUID of the GPU; None for a CPU slice."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Interchangeable devices that are measured, and used, side by side."""

    device_class: str
    slices: tuple[Slice, ...]

    @property
    def is_gpu(self) -> bool:
        """Whether the devices are GPUs."""
        return self.slices[0].gpu is not None


def cpu_layouts(limits: Limits) -> list[Layout]:
    """The layouts of this machine's cores, the smallest slices first.

    Half a core is still a slice: what a quota below one core takes away shows in its latency.
    """
    sizes = [k for k in (2**i for i in range(20)) if k <= max(1, int(limits.usable))]
    return [_layout(k, limits) for k in sizes]


def gpu_layouts(uuids: Mapping[str, Sequence[str]], limits: Limits) -> list[Layout]:
    """One layout for each product, of all GPUs of it; the host's cores are shared out among all GPUs."""
    threads = max(1, int(limits.usable) // max(1, sum(map(len, uuids.values()))))
    return [
        Layout(device_class=product, slices=tuple(Slice(threads=threads, gpu=uuid) for uuid in members))
        for product, members in uuids.items()
    ]


def _layout(k: int, limits: Limits) -> Layout:
    count = max(1, int(limits.usable) // k)
    given = [limits.cores[i * k : (i + 1) * k] if limits.owns_cores else None for i in range(count)]
    return Layout(device_class=f"cpu-{k}", slices=tuple(Slice(threads=k, cores=cores) for cores in given))

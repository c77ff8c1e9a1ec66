"""Ways to cut a machine into devices: `cpu-k`, slices of k cores, all of one size at a time.

Two workers with one thread each may beat one worker with two (280 against 210 images/s in one measurement) or not,
depending on model and machine. So each k = 1, 2, 4, ... is a layout of its own, measured with all of its slices busy,
and a machine's pool is one layout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dueby_profiler.machine.limits import Limits


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One device of a layout."""

    threads: int
    """Threads that the model computes with: the cores of a CPU slice, or the host's cores for a GPU."""
    cores: tuple[int, ...] | None = None
    """The cores that it is pinned to; None if cores can't be assigned one by one."""
    gpu: str | None = None
    """The GPU's UUID; None for a slice of cores."""
    is_only_gpu: bool = False
    """Whether its processes see no other GPU anyway."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Interchangeable devices that are measured, and later used, side by side."""

    device_class: str
    slices: tuple[Slice, ...]

    @property
    def is_gpu(self) -> bool:
        """Whether the devices are GPUs."""
        return self.slices[0].gpu is not None

    @property
    def core_counts(self) -> list[int]:
        """1, 2, 4, ... up to the cores of a slice, and these."""
        most = self.slices[0].threads
        return sorted({most, *(2**power for power in range(most.bit_length()))})


def cpu_layouts(limits: Limits) -> list[Layout]:
    """Return the layouts of this machine's cores, the smallest slices first.

    Less than one core is still a slice: what the quota takes away shows in the latency.
    """
    sizes = [k for k in (2**i for i in range(20)) if k <= max(1, int(limits.usable))]
    return [_layout(k, limits) for k in sizes]


def gpu_layouts(uuids: Mapping[str, Sequence[str]], limits: Limits) -> list[Layout]:
    """Return one layout for each product, with all GPUs of it; all GPUs get an equal share of the host's cores."""
    threads = max(1, int(limits.usable) // max(1, sum(map(len, uuids.values()))))
    return [
        Layout(device_class=product, slices=tuple(Slice(threads=threads, gpu=uuid) for uuid in members))
        for product, members in uuids.items()
    ]


def _layout(k: int, limits: Limits) -> Layout:
    count = max(1, int(limits.usable) // k)
    # With a quota below the number of cores, time is shared out and not cores, so there is nothing to pin to.
    pinned = [limits.cores[i * k : (i + 1) * k] if limits.owns_cores else None for i in range(count)]
    return Layout(device_class=f"cpu-{k}", slices=tuple(Slice(threads=k, cores=cores) for cores in pinned))

"""This machine's devices as slots: which cores or which GPU a local worker has to itself.

A slice of the class `cpu-k` is k cores that no other worker uses; OpenVINO would otherwise put every process on core 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dueby.planner.profiles import CPU_ENGINES, GPUProfile


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One device of this machine."""

    name: str
    device_class: str
    cores: tuple[int, ...]
    """The cores that its worker may use."""
    gpu: str | None = None
    """UUID of the GPU; None: the device is the cores."""

    @property
    def threads(self) -> int:
        """Threads of the model, and of decoding."""
        return len(self.cores)


def lay_out(profiles: Iterable[GPUProfile], counts: Mapping[str, int], cores: Sequence[int]) -> tuple[Slot, ...]:
    """A slot for each device of the pool, on disjoint cores."""
    specs = {p.spec.device_class: p.spec for p in profiles}
    uuids: dict[str, list[str]] = {}
    for profile in profiles:
        if profile.spec.device.uuid:
            uuids.setdefault(profile.spec.device_class, []).append(profile.spec.device.uuid)
    slots: list[Slot] = []
    gpus = sum(n for name, n in counts.items() if specs[name].engine not in CPU_ENGINES)
    taken = 0
    for name, count in sorted(counts.items()):
        is_cpu = specs[name].engine in CPU_ENGINES
        width = (specs[name].device.threads or 1) if is_cpu else max(1, len(cores) // gpus)
        for i in range(count):
            mine = tuple(cores[(taken + j) % len(cores)] for j in range(width))
            taken += width
            gpu = None if is_cpu else sorted(set(uuids[name]))[i]
            slots.append(Slot(name=f"{name}/{i}", device_class=name, cores=tuple(sorted(set(mine))), gpu=gpu))
    return tuple(slots)

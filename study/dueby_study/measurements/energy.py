"""Energy counters of this machine: a GPU's through NVML, the processor's through RAPL, if they can be read.

Virtual machines rarely have RAPL, and since 2020 only root may read it. Without a counter there is no number; none is
estimated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dueby_profiler.machine.nvml import GpuState

_POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Counters at one moment, in joules."""

    gpu: Mapping[str, float]
    """By the GPU's UUID."""
    cpu: Mapping[str, tuple[float, float]]
    """By package: the counter, and the value at which it starts again."""


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Energy used between two readings."""

    gpu_j: float | None
    """By all the GPUs together; None if they have no counter."""
    cpu_j: float | None
    """By all packages of the processor together; None if their counters can't be read."""


class Meter:
    """Reads the counters of some GPUs and of the processor."""

    def __init__(self, gpus: Sequence[str], *, read_gpu: Callable[[str], GpuState], powercap: Path = _POWERCAP) -> None:
        self._gpus, self._read_gpu, self._powercap = sorted(set(gpus)), read_gpu, powercap

    def read(self) -> Reading:
        """Return the counters now."""
        states = {uuid: self._read_gpu(uuid).values for uuid in self._gpus}
        return Reading(
            gpu={uuid: values["energy_j"] for uuid, values in states.items() if "energy_j" in values},
            cpu=dict(_packages(self._powercap)),
        )


def used(before: Reading, after: Reading) -> Energy:
    """Return the energy between two readings, of the counters that were read both times."""
    gpu = [after.gpu[uuid] - before.gpu[uuid] for uuid in before.gpu.keys() & after.gpu.keys()]
    # A counter that is lower than before has started again at its maximum.
    cpu = [
        now - was if now >= was else now - was + most
        for name, (was, most) in before.cpu.items()
        if name in after.cpu
        for now, _ in [after.cpu[name]]
    ]
    return Energy(gpu_j=sum(gpu) if gpu else None, cpu_j=sum(cpu) if cpu else None)


def _packages(powercap: Path) -> list[tuple[str, tuple[float, float]]]:
    """Return the counters of whole packages: intel-rapl:0 and not intel-rapl:0:0. AMD's have the same names."""
    found = []
    for folder in sorted(powercap.glob("intel-rapl:*")):
        if folder.name.count(":") == 1:
            try:
                energy, most = (int((folder / name).read_text()) / 1e6 for name in ("energy_uj", "max_energy_range_uj"))
            except (OSError, ValueError):
                continue
            found.append((folder.name, (energy, most)))
    return found

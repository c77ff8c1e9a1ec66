"""Energy counters of this machine: a GPU's by NVML, the processor's by RAPL, where they can be read.

Virtual machines rarely have RAPL, and since 2020 only root may read it where it is there. Without either there is no
number, and none is made up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dueby_profiler.machine.nvml import State

_POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Counters at a moment, in joules."""

    gpu: Mapping[str, float]
    """By UUID."""
    cpu: Mapping[str, tuple[float, float]]
    """By package: the counter, and the value at which it starts anew."""


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What was used between two readings."""

    gpu_j: float | None
    """All the GPUs that were asked; None: they don't say."""
    cpu_j: float | None
    """All the processor's packages; None: they can't be read."""


class Meter:
    """Reads the counters of some GPUs and of the processor."""

    def __init__(self, gpus: Sequence[str], *, ask_gpu: Callable[[str], State], powercap: Path = _POWERCAP) -> None:
        self._gpus, self._ask_gpu, self._powercap = sorted(set(gpus)), ask_gpu, powercap

    def read(self) -> Reading:
        """The counters now."""
        states = {uuid: self._ask_gpu(uuid).values for uuid in self._gpus}
        return Reading(
            gpu={uuid: values["energy_j"] for uuid, values in states.items() if "energy_j" in values},
            cpu=dict(_packages(self._powercap)),
        )


def used(before: Reading, after: Reading) -> Energy:
    """Between the two, of what was read both times."""
    gpu = [after.gpu[uuid] - before.gpu[uuid] for uuid in before.gpu.keys() & after.gpu.keys()]
    cpu = [
        now - was if now >= was else now - was + most
        for name, (was, most) in before.cpu.items()
        if name in after.cpu
        for now, _ in [after.cpu[name]]
    ]
    return Energy(gpu_j=sum(gpu) if gpu else None, cpu_j=sum(cpu) if cpu else None)


def _packages(powercap: Path) -> list[tuple[str, tuple[float, float]]]:
    """Whole packages only, intel-rapl:0 and not intel-rapl:0:0; AMD's go by the same name."""
    found = []
    for folder in sorted(powercap.glob("intel-rapl:*")):
        if folder.name.count(":") == 1:
            try:
                energy, most = (int((folder / name).read_text()) / 1e6 for name in ("energy_uj", "max_energy_range_uj"))
            except (OSError, ValueError):
                continue
            found.append((folder.name, (energy, most)))
    return found

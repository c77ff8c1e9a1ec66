"""This machine as a pool: its devices, their slots, and the folder that workers share.

The layouts are the profiler's own, so that a job runs on exactly what was measured.

A slice of the class `cpu-k` is k cores that no other worker uses; OpenVINO would otherwise put every process on core 0.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dueby.inputs.files import user_folder
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_api.run_record import MachineRecord
from dueby_planner.model.cost import Tariff
from dueby_planner.profiles.machine_pool import machine_pool
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.machine.limits import read_limits
from dueby_profiler.machine.machine import this_machine
from dueby_worker.system.cache_folder import require_own


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One device of this machine."""

    name: str
    device_class: str
    threads: int
    """Threads of the model on a CPU, and of decoding."""
    cores: tuple[int, ...] | None = None
    """The cores that its worker is pinned to; None where cores can't be given out one by one."""
    gpu: str | None = None
    """UUID of the GPU; None for a CPU slice."""


@dataclass(frozen=True, kw_only=True)
class LocalPool:
    """The devices that a job may use here."""

    profiles: tuple[GPUProfile, ...]
    """Those of this machine's devices."""
    counts: Mapping[str, int]
    slots: tuple[Slot, ...]
    node: str = ""
    """This host's name, as its profiles have it."""
    tariff: Tariff | None = None
    """What the devices cost; None: nobody has said it."""

    @property
    def cores(self) -> Mapping[str, int]:
        """Cores of a worker by class: the fewest that a slot has."""
        most_first = sorted(self.slots, key=lambda slot: -slot.threads)
        return {slot.device_class: slot.threads for slot in most_first}


NO_DEVICES = LocalPool(profiles=(), counts={}, slots=())
"""What jobs need that are done."""


def find_pool(profiles: Sequence[GPUProfile], model: Model, *, classes: Collection[str] = ()) -> LocalPool:
    """Return the pool of this machine: all profiled GPUs, or else the fastest layout of its cores; of these classes.

    Raise Invalid if nothing of it was profiled for the model.
    """
    machine = this_machine()
    layouts = {layout.device_class: layout for layout in machine.layouts}
    here = tuple(p for p in profiles if p.spec.device_class in layouts)
    wanted = machine_pool(here, model, classes=classes)
    counts = {name: min(count, len(layouts[name].slices)) for name, count in wanted.items()}
    return LocalPool(
        profiles=here,
        counts=counts,
        slots=tuple(slot for name, count in counts.items() for slot in _slots(layouts[name])[:count]),
        node=machine.node,
    )


def shared_pool(pools: Mapping[str, LocalPool]) -> LocalPool:
    """Return the devices of this machine that several jobs share, given each job's own pool by its name.

    Raise Invalid if they need the same cores in different ways. GPUs exclude each other in no way.
    """
    slots = {slot.name: slot for pool in pools.values() for slot in pool.slots}
    if len({slot.device_class for slot in slots.values()}) > 1 and any(slot.gpu is None for slot in slots.values()):
        ways = "; ".join(f"{name} on {', '.join(pool.counts)}" for name, pool in pools.items())
        raise Invalid(
            "spec.gpus.classes",
            f"The jobs are fastest on slices that need the same cores: {ways}. Name the same class in each of them.",
        )
    counts = Counter(slot.device_class for slot in slots.values())
    return replace(next(iter(pools.values())), counts=counts, slots=tuple(slots.values()))


def cache_folder() -> Path:
    """Return the folder in which compiled models are kept between runs.

    Raise Invalid if it can't be created, or if others may write to it.
    """
    home = user_folder("XDG_CACHE_HOME", ".cache") / "dueby"
    try:
        require_own(home)
    except OSError as error:
        # Most often of a user without a home, as containers have them.
        advice = "name a folder that can be written to in the variable XDG_CACHE_HOME"
        raise Invalid(
            "XDG_CACHE_HOME", f"{home}, for compiled models, can't be used: {error.strerror}; {advice}"
        ) from None
    return home


def runs_folder() -> Path:
    """Return the folder in which runs say what they use. Raise Invalid if others may write to it."""
    return cache_folder() / "runs"


def machine_record(pool: LocalPool) -> MachineRecord:
    """Return what a run's summary says of the machine."""
    limits = this_machine().limits
    return MachineRecord(cores=limits.usable, memory_mib=int(limits.memory_mib), devices=dict(pool.counts))


def usable_cores() -> int:
    """Return how many cores this process may keep busy."""
    return max(1, int(read_limits().usable))


def _slots(layout: Layout) -> list[Slot]:
    return [
        Slot(
            name=f"{layout.device_class}/{place}",
            device_class=layout.device_class,
            threads=piece.threads,
            cores=piece.cores,
            gpu=piece.gpu,
        )
        for place, piece in enumerate(layout.slices)
    ]

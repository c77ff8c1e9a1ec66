"""A local worker's device: the cores or the GPU that it has to itself.

A slice of the class `cpu-k` is k cores that no other worker uses; OpenVINO would otherwise put every process on core 0.
"""

from dataclasses import dataclass


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

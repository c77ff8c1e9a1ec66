"""How a feature of the monitor is described.

The table of features is data, so that the columns of the Parquet files, their metadata and docs/monitor.md all come
from it. The study *On Serving Image Classification Models* watched its runs with cirquit/py-hardware-monitor.
Everything which that monitor returns is here, with its name there in `study`; features without one are ours. Units are
base units, whatever the library's are, and a value that can't be had is null, never 0.
"""

from dataclasses import dataclass
from enum import Enum


class FeatureSource(Enum):
    """The library that is read."""

    PSUTIL = "psutil"
    NVML = "NVML (nvidia-ml-py)"
    TORCH = "torch's CUDA allocator"


class FeatureKind(Enum):
    """What two values of one feature have to do with each other."""

    LEVEL = "level"
    """The state at the moment."""
    COUNTER = "counter"
    """Grows from a beginning that the documentation names; only differences mean something."""
    RATE = "rate"
    """A counter's growth over the time since the sample before (`since_previous_us`)."""


class FeatureGroup(Enum):
    """What a feature describes."""

    CPU = "CPU"
    MEMORY = "Memory"
    PROCESS = "Measuring process"
    DISK = "Disks"
    NETWORK = "Network"
    GPU = "GPU"
    ALLOCATOR = "Memory of the process on the GPU"


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column."""

    name: str
    group: FeatureGroup
    source: FeatureSource
    kind: FeatureKind
    unit: str
    """In words; "" for a number without a unit."""
    call: str
    """What is read from the library."""
    doc: str
    study: str = ""
    """Its name in the study's monitor."""
    of: str = ""
    """The counter that a rate is computed from."""

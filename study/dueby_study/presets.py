"""How much time goes into a study: `QUICK`, under half an hour on two cores, and `FULL`."""

from dataclasses import dataclass

from dueby_profiler import presets as profiler_presets
from dueby_profiler.presets import Preset

# The study's way of measuring takes the mean of this many mini-batches of a fresh process, including the first one.
REPETITIONS = 10


@dataclass(frozen=True, kw_only=True)
class StudyPreset:
    """Sizes, rounds and seconds of each stage."""

    name: str
    profile: Preset
    """How each model is profiled on each layout."""
    image_sizes: tuple[int, ...]
    """Image sizes of the memory map."""
    memory_sizes: tuple[int, ...]
    """Mini-batch sizes of the memory map."""
    sizes: tuple[int, ...]
    """Mini-batch sizes whose times are measured in fresh processes."""
    rounds: int
    """Fresh processes for each size and slice."""
    point_s: float
    """Upper limit for the steady steps of a process; it ends as soon as its mean is known."""
    max_point_s: float
    """Sizes at which REPETITIONS mini-batches take longer are left out."""
    together_sizes: tuple[int, ...]
    """Mini-batch sizes at which arrangements of processes are compared."""
    together_rounds: int
    together_s: float
    """Steady steps of an arrangement at one size."""
    features_s: float
    """Time for the warm-ups from which the features are learnt."""
    checked: int
    """Cells of the map of answers that are also put to PuLP."""


QUICK = StudyPreset(
    name="quick",
    profile=profiler_presets.QUICK,
    image_sizes=(128, 224, 320),
    memory_sizes=(1, 8, 32, 64),
    sizes=(1, 2, 4, 8, 16, 32, 64),
    rounds=2,
    point_s=1.5,
    max_point_s=20.0,
    together_sizes=(1, 4, 16),
    together_rounds=3,
    together_s=1.5,
    features_s=300.0,
    checked=40,
)
FULL = StudyPreset(
    name="full",
    profile=profiler_presets.FULL,
    image_sizes=(64, 128, 224, 320, 448),
    memory_sizes=(1, 8, 16, 32, 64, 128),
    sizes=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    rounds=5,
    point_s=4.0,
    max_point_s=60.0,
    together_sizes=(1, 2, 4, 8, 16, 32),
    together_rounds=5,
    together_s=4.0,
    features_s=2400.0,
    checked=200,
)

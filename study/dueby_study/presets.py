"""How much is put into a study: a quick one, under half an hour on two cores, and a full one."""

from dataclasses import dataclass

from dueby_profiler import presets as efforts
from dueby_profiler.presets import Effort

# Mini-batches of a fresh process over which the study's way of measuring takes its mean, the first one among them.
REPETITIONS = 10


@dataclass(frozen=True, kw_only=True)
class StudyEffort:
    """Sizes, rounds and seconds of each stage."""

    name: str
    profile: Effort
    """Of each model and layout."""
    image_sizes: tuple[int, ...]
    """Of the memory map."""
    memory_sizes: tuple[int, ...]
    """Mini-batch sizes of the memory map."""
    sizes: tuple[int, ...]
    """Mini-batch sizes whose times are measured in fresh processes."""
    rounds: int
    """Fresh processes of each size and slice."""
    point_s: float
    """Steady steps of a process, at most; it ends as soon as its mean is known."""
    longest_point_s: float
    """A size at which REPETITIONS mini-batches take longer is left out."""
    together_sizes: tuple[int, ...]
    """Mini-batch sizes at which arrangements of processes are compared."""
    together_rounds: int
    together_s: float
    """Steady steps of an arrangement at one size."""
    features_s: float
    """The warm-ups from which the features are learnt."""
    checked: int
    """Cells of the map of answers that PuLP is asked about."""


QUICK = StudyEffort(
    name="quick",
    profile=efforts.QUICK,
    image_sizes=(128, 224, 320),
    memory_sizes=(1, 8, 32, 64),
    sizes=(1, 2, 4, 8, 16, 32, 64),
    rounds=2,
    point_s=1.5,
    longest_point_s=20.0,
    together_sizes=(1, 4, 16),
    together_rounds=3,
    together_s=1.5,
    features_s=300.0,
    checked=40,
)
FULL = StudyEffort(
    name="full",
    profile=efforts.FULL,
    image_sizes=(64, 128, 224, 320, 448),
    memory_sizes=(1, 8, 16, 32, 64, 128),
    sizes=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    rounds=5,
    point_s=4.0,
    longest_point_s=60.0,
    together_sizes=(1, 2, 4, 8, 16, 32),
    together_rounds=5,
    together_s=4.0,
    features_s=2400.0,
    checked=200,
)

"""How much time goes into a profile: `FULL`, on which deadlines may rest, and `QUICK`, to get going.

A layout of GPUs takes longer: starting a process and building an engine take seconds there, where a step takes
milliseconds, and clocks fall once a card is hot.

Time is given per layout, so that the total depends on the machine's layouts only and not on its speed: the demo's two
cores have two layouts, which makes 3 minutes. `QUICK` measures one layout of the cores and shortens every phase.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dueby_api.engines import ENGINES, EngineName

# With fewer groups of fresh processes, the spread between moments and between processes is too uncertain to plan with.
# The group that explores the sizes is one of the five; the others are rounds.
ENOUGH_GROUPS = 5
# T4 and L4 cards, of 70 W, take about so long until their clocks have fallen.
_SOAK_S = 25.0
# A limit: the 30 steps of a point take less, unless a step takes longer than 0.1 s.
_GPU_POINT_S = 4.0
# An engine is built for seven sizes up to the knee of a GPU's throughput, and twice in fresh processes.
_BUILDS = 9
# A pod that measures has little more time.
_MAX_BUILDS_S = 300.0


def builds_s(engines: Iterable[EngineName]) -> float:
    """Return the seconds for building those of the engines that take long to build, as often as a profile needs it."""
    return min(_MAX_BUILDS_S, _BUILDS * sum(ENGINES[engine].build_s for engine in engines))


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Seconds for one layout."""

    name: str
    layout_s: float
    """Everything together."""
    compare_s: float
    """Steady steps of each engine, where `auto` has several to choose from."""
    explore_s: float
    """Steady steps at each size while the sizes grow."""
    point_s: float
    """Upper limit for the steady steps at one size in one later round; a point ends as soon as its mean is known."""
    contention_s: float
    """Each of the three phases that measure what decoding beside the model costs."""
    all_layouts: bool
    """Whether to measure every k of `cpu-k`, or the first one only."""
    gpu_layout_s: float = 180
    """Everything together, for a layout of GPUs."""
    gpu_build_s: float = 0
    """`auto` compares engines for GPUs that take up to so long to build for a size."""
    soak_s: float = 0
    """Steady steps that heat the devices, whose last third tells how much slower they are then."""

    def on(self, *, gpu: bool, engines: Iterable[EngineName] = ()) -> "Preset":
        """Return the preset for a layout of GPUs or of cores, with the time that building these engines takes."""
        layout_s = (self.gpu_layout_s if gpu else self.layout_s) + builds_s(engines)
        if not gpu:
            return replace(self, layout_s=layout_s)
        return replace(
            self,
            layout_s=layout_s,
            soak_s=_SOAK_S,
            compare_s=3.0,
            explore_s=_GPU_POINT_S,
            point_s=_GPU_POINT_S,
        )


FULL = Preset(
    name="full",
    layout_s=85,
    compare_s=1.0,
    explore_s=1.0,
    point_s=4.0,
    contention_s=1.5,
    all_layouts=True,
    gpu_layout_s=300,
    gpu_build_s=45,
)
QUICK = Preset(
    name="quick", layout_s=40, compare_s=0.5, explore_s=0.4, point_s=1.0, contention_s=0.7, all_layouts=False
)

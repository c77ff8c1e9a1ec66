"""How much is put into a profile: a full one, which plans may be held to, and a quick one, to get going.

A layout has a number of seconds, whatever the machine; the demo's two cores have two layouts, which makes 3 minutes.
The quick one leaves out every layout of the cores but one and shortens the rest.
"""

from dataclasses import dataclass

# Fewer crews of fresh processes say too little about how much moments and processes differ.
ENOUGH_CREWS = 5
# As many, with the crew that grew the sizes. Each begins with another of three sizes, for its warm-up and memory.
ROUNDS = ENOUGH_CREWS - 1


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Seconds, for one layout."""

    name: str
    layout_s: float
    """All of it."""
    compare_s: float
    """Steady steps of each engine where `auto` has several to choose from."""
    look_s: float
    """Steady steps at each size while the sizes grow."""
    point_s: float
    """Steady steps at each size in each later round, at most: a point ends as soon as its mean is known."""
    contention_s: float
    """Each of the three phases that tell what decoding beside the model costs."""
    all_layouts: bool
    """Whether every k of `cpu-k` is measured, or the first alone."""


FULL = Effort(name="full", layout_s=85, compare_s=1.0, look_s=1.0, point_s=4.0, contention_s=1.5, all_layouts=True)
QUICK = Effort(name="quick", layout_s=40, compare_s=0.5, look_s=0.4, point_s=1.0, contention_s=0.7, all_layouts=False)

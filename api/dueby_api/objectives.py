"""The table of objectives: what a plan is made for. A value appears here when it works.

An objective is one entry here, one function of the planner and its test. The function takes a Problem and returns a
Plan or the proof that there is none. It is named as text, since this package imports no other of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ObjectiveName = Literal["MinGPUs", "MinCost"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveEntry:
    """What is known of an objective."""

    name: ObjectiveName
    meaning: str
    """For people, as the CRD shows it."""
    planner: str
    """The planner's function, as module:function."""
    needs_prices: bool = False
    """Whether prices decide: each device class that a job may use must have one."""


OBJECTIVES: Mapping[ObjectiveName, ObjectiveEntry] = {
    entry.name: entry
    for entry in (
        ObjectiveEntry(
            name="MinGPUs",
            meaning="as few devices as meet the deadline",
            planner="dueby_planner.model.plan:plan_fewest",
        ),
        ObjectiveEntry(
            name="MinCost",
            meaning="the devices that cost least, of those that meet the deadline",
            planner="dueby_planner.model.cheapest:plan_cheapest",
            needs_prices=True,
        ),
    )
}

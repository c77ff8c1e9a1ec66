"""The table of objectives: what a plan is made for. A value appears here when it works.

An objective is one entry here, one function of the planner and its test. The function takes a Problem and returns a
Plan or the proof that there is none. It is named as text, since this package imports no other of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dueby_api.errors import Invalid

ObjectiveName = Literal["MinGPUs", "MinCost"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveEntry:
    """What is known of an objective."""

    name: ObjectiveName
    meaning: str
    """For people, as the CRD shows it."""
    planner: str
    """The planner's function, as module:function."""
    only_planned: str = ""
    """Why jobs are only planned for it, by `dueby plan`, and not run yet; empty if they are run."""


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
            only_planned="the calendar that jobs share devices by doesn't know prices yet",
        ),
    )
}


def only_planned(objective: ObjectiveName) -> Invalid | None:
    """Return why no job with this objective is run, and what to do; None if such jobs are run."""
    entry = OBJECTIVES[objective]
    if not entry.only_planned:
        return None
    usual = next(iter(OBJECTIVES))
    return Invalid(
        "spec.objective",
        f"{objective} is only planned yet, by `dueby plan --prices` for one job, since {entry.only_planned}; leave it "
        f"out, which means {usual}",
    )


def require_run(objective: ObjectiveName) -> None:
    """Raise Invalid if jobs with this objective are only planned."""
    if error := only_planned(objective):
        raise error

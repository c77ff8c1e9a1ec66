"""docs/conditions.md, made from the table of conditions and reasons."""

from collections.abc import Iterable

from dueby_api.conditions import ConditionType, Reason

_HEAD = """# Conditions and reasons

This page is made by `python -m dueby_operator.resources` from the table in `api/dueby_api/conditions.py`.

`kubectl describe infj` shows conditions. Their reasons are fixed words, for programs; their messages are sentences with
the numbers of the case, for people. Each change of a condition is also an Event. So is each re-plan (`Replanned`), and
each move of a reservation by more than a minute (`WindowMoved`).

"""
_PROFILES = """
## Conditions of a GPUProfile

`kubectl describe gprof` shows them for the profiles of nodes in the cluster, and for the profiles of classes, which
are made of those. Plans use a profile whose condition is False, too: it is the best that is known.

"""
_FOOT = """
A class's profile is Current if the profiles of all its nodes are. Its message names those that aren't.
"""


def conditions_page() -> str:
    of_jobs = [kind for kind in ConditionType if kind is not ConditionType.CURRENT]
    return _HEAD + _table(of_jobs) + _PROFILES + _table([ConditionType.CURRENT]) + _FOOT


def _table(kinds: Iterable[ConditionType]) -> str:
    rows = ["| condition | status and reason | what it means | what to do |", "| --- | --- | --- | --- |"]
    for kind in kinds:
        for place, reason in enumerate(entry for entry in Reason if entry.type is kind):
            entry = reason.value
            title = kind if place == 0 else ""
            rows.append(f"| {title} | {entry.status} `{entry.word}` | {entry.meaning} | {entry.action} |")
    return "".join(f"{row}\n" for row in rows)

"""`python -m dueby_operator.resources`: write the CRDs and the page of conditions into a working tree."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from dueby_api.conditions import ConditionType, Reason
from dueby_operator.resources.crds import crd_files

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


def generated_files() -> dict[str, str]:
    """Return the files' texts by their paths in the repository."""
    crds = {f"crds/{name}": text for name, text in crd_files().items()}
    return {**crds, "docs/conditions.md": _conditions_page()}


def _conditions_page() -> str:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-C", dest="root", type=Path, default=Path(), metavar="DIR", help="the tree (default: here)")
    root: Path = parser.parse_args().root
    for path, text in generated_files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


if __name__ == "__main__":
    main()

"""A table kept by a watch: what comes, changes and goes, and what happens when the watch breaks."""

import asyncio
from typing import Any

import pytest

from dueby_operator.kube.reflector import Reflector
from support.api import Answers, served


def item(name: str, value: int = 0, version: str = "1") -> dict[str, Any]:
    return {"metadata": {"uid": name, "name": name, "resourceVersion": version}, "value": value}


def listed(*items: dict[str, Any], version: str) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": version}, "items": list(items)}


def event(kind: str, found: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": found}


def value_of(found: dict[str, Any]) -> int | None:
    value: int = found["value"]
    return None if value < 0 else value


async def keep(answers: Answers, *, until: int) -> tuple[list[int], list[tuple[int | None, int | None]]]:
    """The table after so many changes, and the changes."""
    changes: list[tuple[int | None, int | None]] = []
    enough = asyncio.Event()

    def note(before: int | None, after: int | None) -> None:
        changes.append((before, after))
        if len(changes) >= until:
            enough.set()

    async with served(answers.answer) as kube:
        reflector = Reflector(kube, "/things", reduce=value_of, changed=note)
        task = asyncio.create_task(reflector.run())
        await asyncio.wait_for(enough.wait(), 20)
        rows = await reflector.rows()
        task.cancel()
    return sorted(rows), changes


CASES = {
    "a row comes, changes and goes": (
        Answers(
            lists=[listed(item("a", 1), version="10")],
            watches=[
                [
                    event("ADDED", item("b", 2, "11")),
                    event("MODIFIED", item("a", 3, "12")),
                    event("DELETED", item("b", 2, "13")),
                ]
            ],
        ),
        4,
        [3],
        ["list", "watch from 10", "watch from 13"],
    ),
    "what doesn't matter is left out, and doesn't wake anybody": (
        Answers(
            lists=[listed(item("a", -1), item("b", 2), version="10")],
            watches=[[event("MODIFIED", item("b", 2, "11")), event("MODIFIED", item("b", 5, "12"))]],
        ),
        2,
        [5],
        ["list", "watch from 10", "watch from 12"],
    ),
    "a bookmark moves the version": (
        Answers(
            lists=[listed(version="10")],
            watches=[
                [{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "40"}}}],
                [event("ADDED", item("a", 1, "41"))],
            ],
        ),
        1,
        [1],
        ["list", "watch from 10", "watch from 40", "watch from 41"],
    ),
    "a version that is too old lists anew, and what is gone from the list is gone": (
        Answers(
            lists=[listed(item("a", 1), version="10"), listed(item("b", 2), version="50")],
            watches=[[{"type": "ERROR", "object": {"code": 410, "message": "too old"}}]],
        ),
        3,
        [2],
        ["list", "watch from 10", "list", "watch from 50"],
    ),
    "so does one that is refused at once": (
        Answers(lists=[listed(version="10"), listed(item("b", 2), version="50")], watches=[410]),
        1,
        [2],
        ["list", "watch from 10", "list", "watch from 50"],
    ),
    "a server that fails is asked again": (
        Answers(lists=[listed(version="10"), listed(item("b", 2), version="50")], watches=[500]),
        1,
        [2],
        ["list", "watch from 10", "list", "watch from 50"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_table_follows_its_kind(name: str) -> None:
    answers, changes, rows, asked = CASES[name]
    found, _ = asyncio.run(keep(answers, until=changes))
    assert found == rows
    assert answers.asked[: len(asked) - 1] == asked[:-1]

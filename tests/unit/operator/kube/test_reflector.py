"""A table kept by a watch: what comes, changes and goes, and what happens when the watch breaks."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from dueby_api.errors import Transient
from dueby_operator.kube import client
from dueby_operator.kube.reflector import Reflector
from support.api import Answers, served
from support.reflector import event, first_row, item, listed, value_of


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
        await asyncio.wait_for(enough.wait(), 60)
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
    "a version that is too old lists again, and what is gone from the list is gone": (
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
    "a server that fails is asked again for what has happened since": (
        Answers(lists=[listed(version="10")], watches=[500, [event("ADDED", item("b", 2, "11"))]]),
        1,
        [2],
        ["list", "watch from 10", "watch from 10", "watch from 11"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_table_follows_its_kind(name: str) -> None:
    answers, changes, rows, asked = CASES[name]
    found, _ = asyncio.run(keep(answers, until=changes))
    assert found == rows
    assert answers.asked[: len(asked) - 1] == asked[:-1]


def rows_of_what_is_not_served(*, may_be_absent: bool) -> list[int]:
    """The table of a kind that the server doesn't serve."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text="404 page not found", status=404)

    async def go() -> list[int]:
        async with served(answer) as kube:
            reflector = Reflector(
                kube, "/things", reduce=value_of, changed=lambda *_: None, wait_s=0.2, may_be_absent=may_be_absent
            )
            task = asyncio.create_task(reflector.run())
            try:
                return await reflector.rows()
            finally:
                task.cancel()

    return asyncio.run(go())


def test_the_table_of_a_kind_that_is_not_served_is_empty_if_it_may_be_absent_and_else_withheld() -> None:
    assert rows_of_what_is_not_served(may_be_absent=True) == []
    with pytest.raises(Transient, match="the watch is broken"):
        rows_of_what_is_not_served(may_be_absent=False)


def test_a_kind_that_is_no_longer_served_leaves_an_empty_table_and_lists_are_asked_for_until_it_is_again() -> None:
    async def go() -> None:
        answers = Answers(lists=[listed(item("a", 1), version="10")], watches=[404])
        gone = asyncio.Event()
        async with served(answers.answer) as kube:
            reflector = Reflector(
                kube,
                "/things",
                reduce=value_of,
                changed=lambda before, after: gone.set() if after is None else None,
                may_be_absent=True,
            )
            task = asyncio.create_task(reflector.run())
            await asyncio.wait_for(gone.wait(), 60)
            assert await reflector.rows() == []
            assert reflector.news is None
            task.cancel()

    asyncio.run(go())


async def withheld(table: Reflector[int]) -> None:
    """Wait until nobody gets the table."""
    while True:
        try:
            await table.rows()
        except Transient:
            return
        await asyncio.sleep(0.01)


def test_a_watch_that_breaks_is_taken_up_where_it_was_and_the_table_is_withheld_meanwhile() -> None:
    answers = Answers(lists=[listed(item("a", 1), version="10")], watches=[[event("ADDED", item("b", 2, "11"))]])
    is_away, complete = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if is_away.is_set():
            return web.json_response({"message": "no"}, status=500)
        return await answers.answer(request)

    def note(_: int | None, after: int | None) -> None:
        if after == 2:
            is_away.set()
        elif after == 3:
            complete.set()

    async def go() -> None:
        async with served(answer) as kube:
            reflector = Reflector(kube, "/things", reduce=value_of, changed=note, wait_s=0.2)
            task = asyncio.create_task(reflector.run())
            await is_away.wait()
            await withheld(reflector)
            answers.watches.append([event("ADDED", item("c", 3, "12"))])
            is_away.clear()
            await complete.wait()
            assert sorted(await reflector.rows()) == [1, 2, 3]
            task.cancel()

    asyncio.run(asyncio.wait_for(go(), 60))
    assert answers.asked.count("list") == 1
    assert "watch from 11" in answers.asked


def test_an_object_of_many_megabytes_takes_part_in_the_table() -> None:
    large = {**item("large", 2, "11"), "args": "<" * 1_450_000}
    lines = json.dumps(event("ADDED", large)).replace("<", "\\u003c")
    assert len(lines) > 8 * 2**20

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response(listed(version="10"))
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(lines.encode() + b"\n")
        await asyncio.sleep(3600)
        return response

    assert asyncio.run(first_row(answer)) == [2]


@pytest.mark.parametrize(
    "last",
    [
        pytest.param([], id="its end"),
        pytest.param([{"type": "ERROR", "object": {"code": 500, "message": "etcd has no leader"}}], id="an error"),
        pytest.param([{"type": "ERROR", "object": {"code": 429, "message": "later"}}], id="too many requests"),
    ],
)
def test_after_a_line_that_is_too_long_the_watch_goes_on_and_the_next_one_begins_with_a_list(
    monkeypatch: pytest.MonkeyPatch, last: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(client, "OBJECT_BYTES", 1000)
    long = {**item("b", 7, "12"), "args": "a" * 1000}
    answers = Answers(
        lists=[listed(item("b", 2), version="10"), listed(item("b", 5), version="50")],
        watches=[[event("MODIFIED", long), event("ADDED", item("a", 1, "13")), *last]],
    )
    found, changes = asyncio.run(keep(answers, until=4))
    assert changes[:2] == [(None, 2), (None, 1)]
    assert found == [5]
    assert answers.asked == ["list", "watch from 10", "list", "watch from 50"]

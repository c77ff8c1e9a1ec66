"""A watch that breaks: at once, after a while, or in a long silence. What is asked for then, and how soon."""

import asyncio
import json

import pytest
from aiohttp import web

from dueby_operator.kube.reflector import FIRST_PAUSE_S, RELIST_S
from dueby_operator.kube.trouble import Backoff
from support.reflector import event, first_row, item, listed

NEXT_S = Backoff.next_s


def test_a_watch_that_breaks_as_soon_as_it_has_begun_ends_in_a_list() -> None:
    now_s = [0.0]
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        now_s[0] += RELIST_S + 1
        asked.append("watch" if "watch" in request.query else "list")
        if "watch" not in request.query:
            return web.json_response(listed(*[item("a", 1)] * (asked.count("list") - 1), version="10"))
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"nothing of JSON\n")
        return response

    assert asyncio.run(first_row(answer, lambda: now_s[0])) == [1]
    assert asked[:3] == ["list", "watch", "list"]


def asked_while_watches_are_cut(*, after_s: float, watches: int) -> list[str]:
    """What is asked for while each watch shows nothing and is cut after so long, until so many were."""
    now_s = [0.0]
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append("watch" if "watch" in request.query else "list")
        if "watch" not in request.query:
            return web.json_response(listed(version="10"))
        response = web.StreamResponse()
        await response.prepare(request)
        if asked.count("watch") > watches:
            await response.write(json.dumps(event("ADDED", item("a", 1, "11"))).encode() + b"\n")
            await asyncio.sleep(3600)
        await asyncio.sleep(0.05)  # until the watcher knows that its watch is open
        for _ in range(20):  # which takes it some turns, that it may not have had on a busy machine
            await asyncio.sleep(0)
        now_s[0] += after_s
        if request.transport is not None:
            request.transport.abort()
        return response

    assert asyncio.run(first_row(answer, lambda: now_s[0])) == [1]
    return asked


def test_a_quiet_watch_that_is_cut_after_some_seconds_is_taken_up_soon_and_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses_s: list[float] = []

    def next_s(backoff: Backoff) -> float:
        pauses_s.append(NEXT_S(backoff))
        return 0.0

    monkeypatch.setattr(Backoff, "next_s", next_s)
    # Some load balancers leave a quiet connection open for so long.
    assert asked_while_watches_are_cut(after_s=35, watches=3) == ["list", *["watch"] * 4]
    assert pauses_s == [FIRST_PAUSE_S] * 3


def test_a_watch_that_dies_in_a_long_silence_ends_in_a_list() -> None:
    assert asked_while_watches_are_cut(after_s=RELIST_S + 30, watches=1) == ["list", "watch", "list", "watch"]

"""Calls of which one that isn't answered holds up nobody else."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from dueby_operator.passes.reconciler import AT_ONCE, UnderWay

Call = Callable[[], Coroutine[Any, Any, int]]


async def answer(number: int) -> int:
    return number


async def hang(until: asyncio.Event) -> int:
    await until.wait()
    return -1


def run(go: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(go(), 60))


def test_all_are_made_and_what_they_return_is_in_their_order() -> None:
    async def go() -> None:
        assert await UnderWay().make(partial(answer, number) for number in range(100)) == list(range(100))

    run(go)


def test_one_that_hangs_is_left_under_way_and_goes_on() -> None:
    async def go() -> None:
        answered, ended = asyncio.Event(), asyncio.Event()

        async def late() -> int:
            found = await hang(answered)
            ended.set()
            return found

        calls = UnderWay(patience_s=0.05)
        assert await calls.make(list[Call]([late, partial(answer, 1)])) == [1]
        answered.set()
        await ended.wait()

    run(go)


def test_those_without_a_turn_are_not_made() -> None:
    async def go() -> None:
        answered, made = asyncio.Event(), list[int]()

        async def note() -> int:
            made.append(1)
            return 1

        calls = UnderWay(patience_s=0.05)
        assert await calls.make(list[Call]([*[partial(hang, answered)] * AT_ONCE, note])) == []
        answered.set()
        assert await calls.make([note]) == [1]
        assert made == [1]

    run(go)


def test_what_one_raises_is_raised_and_who_is_cancelled_cancels_them() -> None:
    async def fail() -> int:
        raise ZeroDivisionError

    async def go() -> None:
        with pytest.raises(ZeroDivisionError):
            await UnderWay().make(list[Call]([fail, partial(answer, 1)]))
        cancelled = asyncio.Event()

        async def note() -> int:
            try:
                return await hang(asyncio.Event())
            except asyncio.CancelledError:
                cancelled.set()
                raise

        making = asyncio.create_task(UnderWay().make([note]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        making.cancel()
        await cancelled.wait()

    run(go)

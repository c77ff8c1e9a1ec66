"""What the probe is told: a loop that gets on is well, and one that doesn't is started again."""

import asyncio

import pytest

from dueby_operator.kube.served_apis import OlderDefinition
from dueby_operator.loop import STUCK_S, Stuck
from support.resting_loop import Clock, Passes, resting, until


def test_a_loop_is_well_while_passes_succeed_and_not_when_they_have_failed_for_long() -> None:
    clock = Clock()
    loop = resting(clock)
    clock.now_s = 3
    assert loop.health() == "3 s ago"
    clock.now_s = STUCK_S + 1
    with pytest.raises(Stuck, match="No successful reconcile pass for 121 s"):
        loop.health()


def test_a_loop_is_well_while_one_long_pass_gets_on() -> None:
    clock = Clock()
    loop = resting(clock)
    for clock.now_s in (STUCK_S - 1, 2 * STUCK_S - 2):
        assert loop.health() == "119 s ago"
        loop.pass_time.note_progress()
    clock.now_s += STUCK_S + 1
    with pytest.raises(Stuck, match="No successful reconcile pass for 121 s"):
        loop.health()


def test_passes_that_get_on_and_fail_are_no_progress() -> None:
    clock = Clock()
    loop, passes = resting(clock), Passes(ValueError("a bug"))

    async def go() -> None:
        task = asyncio.create_task(loop.repeat(passes))
        await until(lambda: not passes.errors)
        clock.now_s = STUCK_S + 1
        loop.pass_time.note_progress()
        with pytest.raises(Stuck):
            loop.health()
        task.cancel()

    asyncio.run(go())


def test_with_older_definitions_the_loop_is_not_well_at_once_and_is_again_when_they_are_upgraded() -> None:
    loop, passes = resting(Clock()), Passes(OlderDefinition("they lack InferenceJob.status.plan.windows"))

    async def go() -> None:
        task = asyncio.create_task(loop.repeat(passes))
        await until(lambda: not passes.errors)
        with pytest.raises(Stuck, match=r"they lack InferenceJob\.status\.plan\.windows"):
            loop.health()
        loop.wake.set()
        await asyncio.wait_for(passes.done.wait(), 60)
        assert loop.health() == "0 s ago"
        task.cancel()

    asyncio.run(go())

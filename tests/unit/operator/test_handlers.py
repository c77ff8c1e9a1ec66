"""What wakes the loop; and the probe, which fails once the loop has ended or is stuck."""

import asyncio
import time
from typing import Any

import kopf
import pytest

from dueby_operator.handlers import STUCK_S, LoopTask
from support.decisions import SETTINGS


async def ends() -> None:
    """A loop that is over at once."""


def health(*, is_over: bool = False, silent_s: float = 0.0) -> str:
    async def go() -> str:
        loop = LoopTask(SETTINGS, lease=None)
        loop.last_good_s = time.monotonic() - silent_s
        loop.task = asyncio.create_task(ends() if is_over else asyncio.sleep(3600))
        if is_over:
            await loop.task
        try:
            return loop.health()
        finally:
            loop.task.cancel()

    return asyncio.run(go())


def test_a_loop_that_reconciles_is_well() -> None:
    assert health(silent_s=3) == "3 s ago"


def test_a_loop_that_has_ended_is_not() -> None:
    with pytest.raises(kopf.PermanentError, match="The control loop has ended"):
        health(is_over=True)


def test_nor_is_one_that_is_stuck() -> None:
    with pytest.raises(kopf.PermanentError, match="No successful reconcile pass for"):
        health(silent_s=STUCK_S + 1)


def test_a_job_that_comes_is_edited_or_goes_wakes_the_loop_and_a_status_does_not() -> None:
    loop = LoopTask(SETTINGS, lease=None)

    def is_woken(kind: str | None, **change: Any) -> bool:
        loop.wake.clear()
        loop.on_job_event(kind, {"metadata": {"uid": "u", "generation": 1, **change}, "status": {"phase": "Running"}})
        return loop.wake.is_set()

    assert [is_woken(None), is_woken("MODIFIED"), is_woken("MODIFIED", generation=2)] == [True, False, True]
    assert [is_woken("MODIFIED", generation=2, deletionTimestamp="now"), is_woken("DELETED")] == [True, True]
    assert is_woken("ADDED")

"""The probe: it fails once the loop has ended or is stuck, so that the kubelet starts the operator anew."""

import asyncio
import time

import kopf
import pytest

from builders_case import SETTING
from dueby.operator.cluster.handlers import STUCK_S, Watch


async def ends() -> None:
    """A loop that is over at once."""


def health(*, is_over: bool = False, silent_s: float = 0.0) -> str:
    async def go() -> str:
        watch = Watch(SETTING, lease=None)
        watch.last_good_s = time.monotonic() - silent_s
        watch.task = asyncio.create_task(ends() if is_over else asyncio.sleep(3600))
        if is_over:
            await watch.task
        try:
            return watch.health()
        finally:
            watch.task.cancel()

    return asyncio.run(go())


def test_a_loop_that_looks_is_well() -> None:
    assert health(silent_s=3) == "3 s ago"


def test_a_loop_that_has_ended_is_not() -> None:
    with pytest.raises(kopf.PermanentError, match="the loop has ended"):
        health(is_over=True)


def test_nor_is_one_that_is_stuck() -> None:
    with pytest.raises(kopf.PermanentError, match="no look went well for"):
        health(silent_s=STUCK_S + 1)

"""Which tests of this run have ended, in whichever process: a file for each, and what waits for them."""

import hashlib
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from support.lanes import UNDISTURBED, goes_first
from support.shared_run import RUN

MAX_WAIT_S = 3600.0


def mark_ended(item: pytest.Item) -> None:
    """Note that the test has ended."""
    _mark_of(item).parent.mkdir(exist_ok=True)
    _mark_of(item).touch()


def all_ended(items: Iterable[pytest.Item]) -> bool:
    """Return whether all these tests have ended."""
    return all(_mark_of(item).exists() for item in items)


def wait_for_others(item: pytest.Item) -> None:
    """Wait until those tests have ended that an undisturbed one must not run beside."""
    if item.path.parent.name != UNDISTURBED:
        return
    left = [other for other in item.session.items if goes_first(other.path, item.path)]
    give_up = time.monotonic() + MAX_WAIT_S
    while left := [other for other in left if not _mark_of(other).exists()]:
        assert time.monotonic() < give_up, f"after {MAX_WAIT_S:.0f} s these have not ended: {left}"
        time.sleep(0.5)


def _mark_of(item: pytest.Item) -> Path:
    return RUN / "ended" / hashlib.sha256(item.nodeid.encode()).hexdigest()

"""Tests that measure this machine within a time: they wait until all others have ended, on whichever worker."""

import pytest

from support.ended import wait_until_ended
from support.lanes import INTEGRATION, UNDISTURBED


@pytest.fixture(scope="session", autouse=True)
def _after_all_others(request: pytest.FixtureRequest) -> None:
    folder = INTEGRATION / UNDISTURBED
    wait_until_ended(item for item in request.session.items if not item.path.is_relative_to(folder))

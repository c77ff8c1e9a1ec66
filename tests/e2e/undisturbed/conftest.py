"""Tests that stop something for everybody, or that others disturb: they wait for all other end-to-end tests."""

import pytest

from support.ended import wait_until_ended
from support.lanes import E2E, UNDISTURBED


@pytest.fixture(scope="session", autouse=True)
def _after_all_others(request: pytest.FixtureRequest) -> None:
    wait_until_ended(
        item
        for item in request.session.items
        if item.path.is_relative_to(E2E) and not item.path.is_relative_to(E2E / UNDISTURBED)
    )

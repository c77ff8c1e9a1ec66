"""The sample runs that several tests of the report read."""

import pytest

from support.report import catalog_run, small_run
from support.simulation import SampleRun


@pytest.fixture(scope="session")
def catalog() -> SampleRun:
    """Eight workers, one of which is lost and replaced."""
    return catalog_run()


@pytest.fixture(scope="session")
def small() -> SampleRun:
    """Two workers, to which nothing happens."""
    return small_run()

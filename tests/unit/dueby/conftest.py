"""The command that several tests of `dueby plan` call, and the sample runs that those of the report read."""

from pathlib import Path

import pytest

from support.plan_command import Plan, plan_command
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


@pytest.fixture
def plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Plan:
    """`dueby plan` on a job with these fields; by default there are eight A100."""
    return plan_command(tmp_path, capsys)

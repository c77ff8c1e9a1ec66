"""The command that several tests of `dueby plan` call."""

from pathlib import Path

import pytest

from support.plan_command import Plan, plan_command


@pytest.fixture
def plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Plan:
    """`dueby plan` on a job with these fields; by default there are eight A100."""
    return plan_command(tmp_path, capsys)

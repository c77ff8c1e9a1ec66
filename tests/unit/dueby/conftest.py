"""The command that tests of `dueby plan` call, the sample runs that those of the report read, and an API server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.plan_command import Plan, plan_command
from support.report import catalog_run, small_run
from support.simulation import SampleRun
from support.small_api_server import SmallAPIServer, serving_api


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


@pytest.fixture
def api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallAPIServer]:
    """The cluster of the kubeconfig."""
    with serving_api() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        yield server

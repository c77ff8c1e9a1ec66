"""One namespace's jobs, whatever they ask for, cost no other namespace its devices or what it is promised."""

from typing import Any

import pytest

from dueby_operator.model.job_snapshot import JobSnapshot
from support.decisions import cluster, indexed, infj, job, look_at, node

NODES = {name: node(name, cpus=60) for name in "abcd"}
TEAMS = 25


def made(namespace: str, name: str, requests: dict[str, str], **spec: Any) -> JobSnapshot:
    metadata = {"name": name, "namespace": namespace, "uid": f"u-{namespace}-{name}"}
    return job(infj(status=indexed(), metadata=metadata, worker={"resources": {"requests": requests}}, **spec))


def phases(*crowd: JobSnapshot) -> list[str]:
    """What becomes of Hard jobs of 25 teams beside the crowd."""
    teams = [
        made(f"team-{k}", "job", {"cpu": f"{500 + 20 * k}m"}, deadlineClass="Hard", deadline="100s")
        for k in range(TEAMS)
    ]
    found = look_at(cluster(*teams, *crowd, nodes=NODES))
    return [each.status.phase for each in found if each.decision.job.namespace.startswith("team")]


def crowd(*, least_cpus: int) -> list[JobSnapshot]:
    """Jobs of one namespace that ask for anything from so many cores and 4 bytes on."""
    sizes = [(2.0**cpus, 2.0**size) for cpus in range(least_cpus, 60, 10) for size in range(2, 60, 10)]
    asked = [{"cpu": str(cpus), "memory": str(size)} for cpus, size in sizes]
    return [made("crowd", f"j{k}", each, deadlineClass="BestEffort", deadline="100s") for k, each in enumerate(asked)]


def test_jobs_that_fit_no_node_change_nothing_for_others() -> None:
    assert phases(*crowd(least_cpus=11)) == phases() == ["Starting"] * TEAMS


@pytest.mark.parametrize("least_cpus", [-9, -4])
def test_every_job_has_its_devices_beside_jobs_that_ask_for_anything(least_cpus: int) -> None:
    assert phases(*crowd(least_cpus=least_cpus)) == ["Starting"] * TEAMS

"""The chart upgraded, rolled back, uninstalled and installed again while a job runs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.kind.chart import WITHOUT_GPUS
from support.kind.cluster import CHART, OPERATOR_NAMESPACE, Cluster
from support.kind.cluster_job import condition, indices_of, share_folder, slow_job

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
DASHBOARD = CHART / "files" / "dashboards" / "dueby.json"
# Work for one slice that takes longer than all that is done to the release meanwhile.
MANY = 12_000
NAME = "running"


@dataclass(frozen=True, kw_only=True)
class RunningJob:
    """A job whose workers are at work from the first of these tests to the end of the last."""

    folder: Path
    workers: dict[str, str]


@pytest.fixture(scope="module")
def running(cluster: Cluster) -> RunningJob:
    """Start a slow job, and return it once it runs."""
    folder = share_folder(cluster, NAME)
    cluster.apply(slow_job(cluster, NAME, images=MANY, source={"synthetic": {}}))
    cluster.wait_for_phase(NAME, "Running")
    return RunningJob(folder=folder, workers=workers_of(cluster, NAME))


@pytest.fixture(scope="module")
def restored(cluster: Cluster) -> Iterator[None]:
    """Whatever these tests do to the release, the others find it as it was."""
    yield
    cluster.install()


def workers_of(cluster: Cluster, name: str) -> dict[str, str]:
    """The phases of the job's worker pods, by their uids."""
    pods = cluster.items("pods", f"dueby.dev/job={name},dueby.dev/step=work")
    return {pod["metadata"]["uid"]: pod["status"]["phase"] for pod in pods}


def page_listeners(cluster: Cluster) -> list[bool]:
    """Whether the calendar's page is on the operator's loopback, and on its pod's address."""
    connect = "print(socket.socket().connect_ex((host, 8082)) == 0)"
    program = f"import socket\nfor host in ('127.0.0.1', socket.gethostname()):\n    {connect}"
    operator = ("exec", "--namespace", OPERATOR_NAMESPACE, "deployment/dueby-operator", "--")
    return [word == "True" for word in cluster.kubectl(*operator, "python", "-c", program).split()]


def test_an_upgrade_and_a_rollback_leave_a_running_job_alone(
    cluster: Cluster, running: RunningJob, restored: None
) -> None:
    assert page_listeners(cluster) == [True, False]
    other = {"podAnnotations.note": "upgraded", "worker.memory": "1100Mi", "calendarPage.enabled": "false"}
    cluster.install(**other, **{"dashboard.enabled": "true"})
    assert page_listeners(cluster) == [False, False]
    operator = cluster.get("deployment", "dueby-operator", namespace=OPERATOR_NAMESPACE)["spec"]["template"]
    assert operator["metadata"]["annotations"] == {"note": "upgraded"}
    assert workers_of(cluster, NAME) == running.workers, "still at work"
    (shown,) = cluster.items("configmaps", "grafana_dashboard=1", namespace=OPERATOR_NAMESPACE)
    assert json.loads(shown["data"]["dueby.json"]) == json.loads(DASHBOARD.read_text())

    cluster.helm("rollback", "dueby", "--wait", "--timeout", "180s")
    operator = cluster.get("deployment", "dueby-operator", namespace=OPERATOR_NAMESPACE)["spec"]["template"]
    assert "note" not in operator["metadata"].get("annotations", {})
    assert f"--worker-memory={WITHOUT_GPUS['worker']['memory']}" in operator["spec"]["containers"][0]["args"]
    assert not cluster.items("configmaps", "grafana_dashboard=1", namespace=OPERATOR_NAMESPACE)

    assert workers_of(cluster, NAME) == running.workers, "still at work"


def test_uninstalled_it_keeps_definitions_and_jobs_and_installed_again_goes_on(
    cluster: Cluster, running: RunningJob, restored: None
) -> None:
    cluster.helm("uninstall", "dueby", "--wait")
    kept = cluster.kubectl("get", "crds", "-o", "name").split()
    assert {
        f"customresourcedefinition.apiextensions.k8s.io/{kind}.dueby.dev" for kind in ("gpuprofiles", "inferencejobs")
    } <= set(kept)
    for kinds in ("deployments,services,configmaps,leases", "clusterroles,validatingadmissionpolicies"):
        assert not cluster.items(kinds, "app.kubernetes.io/instance=dueby", namespace=OPERATOR_NAMESPACE)
    assert workers_of(cluster, NAME) == running.workers, "still at work"

    cluster.install()
    done = cluster.wait_for_phase(NAME, "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert condition(done, "Complete")["reason"] == "EveryImageHasARow"
    assert workers_of(cluster, NAME).keys() == running.workers.keys()
    assert indices_of(running.folder / "rows") == list(range(MANY))

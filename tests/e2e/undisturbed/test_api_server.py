"""The API server is away for longer than the operator's Lease while a job runs, and comes back; or its etcd is slow."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from support.kind.audit import is_list_of_jobs, is_write, requests_of, seconds_of
from support.kind.cluster import OPERATOR_NAMESPACE, Cluster, call
from support.kind.cluster_job import indices_of, job, share_photos, workers_of
from support.lanes import CONTROL_PLANE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200, func_only=True)]
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
ASIDE = "/root/kube-apiserver.yaml"
# From the first answer of an API server to the first pass: seconds, on a busy machine.
BACK_S = 45.0
# For so long etcd is stopped, and then goes on: a request to it takes seconds, and the operator's may take ten.
STOPPED_S, GOING_S = 2.0, 0.3
# Each thing that fails, such as a watch, is reported so often at most: when it begins, and when the server comes back.
MOST_TIMES = 3
TOLD = ("the API server does not answer", "the API server answers again after", "stopped: the Lease")


@contextmanager
def api_server_away() -> Iterator[None]:
    """Stop it at once; afterwards have kubelet start it."""
    call("docker", "exec", CONTROL_PLANE, "sh", "-c", f"mv {MANIFEST} {ASIDE}; pkill -9 kube-apiserver; true")
    try:
        yield
    finally:
        call("docker", "exec", CONTROL_PLANE, "mv", ASIDE, MANIFEST)


@contextmanager
def slow_etcd() -> Iterator[None]:
    """Stop it again and again, as a disk does that is too slow for it."""
    script = f"while :; do pkill -STOP -x etcd; sleep {STOPPED_S}; pkill -CONT -x etcd; sleep {GOING_S}; done"
    call("docker", "exec", "--detach", CONTROL_PLANE, "bash", "-c", f"exec -a slow-etcd bash -c '{script}'")
    try:
        yield
    finally:
        call("docker", "exec", CONTROL_PLANE, "bash", "-c", "pkill -f [s]low-etcd; pkill -CONT -x etcd")


def logged(pod: str) -> list[str]:
    """What the operator has logged, by kubelet's file: there is no API server to ask for it."""
    files = f"/var/log/pods/{OPERATOR_NAMESPACE}_{pod}_*/operator/*.log"
    return call("docker", "exec", CONTROL_PLANE, "sh", "-c", f"cat {files}").splitlines()


def operator_pod(cluster: Cluster) -> dict[str, Any]:
    (pod,) = cluster.items("pods", "app.kubernetes.io/name=dueby", namespace=OPERATOR_NAMESPACE)
    return pod


# So long after the Lease was lost.
@pytest.mark.parametrize("seconds", [0, pytest.param(300, marks=pytest.mark.deep)])
def test_the_api_server_is_away_for_longer_than_the_lease_and_the_same_operator_goes_on(
    cluster: Cluster, seconds: int
) -> None:
    name = f"restarted-{seconds}"
    folder = share_photos(cluster, name, 3000)
    cluster.apply(job(cluster, name))
    cluster.wait_for_phase(name, "Running")
    before, workers = operator_pod(cluster), workers_of(cluster, name)
    operator = before["metadata"]["name"]
    lines = len(logged(operator))
    with api_server_away():
        cluster.wait(
            lambda: any("stopped: the Lease" in line for line in logged(operator)[lines:]), "it has lost its Lease"
        )
        time.sleep(seconds)  # it is the length of the outage that is tried
    cluster.wait(lambda: cluster.attempt("get", "--raw", "/readyz")[0], "the API server is back")
    ready, ready_s = datetime.now(UTC), time.monotonic()
    cluster.wait(lambda: any(map(is_list_of_jobs, requests_of(cluster, operator, since=ready))), "the loop is back")
    assert time.monotonic() - ready_s < BACK_S
    done = cluster.wait_for_phase(name, "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(3000))
    assert workers_of(cluster, name) >= workers
    after = operator_pod(cluster)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    restarts = [pod["status"]["containerStatuses"][0]["restartCount"] for pod in (before, after)]
    assert restarts[0] == restarts[1]
    of_outage = logged(operator)[lines:]
    # A server that starts may fail once more after its first answers.
    assert all(sum(told in line for line in of_outage) in (1, 2) for told in TOLD), of_outage
    # Until it knows the roles again it refuses everybody, of which each watch tells at each of its tries.
    others = [line for line in of_outage if " forbidden: " not in line and "cannot watch" not in line]
    told = Counter(found[1] for line in others if (found := re.search(r" (?:WARNING|ERROR) ([^:]+)", line)))
    assert max(told.values()) <= MOST_TIMES, told
    assert not [line for line in of_outage if "Traceback" in line], of_outage


@pytest.mark.deep
def test_an_operator_whose_etcd_takes_seconds_for_each_write_does_its_work(cluster: Cluster) -> None:
    folder = share_photos(cluster, "slow-etcd", 3000)
    before, began = operator_pod(cluster), datetime.now(UTC)
    with slow_etcd():
        cluster.apply(job(cluster, "slow-etcd", deadline="20m"))
        done = cluster.wait_for_phase("slow-etcd", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(3000))
    assert not cluster.items("jobs", "dueby.dev/job=slow-etcd,dueby.dev/revision=2")
    writes = filter(is_write, requests_of(cluster, before["metadata"]["name"], since=began))
    assert max(map(seconds_of, writes)) > STOPPED_S / 2, "it was slow"
    after = operator_pod(cluster)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    restarts = [pod["status"]["containerStatuses"][0]["restartCount"] for pod in (before, after)]
    assert restarts[0] == restarts[1]
    assert not [line for line in logged(after["metadata"]["name"]) if "Traceback" in line]

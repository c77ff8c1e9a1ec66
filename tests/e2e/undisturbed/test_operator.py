"""The operator is killed, and there are two, one of which stands still. All others' jobs would miss it meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

import pytest

from support.kind.audit import is_write, requests_of
from support.kind.cluster import OPERATOR_NAMESPACE, Cluster, call
from support.kind.cluster_job import indices_of, job, share_photos, workers_of
from support.lanes import CONTROL_PLANE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
OURS = ("-n", OPERATOR_NAMESPACE)


def test_an_operator_that_is_killed_again_and_again_while_it_applies_does_everything_once(cluster: Cluster) -> None:
    folder = share_photos(cluster, "applied", 2000)
    cluster.apply(job(cluster, "applied"))
    for step in ("index", "work"):
        cluster.wait(partial(cluster.items, "jobs", f"dueby.dev/job=applied,dueby.dev/step={step}"), f"the {step} Job")
        cluster.kill_operator()
    done = cluster.wait_for_phase("applied", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    (work,) = cluster.items("jobs", "dueby.dev/job=applied,dueby.dev/step=work")
    assert work["metadata"]["labels"]["dueby.dev/revision"] == "1"
    assert indices_of(folder / "rows") == list(range(2000))


@pytest.mark.deep
def test_what_is_lost_while_there_is_no_operator_is_done_again(cluster: Cluster) -> None:
    folder = share_photos(cluster, "drained", 3000)
    document = job(cluster, "drained", deadline="30m")
    document["spec"]["worker"]["nodeSelector"] = {**cluster.node_selector, "dueby.test/late": "yes"}
    cluster.apply(document)
    index = partial(cluster.items, "jobs", "dueby.dev/job=drained,dueby.dev/step=index")
    cluster.wait(index, "the step waits for a node")
    scale(cluster, 0)
    cluster.kubectl("label", "node", cluster.nodes[0], "dueby.test/late=yes")
    try:
        cluster.wait(lambda: index()[0].get("status", {}).get("succeeded"), "the source is listed")
        cluster.kubectl("delete", "pod", "-l", "dueby.dev/job=drained")
        scale(cluster, 1)
        cluster.wait_for_phase("drained", "Running")
        assert index()[0]["metadata"]["annotations"]["dueby.dev/attempt"] == "2"
        cluster.kubectl("delete", "configmap", "-l", "dueby.dev/job=drained,dueby.dev/step=work")
        cluster.kill_operator()
        done = cluster.wait_for_phase("drained", "Succeeded", "Failed")
    finally:
        cluster.kubectl("label", "node", cluster.nodes[0], "dueby.test/late-")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    (work,) = cluster.items("jobs", "dueby.dev/job=drained,dueby.dev/step=work")
    assert work["metadata"]["labels"]["dueby.dev/revision"] == "2"
    assert indices_of(folder / "rows") == list(range(3000))


def scale(cluster: Cluster, operators: int) -> None:
    deployment = ("-n", OPERATOR_NAMESPACE, "deployment/dueby-operator")
    cluster.kubectl("scale", f"--replicas={operators}", *deployment)
    cluster.kubectl("rollout", "status", *deployment, "--timeout=120s")


@pytest.mark.deep
def test_an_operator_that_is_stopped_loses_the_lease_to_the_second_and_wakes_without_a_write(cluster: Cluster) -> None:
    folder = share_photos(cluster, "stopped", 3000)
    first = cluster.wait(lambda: holder(cluster), "somebody holds the Lease")
    cluster.kubectl("scale", *OURS, "deployment", "dueby-operator", "--replicas=2")
    (other,) = cluster.wait(lambda: [pod for pod in operators(cluster) if pod != first], "there is a second operator")
    cluster.wait(
        lambda: "the Lease is held by" in cluster.attempt("logs", *OURS, other)[1],
        "the second one says whom it waits for",
    )
    assert holder(cluster) == first
    cluster.apply(job(cluster, "stopped"))
    cluster.wait_for_phase("stopped", "Running")
    workers = workers_of(cluster, "stopped")
    with stopped(first):
        cluster.wait(lambda: holder(cluster) == other, "the second one has the Lease")
        taken = datetime.now(UTC)
    cluster.wait(lambda: "stopped: the Lease" in cluster.attempt("logs", *OURS, first)[1], "the first one has woken")
    done = cluster.wait_for_phase("stopped", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(3000))
    assert workers_of(cluster, "stopped") >= workers
    assert not list(filter(is_write, requests_of(cluster, first, since=taken)))
    assert list(filter(is_write, requests_of(cluster, other, since=taken)))
    cluster.kubectl("delete", *OURS, "pod", other, "--wait=false")
    cluster.wait(lambda: holder(cluster) not in ("", other), "the Lease has moved")
    cluster.kubectl("scale", *OURS, "deployment", "dueby-operator", "--replicas=1")
    cluster.kubectl("rollout", "status", *OURS, "deployment/dueby-operator", "--timeout=120s")


def holder(cluster: Cluster) -> str:
    """The pod that holds the Lease."""
    lease = cluster.get("lease", "dueby-operator", namespace=OPERATOR_NAMESPACE)
    return str(lease["spec"]["holderIdentity"]).partition("_")[0]


@contextmanager
def stopped(pod: str) -> Iterator[None]:
    """Stop the operator in this pod, as a machine that is frozen does, and let it go on."""
    found = f"for p in /proc/[0-9]*; do grep -qz ^HOSTNAME={pod}$ $p/environ && grep -q dueby_operator $p/cmdline"
    pid = call("docker", "exec", CONTROL_PLANE, "sh", "-c", f"{found} && echo ${{p#/proc/}}; done; true").strip()
    assert pid.isdecimal(), pid
    call("docker", "exec", CONTROL_PLANE, "kill", "-STOP", pid)
    try:
        yield
    finally:
        call("docker", "exec", CONTROL_PLANE, "kill", "-CONT", pid)


def operators(cluster: Cluster) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in cluster.items("pods", "app.kubernetes.io/name=dueby", namespace=OPERATOR_NAMESPACE)
    ]

"""The operator is killed, and there are two. Meanwhile it misses what lasts for seconds in the jobs of others."""

from functools import partial

import pytest

from support.cluster import OPERATOR_NAMESPACE, Cluster
from support.cluster_job import indices_of, job, share_photos

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]


def test_a_killed_operator_goes_on_and_a_killed_worker_is_replaced(cluster: Cluster) -> None:
    folder = share_photos(cluster, "killed", 3000)
    cluster.apply(job(cluster, "killed"))
    cluster.wait_for_phase("killed", "Running")
    cluster.kill_operator()
    cluster.kubectl("delete", "pod", "-l", "dueby.dev/step=work", "--force", "--grace-period=0")
    done = cluster.wait_for_phase("killed", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(3000))


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


def test_of_two_operators_the_second_waits_for_the_lease(cluster: Cluster) -> None:
    def holder() -> str:
        return str(cluster.get("lease", "dueby-operator", namespace=OPERATOR_NAMESPACE)["spec"]["holderIdentity"])

    ours = ("-n", OPERATOR_NAMESPACE)
    first = cluster.wait(holder, "somebody holds the Lease")
    cluster.kubectl("scale", *ours, "deployment", "dueby-operator", "--replicas=2")
    (other,) = cluster.wait(
        lambda: [pod for pod in operators(cluster) if not first.startswith(pod)], "there is a second operator"
    )
    cluster.wait(
        lambda: "the Lease is held by" in cluster.attempt("logs", *ours, other)[1],
        "the second one says whom it waits for",
    )
    assert holder() == first
    cluster.kubectl("delete", *ours, "pod", first.partition("_")[0], "--wait=false")
    cluster.wait(lambda: holder().partition("_")[0] not in ("", first.partition("_")[0]), "the Lease has moved")
    cluster.kubectl("scale", *ours, "deployment", "dueby-operator", "--replicas=1")
    cluster.kubectl("rollout", "status", *ours, "deployment/dueby-operator", "--timeout=120s")


def operators(cluster: Cluster) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in cluster.items("pods", "app.kubernetes.io/name=dueby", namespace=OPERATOR_NAMESPACE)
    ]

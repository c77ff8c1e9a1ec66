"""What goes wrong in clusters: a node dies, no node takes a pod, a quota is full, an image or a volume isn't there."""

from datetime import datetime
from functools import partial
from typing import Any

import pytest

from support.cluster import CONTROL_PLANE, WORKER_NODES, Cluster, call
from support.cluster_job import condition, indices_of, job, share_photos, wait_until_told
from support.run import MODEL, profile_document

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def ready(cluster: Cluster, node: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in cluster.get("node", node)["status"]["conditions"] if c["type"] == "Ready")
    return found


def test_a_workers_node_is_lost_and_help_comes_before_kubernetes_has_noticed(cluster: Cluster) -> None:
    folder = share_photos(cluster, "lost-node", 4000)
    cluster.apply(job("lost-node"))
    cluster.wait_for_phase("lost-node", "Running")
    (pod,) = cluster.items("pods", "dueby.dev/job=lost-node,dueby.dev/step=work")
    node = pod["spec"]["nodeName"]
    cluster.wait(lambda: list((folder / "rows").glob("part-*.parquet")), "a part is there")
    call("docker", "kill", node)
    try:
        replans = cluster.wait(lambda: cluster.get("infj", "lost-node")["status"].get("replans"), "it was re-planned")
        assert [entry["reason"] for entry in replans] == ["WorkerLost"]
        helpers = cluster.items("pods", "dueby.dev/job=lost-node,dueby.dev/revision=2")
        cluster.wait_for_phase("lost-node", "Succeeded", "Failed")
        assert {pod["spec"]["nodeName"] for pod in helpers} == {name for name in WORKER_NODES if name != node}
        assert indices_of(folder / "rows") == list(range(4000))
        cluster.wait(lambda: ready(cluster, node)["status"] != "True", "Kubernetes has noticed")
        assert moment(replans[0]["time"]) < moment(ready(cluster, node)["lastTransitionTime"])
    finally:
        call("docker", "start", node)
        cluster.wait(lambda: ready(cluster, node)["status"] == "True", "the node is back")


def test_the_api_server_is_restarted_and_the_job_goes_on(cluster: Cluster) -> None:
    folder = share_photos(cluster, "restarted", 3000)
    cluster.apply(job("restarted"))
    cluster.wait_for_phase("restarted", "Running")
    call("docker", "exec", CONTROL_PLANE, "pkill", "-9", "kube-apiserver")
    cluster.wait(lambda: cluster.attempt("get", "--raw", "/readyz")[0], "the API server is back")
    done = cluster.wait_for_phase("restarted", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(3000))


def test_an_operator_that_is_killed_again_and_again_while_it_applies_does_everything_once(cluster: Cluster) -> None:
    folder = share_photos(cluster, "applied", 2000)
    cluster.apply(job("applied"))
    for step in ("index", "work"):
        cluster.wait(partial(cluster.items, "jobs", f"dueby.dev/job=applied,dueby.dev/step={step}"), f"the {step} Job")
        cluster.kubectl("delete", "pod", "-l", "app.kubernetes.io/name=dueby", "--force", "--grace-period=0")
    done = cluster.wait_for_phase("applied", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    (work,) = cluster.items("jobs", "dueby.dev/job=applied,dueby.dev/step=work")
    assert work["metadata"]["labels"]["dueby.dev/revision"] == "1"
    assert indices_of(folder / "rows") == list(range(2000))


def test_a_volume_that_is_not_there_is_said_in_the_schedulers_words(cluster: Cluster) -> None:
    document = job("no-volume")
    document["spec"]["worker"]["volumes"] = [{"name": "shared", "persistentVolumeClaim": {"claimName": "nowhere"}}]
    cluster.apply(document)
    wait_until_told(cluster, "no-volume", "Indexed", 'persistentvolumeclaim "nowhere" not found')
    cluster.kubectl("delete", "infj", "no-volume")


def test_an_image_that_is_not_there_is_said_in_the_kubelets_words(cluster: Cluster) -> None:
    document = job("no-image")
    document["spec"]["worker"]["image"] = "nowhere.invalid/worker:1"
    cluster.apply(document)
    wait_until_told(cluster, "no-image", "Indexed", "nowhere.invalid/worker:1")
    cluster.kubectl("delete", "infj", "no-image")


def test_a_template_that_the_api_server_refuses_fails_the_job_with_the_field(cluster: Cluster) -> None:
    share_photos(cluster, "bad-template", 1)
    document = job("bad-template")
    document["spec"]["worker"]["env"] = [{"name": "not a name!", "valeu": "typo"}]
    cluster.apply(document)
    failed = condition(cluster.wait_for_phase("bad-template", "Failed"), "Failed")
    assert failed["reason"] == "InvalidTemplate"
    assert "valeu" in failed["message"]
    assert not cluster.items("jobs,configmaps", "dueby.dev/job=bad-template")


def test_a_quota_without_room_is_waited_for_and_respected(cluster: Cluster) -> None:
    folder = share_photos(cluster, "quota", 300)
    cluster.kubectl("create", "namespace", "team")
    cluster.kubectl("create", "quota", "small", "-n", "team", "--hard=requests.cpu=500m")
    document = job("quota", deadline="30m")
    document["metadata"]["namespace"] = "team"
    cluster.apply(document)
    wait_until_told(cluster, "quota", "Feasible", "ResourceQuota", reason="Waiting", namespace="team")
    assert not cluster.items("jobs", "dueby.dev/step=work", namespace="team")
    patch = '{"spec":{"hard":{"requests.cpu":"1"}}}'
    cluster.kubectl("patch", "quota", "small", "-n", "team", "--type=merge", "-p", patch)
    done = cluster.wait_for_phase("quota", "Succeeded", "Failed", namespace="team")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(300))
    cluster.kubectl("delete", "namespace", "team", "--wait=false")


def test_a_pod_that_no_node_takes_is_planned_without(cluster: Cluster) -> None:
    """A claim that is bound to one node: the inventory counts the other node's core, the scheduler knows better."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "one-node", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    profile = profile_document(latency_us=5_000)
    profile["metadata"]["name"] = "hasty"
    profile["spec"]["model"]["imageSize"] = 32
    # More than one core does in ten minutes, even by a profile that no core of ours keeps up with.
    document = job("one-node", images=1_000_000, source={"synthetic": {}}, model={**MODEL, "imageSize": 32})
    document["spec"]["worker"]["volumes"] = [{"name": "shared", "persistentVolumeClaim": {"claimName": "one-node"}}]
    cluster.apply(claim, profile, document)
    wait_until_told(cluster, "one-node", "Admitted", "1 workers are on no node", reason="Unschedulable")
    wait_until_told(cluster, "one-node", "OnTrack", reason="Late")
    assert cluster.get("infj", "one-node")["status"]["plan"]["gpus"] == 2
    cluster.kubectl("delete", "infj/one-node", "gprof/hasty")
    cluster.kubectl("delete", "pvc", "one-node", "--wait=false")


def test_of_two_operators_the_second_waits_for_the_lease(cluster: Cluster) -> None:
    def holder() -> str:
        return str(cluster.get("lease", "dueby-operator")["spec"]["holderIdentity"])

    first = cluster.wait(holder, "somebody holds the Lease")
    cluster.kubectl("scale", "deployment", "dueby-operator", "--replicas=2")
    (other,) = cluster.wait(
        lambda: [pod for pod in operators(cluster) if not first.startswith(pod)], "there is a second operator"
    )
    cluster.wait(
        lambda: "the Lease is held by" in cluster.attempt("logs", other)[1], "the second one says whom it waits for"
    )
    assert holder() == first
    cluster.kubectl("delete", "pod", first.partition("_")[0], "--wait=false")
    cluster.wait(lambda: holder().partition("_")[0] not in ("", first.partition("_")[0]), "the Lease has moved")
    cluster.kubectl("scale", "deployment", "dueby-operator", "--replicas=1")
    cluster.kubectl("rollout", "status", "deployment/dueby-operator", "--timeout=120s")


def operators(cluster: Cluster) -> list[str]:
    return [pod["metadata"]["name"] for pod in cluster.items("pods", "app.kubernetes.io/name=dueby")]


def test_under_pod_security_restricted_everything_runs(cluster: Cluster) -> None:
    enforce = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("create", "namespace", "strict")
    cluster.kubectl("label", "namespace", "strict", enforce)
    metadata = {"name": "rows", "namespace": "strict"}
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    # An audience of its own, as a cloud's identity wants one: no right in Kubernetes goes with it.
    token = {"serviceAccountToken": {"audience": "cloud.test", "path": "token", "expirationSeconds": 3600}}
    document = job("strict", images=500, source={"synthetic": {"width": 100, "height": 80}})
    document["metadata"]["namespace"] = "strict"
    document["spec"]["worker"] = {
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": "rows"}},
            {"name": "cloud", "projected": {"sources": [token]}},
        ],
        "volumeMounts": [
            {"name": "shared", "mountPath": "/data"},
            {"name": "cloud", "mountPath": "/var/run/cloud", "readOnly": True},
        ],
    }
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": asked}, document)
    done = cluster.wait_for_phase("strict", "Succeeded", "Failed", namespace="strict")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    steps = {pod["metadata"]["labels"]["dueby.dev/step"] for pod in cluster.items("pods", "", namespace="strict")}
    assert steps == {"index", "work", "finish"}
    cluster.kubectl("delete", "namespace", "strict", "--wait=false")

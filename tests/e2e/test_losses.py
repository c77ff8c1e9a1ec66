"""What goes wrong in clusters: a node dies, no node takes a pod, a quota is full, an image or a volume isn't there.

And what people do to a job's objects: they edit the job, delete a ConfigMap, or have one of its names.
"""

from datetime import datetime
from typing import Any

import pyarrow.dataset as ds
import pytest

from dueby_api.inference_job import parse_job
from dueby_operator.jobs.manifests import Owner, step_job_name
from support.kind.cluster import Cluster, call
from support.kind.cluster_job import indices_of, job, parts_in, share_photos, slow_job, wait_until_told
from support.kind.lost_nodes import bring_back, ready
from support.run import write_photos

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_workers_node_is_lost_and_help_comes_before_kubernetes_has_noticed(cluster: Cluster) -> None:
    folder = share_photos(cluster, "lost-node", 4000)
    cluster.apply(slow_job(cluster, "lost-node"))
    cluster.wait_for_phase("lost-node", "Running")
    (pod,) = cluster.items("pods", "dueby.dev/job=lost-node,dueby.dev/step=work")
    node = pod["spec"]["nodeName"]
    cluster.wait(lambda: parts_in(folder / "rows"), "a part is there")
    call("docker", "kill", node)
    try:
        replans = cluster.wait(lambda: cluster.get("infj", "lost-node")["status"].get("replans"), "it was re-planned")
        assert [entry["reason"] for entry in replans] == ["WorkerLost"]
        cluster.wait_for_phase("lost-node", "Succeeded", "Failed")
        helpers = cluster.items("pods", "dueby.dev/job=lost-node,dueby.dev/revision=2")
        assert {pod["spec"]["nodeName"] for pod in helpers} == {name for name in cluster.nodes if name != node}
        assert indices_of(folder / "rows") == list(range(4000))
        cluster.wait(lambda: ready(cluster, node)["status"] != "True", "Kubernetes has noticed")
        assert moment(replans[0]["time"]) < moment(ready(cluster, node)["lastTransitionTime"])
    finally:
        bring_back(cluster, node)


def test_a_volume_that_is_not_there_is_said_in_the_schedulers_words(cluster: Cluster) -> None:
    document = job(cluster, "no-volume")
    document["spec"]["worker"]["volumes"] = [{"name": "shared", "persistentVolumeClaim": {"claimName": "nowhere"}}]
    cluster.apply(document)
    wait_until_told(cluster, "no-volume", "Indexed", 'persistentvolumeclaim "nowhere" not found')
    cluster.kubectl("delete", "infj", "no-volume")


def test_an_image_that_is_not_there_is_said_in_the_kubelets_words(cluster: Cluster) -> None:
    document = job(cluster, "no-image")
    document["spec"]["worker"]["image"] = "nowhere.invalid/worker:1"
    cluster.apply(document)
    wait_until_told(cluster, "no-image", "Indexed", "nowhere.invalid/worker:1")
    cluster.kubectl("delete", "infj", "no-image")


def test_an_edit_while_indexing_counts_and_neither_a_deleted_nor_a_planted_config_map_hangs_a_job(
    cluster: Cluster,
) -> None:
    folder = share_photos(cluster, "edited", 300)
    write_photos(folder / "other", 200)
    document = job(cluster, "edited", deadline="30m")
    # No node has the label yet, so the step waits.
    document["spec"]["worker"]["nodeSelector"] = {**cluster.node_selector, "dueby.test/late": "yes"}
    cluster.apply(document)
    wait_until_told(cluster, "edited", "Indexed", "didn't match")
    (before,) = index_jobs(cluster)
    # A patch with another uid is refused with these words, by which the operator knows it.
    other = '{"metadata":{"uid":"another"},"spec":{"parallelism":0}}'
    is_done, told = cluster.attempt("patch", "job", before, "--type=merge", "-p", other)
    assert (is_done, "metadata.uid" in told) == (False, True), told

    cluster.kubectl("patch", "infj", "edited", "--type=merge", "-p", '{"spec":{"source":{"uri":"/data/other"}}}')
    (after,) = cluster.wait(lambda: index_jobs(cluster).keys() - {before}, "there is another step")
    cluster.kubectl("delete", "configmap", after)
    taken = finish_name(cluster, "edited")
    cluster.apply(*planted(taken))
    cluster.kubectl("label", "node", cluster.nodes[0], "dueby.test/late=yes")
    try:
        cluster.wait(lambda: index_jobs(cluster) == {after: "2"}, "the step is done again")
        for kind in ("Job", "ConfigMap"):
            wait_until_told(cluster, "edited", "Admitted", f"{kind} {cluster.namespace}/{taken}", reason="NameTaken")
            assert not cluster.items("jobs", "dueby.dev/job=edited,dueby.dev/step=finish")
            cluster.kubectl("delete", kind.lower(), taken)
        done = cluster.wait_for_phase("edited", "Succeeded", "Failed")
    finally:
        cluster.kubectl("label", "node", cluster.nodes[0], "dueby.test/late-")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(200))
    rows = ds.dataset([str(part) for part in parts_in(folder / "rows")])
    assert all("/other/" in uri for uri in rows.to_table(columns=["uri"]).column("uri").to_pylist())


def planted(name: str) -> list[dict[str, Any]]:
    """A ConfigMap and a Job of somebody else with this name."""
    metadata = {"name": name}
    container = {"name": "c", "image": "nowhere.invalid/image:1"}
    spec = {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"config.json": "{}"}},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec},
    ]


def index_jobs(cluster: Cluster) -> dict[str, str]:
    """The index Jobs of `edited` by name, each with which attempt it is."""
    found = cluster.items("jobs", "dueby.dev/job=edited,dueby.dev/step=index")
    named = {each["metadata"]["name"]: each["metadata"].get("annotations", {}) for each in found}
    return {name: annotations.get("dueby.dev/attempt", "1") for name, annotations in named.items()}


def finish_name(cluster: Cluster, name: str) -> str:
    """The name that the job's finish step will have."""
    document = cluster.get("infj", name)
    owner = Owner(job=parse_job(document), namespace=cluster.namespace, uid=document["metadata"]["uid"])
    return step_job_name(owner, "finish")


def test_under_pod_security_restricted_everything_runs(cluster: Cluster) -> None:
    cluster.make_namespace("strict", **{"pod-security.kubernetes.io/enforce": "restricted"})
    metadata = {"name": "rows", "namespace": "strict"}
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    # An audience of its own, as a cloud's identity wants one: no right in Kubernetes goes with it.
    token = {"serviceAccountToken": {"audience": "cloud.test", "path": "token", "expirationSeconds": 3600}}
    document = job(cluster, "strict", images=500, source={"synthetic": {"width": 100, "height": 80}})
    document["metadata"]["namespace"] = "strict"
    document["spec"]["worker"] = {
        "nodeSelector": cluster.node_selector,
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

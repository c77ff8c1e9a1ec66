"""The example of a queue, with Kueue. While Kueue's webhooks are installed and don't answer yet, no Job can be made."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.kind.autoscaler import asking, measured, node_of_pool, pooled_job
from support.kind.cluster import POOL, POOL_CLASS, POOL_LABEL, Cluster
from support.kind.cluster_job import indices_of, share_folder, wait_for_end, wait_until_told
from support.kind.example_jobs import PHOTOS, claimed, example
from support.kind.gpus import GPU
from support.kind.images import WORKER_IMAGE
from support.kind.kind_cluster import load_image
from support.run import write_photos

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
# On a machine with internet it is pulled; elsewhere it is brought to the node that it is on.
IS_KUEUE_HERE = "KUEUE_CHART" in os.environ
KUEUE_CHART = os.environ.get("KUEUE_CHART", "oci://registry.k8s.io/kueue/charts/kueue")
KUEUE_IMAGE, KUEUE_VERSION = "registry.k8s.io/kueue/kueue", "v0.17.0"


@pytest.fixture(scope="module")
def photos(cluster: Cluster) -> Iterator[Path]:
    """The claim `photos`, with some in it."""
    with claimed(cluster, "photos") as folder:
        write_photos(folder / "photos", PHOTOS)
        yield folder


@pytest.fixture(scope="module")
def kueue(cluster: Cluster) -> Iterator[None]:
    """Kueue with a queue `night` whose quota is one worker, on cores or on a GPU of the pool that stands at zero."""
    node = cluster.nodes[0]
    if IS_KUEUE_HERE:
        load_image(f"{KUEUE_IMAGE}:{KUEUE_VERSION}", [node], shared=cluster.shared)
    prefix = "controllerManager.manager"
    settings = {
        "controllerManager.nodeSelector.kubernetes\\.io/hostname": node,
        f"{prefix}.image.repository": KUEUE_IMAGE,
        f"{prefix}.image.tag": KUEUE_VERSION,
        f"{prefix}.image.pullPolicy": "IfNotPresent",
        f"{prefix}.resources.requests.cpu": "50m",
    }
    options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    where = ["-n", "kueue-system", "--create-namespace", "--wait"]
    version = [] if IS_KUEUE_HERE else ["--version", KUEUE_VERSION.removeprefix("v")]
    cluster.helm("install", "kueue", KUEUE_CHART, *where, *version, *options)
    api = "kueue.x-k8s.io/v1beta2"
    quota = [{"name": "cpu", "nominalQuota": "1"}, {"name": "memory", "nominalQuota": "4Gi"}]
    groups = [
        {"coveredResources": ["cpu", "memory"], "flavors": [{"name": "any", "resources": quota}]},
        {"coveredResources": [GPU], "flavors": [{"name": "pool", "resources": [{"name": GPU, "nominalQuota": "1"}]}]},
    ]
    pool = {"metadata": {"name": "pool"}, "spec": {"nodeLabels": {POOL_LABEL: POOL}}}
    documents = [
        {"apiVersion": api, "kind": "ResourceFlavor", "metadata": {"name": "any"}},
        {"apiVersion": api, "kind": "ResourceFlavor", **pool},
        {
            "apiVersion": api,
            "kind": "ClusterQueue",
            "metadata": {"name": "all"},
            # In a cohort by itself, so that there is nothing to borrow.
            "spec": {"namespaceSelector": {}, "cohortName": "company", "resourceGroups": groups},
        },
        {
            "apiVersion": api,
            "kind": "LocalQueue",
            "metadata": {"name": "night"},
            "spec": {"clusterQueue": "all"},
        },
    ]
    text = yaml.safe_dump_all(documents)
    cluster.wait(lambda: cluster.attempt("apply", "-f", "-", stdin=text)[0], "Kueue's webhook answers")
    yield
    # In this order: Kueue keeps what is in use.
    cluster.kubectl("delete", "infj,jobs", "first", "queued-photos", "other", "queued-pool", "--ignore-not-found")
    cluster.kubectl("delete", "localqueue,clusterqueue,resourceflavor", "--all", "--timeout=60s")
    cluster.helm("uninstall", "kueue", "-n", "kueue-system", "--wait")


def work_jobs(cluster: Cluster) -> list[dict[str, Any]]:
    """The Jobs of the example's workers."""
    return cluster.items("jobs", "dueby.dev/job=queued-photos,dueby.dev/step=work")


@pytest.mark.usefixtures("kueue")
def test_kueue_two_jobs_share_its_quota_one_after_the_other(cluster: Cluster, photos: Path) -> None:
    first, second = example(cluster, "kueue"), example(cluster, "kueue")
    first["metadata"]["name"] = "first"
    first["spec"] |= {"images": 1_000_000, "source": {"synthetic": {}}, "sink": {"uri": "/data/first"}}
    cluster.apply(first)
    cluster.wait_for_phase("first", "Running")
    cluster.apply(second)
    wait_until_told(cluster, "queued-photos", "Feasible", "Starts at ", reason="Reserved")
    assert cluster.get("infj", "queued-photos")["status"]["phase"] == "Scheduled"
    assert cluster.get("infj", "first")["status"]["phase"] == "Running"
    assert not work_jobs(cluster)
    cluster.kubectl("delete", "infj", "first")
    assert cluster.wait_for_phase("queued-photos", "Succeeded", "Failed")["status"]["phase"] == "Succeeded"
    assert indices_of(photos / "queued-classified") == list(range(PHOTOS))
    cluster.kubectl("delete", "infj", "queued-photos")


@pytest.mark.usefixtures("kueue")
def test_kueue_a_job_waits_in_its_queue_for_what_others_use(cluster: Cluster, photos: Path) -> None:
    cluster.apply(somebody_elses_job(cluster))
    cluster.wait(lambda: cluster.get("job", "other").get("status", {}).get("active"), "the other Job is admitted")
    document = example(cluster, "kueue")
    document["spec"]["sink"]["uri"] = "/data/waited"
    cluster.apply(document)
    wait_until_told(cluster, "queued-photos", "Admitted", "waits in the queue night", reason="Queued")
    assert cluster.get("infj", "queued-photos")["status"]["phase"] == "Queued"
    (waiting,) = work_jobs(cluster)
    assert waiting["spec"]["suspend"] is True
    cluster.kubectl("delete", "job", "other")
    assert cluster.wait_for_phase("queued-photos", "Succeeded", "Failed")["status"]["phase"] == "Succeeded"
    assert indices_of(photos / "waited") == list(range(PHOTOS))
    cluster.kubectl("delete", "infj", "queued-photos")


@pytest.mark.usefixtures("kueue")
def test_kueue_a_job_asks_a_pool_at_zero_for_a_node_once_it_is_admitted(cluster: Cluster) -> None:
    folder = share_folder(cluster, "queued-pool")
    with measured(cluster, POOL_CLASS, 6_000_000):
        cluster.apply(pooled_job(cluster, "queued-pool", images=64, queueName="night"))
        told = wait_until_told(cluster, "queued-pool", "Feasible", f"of the pool {POOL}")
        assert told["status"] == "True", told
        cluster.wait(lambda: asking(cluster, "queued-pool"), "its worker asks for a node")
        (worker,) = cluster.items("jobs", "dueby.dev/job=queued-pool,dueby.dev/step=work")
        assert worker["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "night"
        with node_of_pool(cluster, cluster.nodes[0], POOL, POOL_CLASS, devices=2):
            done = wait_for_end(cluster, "queued-pool", folder / "rows")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(64))


def somebody_elses_job(cluster: Cluster) -> dict[str, Any]:
    """A Job that uses all of the quota until it is deleted."""
    container = {
        "name": "waits",
        "image": WORKER_IMAGE,
        "command": ["python", "-c", "import signal; signal.pause()"],
        "resources": {"requests": {"cpu": "1", "memory": "64Mi"}},
    }
    pod = {"restartPolicy": "Never", "nodeSelector": cluster.node_selector, "containers": [container]}
    metadata = {"name": "other", "labels": {"kueue.x-k8s.io/queue-name": "night"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": {"spec": pod}}}

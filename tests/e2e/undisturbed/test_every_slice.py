"""Jobs that want every slice of the two nodes.

A pod that is on no node counts against its class, whichever nodes it may be on: while the scheduler is at a pod of
another test, there is a slice less to plan with.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kind.cluster import Cluster
from support.kind.cluster_job import indices_of, job, wait_until_told
from support.kind.example_jobs import PHOTOS, example, run_example
from support.kind.model import MODEL, profile_document
from support.kind.s3_in_cluster import s3_credentials, start_s3
from support.run import write_photos

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
# Eight images a step are 16,000 a second, which no core of ours keeps up with. At that rate one core alone would do
# these in a little more than ten minutes.
HASTY_US, MANY = 500, 10_000_000


def test_a_pod_that_no_node_takes_is_planned_without(cluster: Cluster) -> None:
    """A claim that is bound to one node: the inventory counts the other node's core, the scheduler knows better."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "one-node"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    profile = profile_document(latency_us=HASTY_US)
    profile["metadata"]["name"] = "hasty-32"
    profile["spec"]["model"]["imageSize"] = 32
    document = job(cluster, "one-node", images=MANY, source={"synthetic": {}}, model={**MODEL, "imageSize": 32})
    document["spec"]["worker"]["volumes"] = [{"name": "shared", "persistentVolumeClaim": {"claimName": "one-node"}}]
    cluster.apply(claim, profile, document)
    wait_until_told(cluster, "one-node", "Admitted", "No node takes 1 worker", reason="Unschedulable")
    wait_until_told(cluster, "one-node", "OnTrack", reason="Late")
    assert cluster.get("infj", "one-node")["status"]["plan"]["gpus"] == 2
    cluster.kubectl("delete", "infj/one-node", "gprof/hasty-32")
    cluster.kubectl("delete", "pvc", "one-node", "--wait=false")


@pytest.fixture
def s3(cluster: Cluster) -> Iterator[Path]:
    """An S3 server in the cluster, the secret that leads to it, and the folder that has its buckets."""
    folder = cluster.shared / "s3"
    write_photos(folder / "shop" / "catalog" / "shoes", PHOTOS)
    (folder / "shop-classified").mkdir()
    cluster.apply(s3_credentials(cluster.namespace))
    start_s3(cluster, nodes=cluster.nodes, nodeSelector=cluster.node_selector)
    yield folder
    cluster.kubectl("delete", "pod/s3", "service/s3", "secret/s3-credentials", "--wait=false")


@pytest.mark.deep
def test_s3(cluster: Cluster, s3: Path) -> None:
    run_example(cluster, example(cluster, "s3"))
    assert indices_of(s3 / "shop-classified" / "catalog") == list(range(PHOTOS))
    assert (s3 / "shop-classified" / "catalog" / "_SUCCESS").exists()

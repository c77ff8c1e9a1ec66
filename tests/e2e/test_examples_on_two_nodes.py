"""The examples that ask for more than one device: GPUs of two classes, and one device in reserve."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cluster import SHARED, Cluster
from support.cluster_job import indices_of
from support.example_jobs import PHOTOS, claimed, example, run_example
from support.gpus import SMALL, fake_gpus
from support.kind_cluster import load_image
from support.run import write_photos

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
# On a machine with internet it is pulled; elsewhere it is brought to the nodes.
IS_S3_HERE = "DUEBY_S3_IMAGE" in os.environ
S3_IMAGE = os.environ.get("DUEBY_S3_IMAGE", "ghcr.io/versity/versitygw:v1.8.0")
S3_PORT, S3_KEYS = 7070, {"ROOT_ACCESS_KEY": "dueby", "ROOT_SECRET_KEY": "dueby-secret"}


@pytest.fixture
def gpus(cluster: Cluster) -> Iterator[None]:
    """Four of each class, which nothing but the scheduler and the operator believes in."""
    with fake_gpus(cluster, {"NVIDIA-A100-SXM4-40GB": 60_000_000, "NVIDIA-L4": 90_000_000}):
        yield


@pytest.mark.usefixtures("gpus")
def test_the_example_of_mixed_gpus(cluster: Cluster) -> None:
    document = example(cluster, "mixed-gpus")
    document["spec"]["worker"]["resources"] = SMALL
    with claimed(cluster, "photos") as folder:
        write_photos(folder / "photos", PHOTOS)
        status = run_example(cluster, document)
        groups = {group["deviceClass"] for group in status["plan"]["groups"]}
        assert groups <= set(document["spec"]["gpus"]["classes"])
        assert indices_of(folder / "mixed-classified") == list(range(PHOTOS))


@pytest.fixture
def s3(cluster: Cluster) -> Iterator[Path]:
    """An S3 server in the cluster, the secret that leads to it, and the folder that has its buckets."""
    folder = cluster.shared / "s3"
    write_photos(folder / "shop" / "catalog" / "shoes", PHOTOS)
    (folder / "shop-classified").mkdir()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    if IS_S3_HERE:
        load_image(S3_IMAGE, cluster.nodes)
    metadata, labels = {"name": "s3"}, {"app": "s3"}
    container = {
        "name": "s3",
        "image": S3_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--port", f":{S3_PORT}", "posix", "/data"],
        "env": [{"name": name, "value": value} for name, value in S3_KEYS.items()],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"tcpSocket": {"port": S3_PORT}, "periodSeconds": 1},
    }
    volume = {"name": "data", "hostPath": {"path": f"{SHARED}/s3"}}
    credentials = {
        "AWS_ACCESS_KEY_ID": S3_KEYS["ROOT_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": S3_KEYS["ROOT_SECRET_KEY"],
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://s3.{cluster.namespace}.svc:{S3_PORT}",
    }
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**metadata, "name": "s3-credentials"},
            "stringData": credentials,
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": S3_PORT}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**metadata, "labels": labels},
            "spec": {"nodeSelector": cluster.node_selector, "containers": [container], "volumes": [volume]},
        },
    )
    cluster.kubectl("wait", "pod/s3", "--for=condition=Ready", "--timeout=120s")
    yield folder
    cluster.kubectl("delete", "pod/s3", "service/s3", "secret/s3-credentials", "--wait=false")


def test_s3(cluster: Cluster, s3: Path) -> None:
    run_example(cluster, example(cluster, "s3"))
    assert indices_of(s3 / "shop-classified" / "catalog") == list(range(PHOTOS))
    assert (s3 / "shop-classified" / "catalog" / "_SUCCESS").exists()

"""Every manifest of examples/cluster is applied and does what its first lines say: on claims, on S3, in a queue.

As they are, but for the model, since its weights can't be fetched here; and for what says how large a worker is.
"""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import yaml

from support.cluster import REPOSITORY, SHARED, WORKER_NODES, Cluster, load_image
from support.cluster_job import indices_of, wait_until_told
from support.run import MODEL, write_photos

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
EXAMPLES = REPOSITORY / "examples" / "cluster"
PHOTOS = 120
# On a machine with internet both are pulled; elsewhere they are brought to the nodes.
IS_S3_HERE, IS_KUEUE_HERE = "DUEBY_S3_IMAGE" in os.environ, "KUEUE_CHART" in os.environ
S3_IMAGE = os.environ.get("DUEBY_S3_IMAGE", "ghcr.io/versity/versitygw:v1.8.0")
KUEUE_CHART = os.environ.get("KUEUE_CHART", "oci://registry.k8s.io/kueue/charts/kueue")
KUEUE_IMAGE, KUEUE_VERSION = "registry.k8s.io/kueue/kueue", "v0.17.0"
S3_PORT, S3_KEYS = 7070, {"ROOT_ACCESS_KEY": "dueby", "ROOT_SECRET_KEY": "dueby-secret"}


def example(name: str) -> dict[str, Any]:
    """The manifest, with a model that is there."""
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    document["spec"]["model"] = MODEL
    if isinstance(moment := document["spec"].get("deadlineTime"), datetime):  # which kubectl leaves as it is written
        document["spec"]["deadlineTime"] = moment.isoformat()
    return document


def claim(cluster: Cluster, name: str) -> Path:
    """A claim that every node can mount, on a folder that they share with this machine."""
    folder = cluster.shared / f"claim-{name}"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    access = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {**access, "capacity": {"storage": "1Gi"}, "hostPath": {"path": f"{SHARED}/{folder.name}"}},
    }
    asked = {**access, "volumeName": name, "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": name, "namespace": "default"}
    cluster.apply(volume, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": asked})
    return folder


@pytest.fixture(scope="module")
def photos(cluster: Cluster) -> Iterator[Path]:
    """The claim `photos`, with some in it."""
    folder = claim(cluster, "photos")
    write_photos(folder / "photos", PHOTOS)
    yield folder
    cluster.kubectl("delete", "pvc/photos", "pv/photos", "--wait=false")


@pytest.fixture(scope="module")
def rows(cluster: Cluster) -> Iterator[Path]:
    """The claim `rows`, empty."""
    yield claim(cluster, "rows")
    cluster.kubectl("delete", "pvc/rows", "pv/rows", "--wait=false")


def run(cluster: Cluster, document: dict[str, Any]) -> dict[str, Any]:
    """Its status at the end, which is to be a good one."""
    cluster.apply(document)
    name = document["metadata"]["name"]
    status: dict[str, Any] = cluster.wait_for_phase(name, "Succeeded", "Failed")["status"]
    assert status["phase"] == "Succeeded", status
    cluster.kubectl("delete", "infj", name)
    return status


def test_minimal(cluster: Cluster, photos: Path) -> None:
    run(cluster, example("minimal"))
    assert indices_of(photos / "photos-classified") == list(range(PHOTOS))


def test_synthetic(cluster: Cluster, rows: Path) -> None:
    status = run(cluster, example("synthetic"))
    assert status["progress"]["imagesDone"] == example("synthetic")["spec"]["images"]
    assert indices_of(rows) == list(range(20_000))


def test_pvc(cluster: Cluster, photos: Path, rows: Path) -> None:
    listed = ["uri", *(f"/photos/photos/{number:05d}.jpg" for number in range(0, PHOTOS, 2))]
    (photos / "list.csv").write_text("\n".join(listed) + "\n")
    run(cluster, example("pvc"))
    parts = [str(part) for part in (rows / "listed").glob("part-*.parquet")]
    found = ds.dataset(parts).to_table(columns=["uri", "error"]).to_pylist()
    assert sorted(row["uri"] for row in found) == [f"file://{path}" for path in listed[1:]]
    assert not any(row["error"] for row in found)


@pytest.fixture
def s3(cluster: Cluster) -> Iterator[Path]:
    """An S3 server in the cluster, the secret that leads to it, and the folder that has its buckets."""
    folder = cluster.shared / "s3"
    write_photos(folder / "shop" / "catalog" / "shoes", PHOTOS)
    (folder / "shop-classified").mkdir()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    if IS_S3_HERE:
        load_image(S3_IMAGE, *WORKER_NODES)
    metadata, labels = {"name": "s3", "namespace": "default"}, {"app": "s3"}
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
        "AWS_ENDPOINT_URL": f"http://s3.default.svc:{S3_PORT}",
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
            "spec": {"containers": [container], "volumes": [volume]},
        },
    )
    cluster.kubectl("wait", "pod/s3", "--for=condition=Ready", "--timeout=120s")
    yield folder
    cluster.kubectl("delete", "pod/s3", "service/s3", "secret/s3-credentials", "--wait=false")


def test_s3(cluster: Cluster, s3: Path) -> None:
    run(cluster, example("s3"))
    assert indices_of(s3 / "shop-classified" / "catalog") == list(range(PHOTOS))
    assert (s3 / "shop-classified" / "catalog" / "_SUCCESS").exists()


@pytest.mark.usefixtures("gpus")
def test_mixed_gpus(cluster: Cluster, photos: Path) -> None:
    document = example("mixed-gpus")
    document["spec"]["worker"]["resources"] = {"requests": {"cpu": "300m", "memory": "500Mi"}}
    status = run(cluster, document)
    assert {group["deviceClass"] for group in status["plan"]["groups"]} <= set(document["spec"]["gpus"]["classes"])
    assert indices_of(photos / "mixed-classified") == list(range(PHOTOS))


@pytest.fixture
def kueue(cluster: Cluster) -> Iterator[None]:
    """Kueue with a queue `night` whose quota is one worker."""
    if IS_KUEUE_HERE:
        load_image(f"{KUEUE_IMAGE}:{KUEUE_VERSION}", *WORKER_NODES)
    prefix = "controllerManager.manager"
    settings = {
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
    group = {"coveredResources": ["cpu", "memory"], "flavors": [{"name": "any", "resources": quota}]}
    documents = [
        {"apiVersion": api, "kind": "ResourceFlavor", "metadata": {"name": "any"}},
        {
            "apiVersion": api,
            "kind": "ClusterQueue",
            "metadata": {"name": "all"},
            "spec": {"namespaceSelector": {}, "resourceGroups": [group]},
        },
        {
            "apiVersion": api,
            "kind": "LocalQueue",
            "metadata": {"name": "night", "namespace": "default"},
            "spec": {"clusterQueue": "all"},
        },
    ]
    text = yaml.safe_dump_all(documents)
    cluster.wait(lambda: cluster.attempt("apply", "-f", "-", stdin=text)[0], "Kueue's webhook answers")
    yield
    # In this order: Kueue keeps what is in use.
    cluster.kubectl("delete", "infj", "first", "queued-photos", "--ignore-not-found")
    cluster.kubectl("delete", "localqueue,clusterqueue,resourceflavor", "--all", "--timeout=60s")
    cluster.helm("uninstall", "kueue", "-n", "kueue-system", "--wait")


@pytest.mark.usefixtures("kueue")
def test_kueue_of_two_jobs_with_quota_for_one_the_second_waits(cluster: Cluster, photos: Path) -> None:
    first, second = example("kueue"), example("kueue")
    first["metadata"]["name"] = "first"
    first["spec"] |= {"images": 1_000_000, "source": {"synthetic": {}}, "sink": {"uri": "/data/first"}}
    cluster.apply(first)
    cluster.wait_for_phase("first", "Running")
    cluster.apply(second)
    wait_until_told(cluster, "queued-photos", "Admitted", "waits in the queue night", reason="Queued")
    assert cluster.get("infj", "queued-photos")["status"]["phase"] == "Queued"
    assert cluster.get("infj", "first")["status"]["phase"] == "Running"
    (waiting,) = cluster.items("jobs", "dueby.dev/job=queued-photos,dueby.dev/step=work")
    assert waiting["spec"]["suspend"] is True
    cluster.kubectl("delete", "infj", "first")
    assert cluster.wait_for_phase("queued-photos", "Succeeded", "Failed")["status"]["phase"] == "Succeeded"
    assert indices_of(photos / "queued-classified") == list(range(PHOTOS))
    cluster.kubectl("delete", "infj", "queued-photos")


@pytest.mark.usefixtures("photos")
def test_a_queue_that_is_not_there_is_said(cluster: Cluster) -> None:
    document = example("kueue")
    document["metadata"]["name"] = "no-queue"
    cluster.apply(document)
    wait_until_told(cluster, "no-queue", "Admitted", "There is no LocalQueue night", reason="QueueNotFound")
    cluster.kubectl("delete", "infj", "no-queue")


def test_there_is_a_test_for_each() -> None:
    tested = {"minimal", "synthetic", "pvc", "s3", "mixed-gpus", "kueue"}
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == tested

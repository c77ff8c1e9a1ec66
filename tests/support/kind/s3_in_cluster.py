"""An S3 server in the tests' cluster, whose buckets are folders below `s3` in the folder that its nodes share."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from support.kind.cluster import SHARED, Cluster
from support.kind.kind_cluster import load_image

# On a machine with internet it is pulled; elsewhere it is brought to the nodes.
IS_S3_HERE = "DUEBY_S3_IMAGE" in os.environ
S3_IMAGE = os.environ.get("DUEBY_S3_IMAGE", "ghcr.io/versity/versitygw:v1.8.0")
S3_PORT, S3_KEYS = 7070, {"ROOT_ACCESS_KEY": "dueby", "ROOT_SECRET_KEY": "dueby-secret"}
Document = dict[str, Any]


def start_s3(cluster: Cluster, *, nodes: Iterable[str], **spec: Any) -> None:
    """Start it in the cluster's namespace and wait until it answers; `spec` says on which of the nodes it may be."""
    for path in (cluster.shared / "s3", *(cluster.shared / "s3").rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    if IS_S3_HERE:
        load_image(S3_IMAGE, nodes, shared=cluster.shared)
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
    metadata, labels = {"name": "s3"}, {"app": "s3"}
    service = {"selector": labels, "ports": [{"port": S3_PORT}]}
    pod = {**spec, "containers": [container], "volumes": [volume]}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "labels": labels}, "spec": pod},
    )
    cluster.kubectl("wait", "pod/s3", "--for=condition=Ready", "--timeout=120s")


def s3_credentials(namespace: str) -> Document:
    """The secret with which a job reaches the server in this namespace."""
    data = s3_environment(f"http://s3.{namespace}.svc:{S3_PORT}")
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3-credentials"}, "stringData": data}


def s3_environment(endpoint: str) -> dict[str, str]:
    """The environment variables of a process that uses the server."""
    return {
        "AWS_ACCESS_KEY_ID": S3_KEYS["ROOT_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": S3_KEYS["ROOT_SECRET_KEY"],
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }


@contextmanager
def s3_from_here(cluster: Cluster) -> Iterator[dict[str, str]]:
    """Give the environment variables of a process on this machine that uses the server, until the block ends."""
    with cluster.forwarded("service/s3", S3_PORT, namespace=cluster.namespace) as port:
        yield s3_environment(f"http://127.0.0.1:{port}")

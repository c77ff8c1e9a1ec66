"""The manifests of examples/cluster, made ready for the tests' cluster, and the claims that they mount."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from support.kind.cluster import Cluster, claim
from support.kind.cluster_job import workers_of
from support.kind.images import REPOSITORY
from support.kind.model import MODEL

EXAMPLES = REPOSITORY / "examples" / "cluster"
PHOTOS = 120


def example_documents(name: str) -> list[dict[str, Any]]:
    """Return what is in the manifest, as it is."""
    return list(yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text()))


def example(cluster: Cluster, name: str) -> dict[str, Any]:
    """Return the manifest of one job, made ready for the tests' cluster."""
    (document,) = example_documents(name)
    return for_tests(cluster, document)


def for_tests(cluster: Cluster, document: dict[str, Any]) -> dict[str, Any]:
    """Return the job with a model that is there, for the nodes of this file."""
    document["spec"]["model"] = MODEL
    document["spec"].setdefault("worker", {})["nodeSelector"] = cluster.node_selector
    if isinstance(moment := document["spec"].get("deadlineTime"), datetime):  # which kubectl leaves as it is written
        document["spec"]["deadlineTime"] = moment.isoformat()
    return document


@contextmanager
def claimed(cluster: Cluster, name: str) -> Iterator[Path]:
    """Make a claim that every node can mount; give its folder, which the nodes share with this machine."""
    volume, request = claim(cluster.namespace, name, folder=f"{cluster.namespace}-{name}")
    folder = cluster.shared / volume["metadata"]["name"]
    folder.mkdir()
    folder.chmod(0o777)
    cluster.apply(volume, request)
    yield folder
    cluster.kubectl("delete", f"pvc/{name}", f"pv/{volume['metadata']['name']}", "--wait=false")


def run_example(cluster: Cluster, document: dict[str, Any]) -> dict[str, Any]:
    """Run it, take it away, and return its status at the end, which is to be a good one."""
    cluster.apply(document)
    name = document["metadata"]["name"]
    status: dict[str, Any] = cluster.wait_for_phase(name, "Succeeded", "Failed")["status"]
    assert status["phase"] == "Succeeded", status
    cluster.kubectl("delete", "infj", name)
    # A worker that still ends holds its device: the next test's job would begin without it.
    cluster.wait(lambda: not workers_of(cluster, name), f"{name} to have no pods")
    return status

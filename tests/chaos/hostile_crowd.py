"""A tenant's crowd for the chaos: the objects of tests/support/crowd.py, as a real API server takes them. Pure.

Its jobs ask for a class that no node has, so none of them takes a device before its deadline is over. Its pods are
gated, so no node runs them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from chaos.cluster import CROWD, Document
from dueby_operator.jobs import names
from support.crowd import TENANT, crowd

# Whoever removes a crowd goes by it.
LABEL = "chaos.dueby.dev/crowd"
# So many small objects are created by one call of kubectl; large ones alone.
AT_ONCE = 25
WIDE = "wide-"
# The job that owns what is forged.
OWNER = "small-0000"
CROWD_DEADLINE_S = 180
KINDS: Mapping[str, Document] = {
    "inferencejobs": {"apiVersion": "dueby.dev/v1alpha1", "kind": "InferenceJob"},
    "jobs": {"apiVersion": "batch/v1", "kind": "Job"},
    "configmaps": {"apiVersion": "v1", "kind": "ConfigMap"},
    "pods": {"apiVersion": "v1", "kind": "Pod"},
}
GATED: Document = {
    "schedulingGates": [{"name": "chaos.dueby.dev/never"}],
    "containers": [{"name": "dueby", "image": "nowhere.invalid/worker:1"}],
    "restartPolicy": "Never",
}


def make_crowd(name: str, seed: int) -> Mapping[str, Sequence[Document]]:
    """Return a crowd's objects by their kind in plural, named after this name."""
    found: dict[str, list[Document]] = {kind: [] for kind in KINDS}
    for path, document in crowd(seed).objects.items():
        if told := re.search(f"/namespaces/{TENANT}/([a-z]+)/", path):
            found[told[1]].append(_taken(name, told[1], document))
    return found


def owned_by(uid: str, document: Document) -> Document:
    """Return the object, whose owner got this uid."""
    metadata = document["metadata"]
    owners = [{**owner, "uid": uid} for owner in metadata["ownerReferences"]]
    return {**document, "metadata": {**metadata, "ownerReferences": owners}}


def in_requests(documents: Sequence[Document]) -> Iterator[Document]:
    """Yield what is created by one call of kubectl each."""
    small = [document for document in documents if WIDE not in document["metadata"]["name"]]
    for first in range(0, len(small), AT_ONCE):
        yield {"apiVersion": "v1", "kind": "List", "items": small[first : first + AT_ONCE]}
    yield from (document for document in documents if WIDE in document["metadata"]["name"])


def _taken(name: str, kind: str, document: Document) -> Document:
    before = document["metadata"]
    owners = [
        {**owner, "apiVersion": KINDS["inferencejobs"]["apiVersion"], "name": f"{name}-{OWNER}"}
        for owner in before.get("ownerReferences", ())
    ]
    metadata = {
        "name": f"{name}-{before['name']}",
        "namespace": CROWD,
        "labels": {**_labels(name, document), LABEL: name},
        "annotations": before.get("annotations", {}),
        "ownerReferences": owners,
    }
    return {**KINDS[kind], "metadata": metadata, **_body(name, kind, document)}


def _labels(name: str, document: Document) -> Document:
    labels = document["metadata"].get("labels", {})
    return {**labels, names.JOB: f"{name}-{OWNER}"} if names.JOB in labels else labels


def _body(name: str, kind: str, document: Document) -> Document:
    if kind == "configmaps":
        return {"data": document["data"]}
    if kind == "pods":
        return {"spec": GATED}
    if kind == "jobs":
        template = {"metadata": {"labels": _labels(name, document)}, "spec": GATED}
        spec = {"suspend": True, "completionMode": "Indexed", **document["spec"], "template": template}
        return {"spec": {**spec, "parallelism": spec["completions"]}}
    never = {
        "deadline": f"{CROWD_DEADLINE_S}s",
        "onDeadline": "Stop",
        "gpus": {"max": 1, "classes": ["nowhere"]},
        "sink": {"uri": f"s3://bucket/{name}/{document['metadata']['name']}"},
    }
    worker = document["spec"].get("worker", {})
    if WIDE in document["metadata"]["name"]:  # the definition has no room for such a volume, but for variables
        worker = {"env": [{"name": f"A{number}", "value": "a" * 32_000} for number in range(44)]}
    # Whoever creates a job can't write its status, which is patched once the job is there.
    status = {"status": document["status"]} if "status" in document else {}
    return {"spec": {**document["spec"], **never, "worker": worker}, **status}

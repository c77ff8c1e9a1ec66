"""The cluster that kubectl reaches: DueBy's resources, its operator, and what the user may do."""

import json
from collections.abc import Iterator
from shutil import which

from dueby.cluster.kubectl import ask, try_job
from dueby.doctor.finding import Asked, Finding
from dueby_api.errors import DueByError

_CHART = "install DueBy's chart: docs/cluster.md"
_KINDS = ("inferencejobs.dueby.dev", "gpuprofiles.dueby.dev")
_ROLES = "ask for Kubernetes' role edit in that namespace: docs/cluster.md"
# A job that the API server is asked about, and which isn't made.
_TRIAL = {
    "apiVersion": "dueby.dev/v1alpha1",
    "kind": "InferenceJob",
    "metadata": {"generateName": "dueby-doctor-"},
    "spec": {
        "images": 1,
        "deadline": "1h",
        "model": {"name": "resnet50"},
        "source": {"synthetic": {}},
        "sink": {"uri": "/rows"},
    },
}
_OPERATORS = ("get", "deployments", "--all-namespaces", "-l", "app.kubernetes.io/name=dueby", "-o", "json")


def check_cluster(request: Asked) -> Iterator[Finding]:
    """Yield what there is of DueBy in the cluster; one line if there is none."""
    if which("kubectl") is None:
        advice = "install kubectl to run jobs in a cluster"
        yield Finding(subject="cluster", verdict="absent", sentence="there is no kubectl here", advice=advice)
        return
    try:
        kinds = ask(["api-resources", "--api-group=dueby.dev", "-o", "name"], doing="reach a cluster").split()
    except DueByError as error:
        advice = "sign in, or choose one with kubectl config use-context"
        yield Finding(subject="cluster", verdict="absent", sentence=str(error), advice=advice)
        return
    if missing := [kind for kind in _KINDS if kind not in kinds]:
        sentence = f"the cluster has no {' and no '.join(missing)}"
        yield Finding(subject="cluster", verdict="absent", sentence=sentence, advice=_CHART)
        return
    yield Finding(subject="cluster", verdict="ok", sentence=f"it has {' and '.join(_KINDS)}")
    yield _operator()
    yield from _rights(request.namespace)


def _operator() -> Finding:
    try:
        items = json.loads(ask(_OPERATORS, doing="see the operator"))["items"]
    except DueByError as error:
        advice = "ask whoever runs the cluster; jobs need no right to see it"
        return Finding(subject="operator", verdict="absent", sentence=str(error), advice=advice)
    ready = [item for item in items if item.get("status", {}).get("readyReplicas")]
    if ready:
        where = ", ".join(item["metadata"]["namespace"] for item in ready)
        return Finding(subject="operator", verdict="ok", sentence=f"it is ready in {where}")
    if not items:
        return Finding(subject="operator", verdict="fails", sentence="there is none, so no job starts", advice=_CHART)
    where = items[0]["metadata"]["namespace"]
    advice = f"kubectl describe deployments,pods -n {where} -l app.kubernetes.io/name=dueby"
    return Finding(subject="operator", verdict="fails", sentence=f"it is not ready in {where}", advice=advice)


def _rights(namespace: str | None) -> Iterator[Finding]:
    within = ["-n", namespace] if namespace else []
    where = f"in {namespace}" if namespace else "in the namespace of kubectl's context"
    yield _right_to_create(namespace, where)
    for verb in ("get", "delete"):
        subject = f"right to {verb}"
        try:
            ask(["auth", "can-i", verb, _KINDS[0], *within], doing=f"{verb} a job")
        except DueByError:
            sentence = f"you may not {verb} InferenceJobs {where}"
            yield Finding(subject=subject, verdict="fails", sentence=sentence, advice=_ROLES)
        else:
            yield Finding(subject=subject, verdict="ok", sentence=f"you may {verb} InferenceJobs {where}")


def _right_to_create(namespace: str | None, where: str) -> Finding:
    """Return whether the API server would take a job, of which the chart's and other policies have a say, too."""
    subject = "right to create"
    try:
        try_job(_TRIAL, namespace=namespace)
    except DueByError as error:
        advice = _ROLES if "(Forbidden)" in str(error) else "name another namespace with -n"
        return Finding(subject=subject, verdict="fails", sentence=str(error), advice=advice)
    return Finding(subject=subject, verdict="ok", sentence=f"you may create InferenceJobs {where}")

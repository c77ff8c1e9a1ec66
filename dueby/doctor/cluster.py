"""The cluster that is reached from here: DueBy's resources, its operator, and what the user may do."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dueby.cluster import connect
from dueby.cluster.refusals import Forbidden
from dueby.doctor.finding import Asked, Finding
from dueby_api.errors import DueByError, Invalid

if TYPE_CHECKING:
    from dueby.cluster.api_server import APIServer

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


def check_cluster(request: Asked) -> Iterator[Finding]:
    """Yield what there is of DueBy in the cluster; one line if there is none."""
    try:
        api_server = connect("cluster")
        kinds = api_server.served_kinds()
    except Invalid as error:
        yield Finding(subject="cluster", verdict="absent", sentence=error.message)
        return
    except DueByError as error:
        advice = "sign in, or choose one with kubectl config use-context"
        yield Finding(subject="cluster", verdict="absent", sentence=str(error), advice=advice)
        return
    if missing := [kind for kind in _KINDS if kind not in kinds]:
        sentence = f"the cluster has no {' and no '.join(missing)}"
        yield Finding(subject="cluster", verdict="absent", sentence=sentence, advice=_CHART)
        return
    yield Finding(subject="cluster", verdict="ok", sentence=f"it has {' and '.join(_KINDS)}")
    yield _operator(api_server)
    yield from _rights(api_server, request.namespace)


def _operator(api_server: "APIServer") -> Finding:
    try:
        operators = api_server.find_operators()
    except DueByError as error:
        advice = "ask whoever runs the cluster; jobs need no right to see it"
        return Finding(subject="operator", verdict="absent", sentence=str(error), advice=advice)
    if ready := [namespace for namespace, is_ready in operators.items() if is_ready]:
        return Finding(subject="operator", verdict="ok", sentence=f"it is ready in {', '.join(ready)}")
    if not operators:
        return Finding(subject="operator", verdict="fails", sentence="there is none, so no job starts", advice=_CHART)
    where = next(iter(operators))
    advice = f"kubectl describe deployments,pods -n {where} -l app.kubernetes.io/name=dueby"
    return Finding(subject="operator", verdict="fails", sentence=f"it is not ready in {where}", advice=advice)


def _rights(api_server: "APIServer", namespace: str | None) -> Iterator[Finding]:
    where = f"in {namespace or api_server.namespace}"
    yield _right_to_create(api_server, namespace, where)
    for verb in ("get", "delete"):
        subject = f"right to {verb}"
        try:
            is_allowed = api_server.is_allowed(verb, namespace=namespace)
        except DueByError as error:
            yield Finding(subject=subject, verdict="fails", sentence=str(error))
            continue
        if is_allowed:
            yield Finding(subject=subject, verdict="ok", sentence=f"you may {verb} InferenceJobs {where}")
        else:
            sentence = f"you may not {verb} InferenceJobs {where}"
            yield Finding(subject=subject, verdict="fails", sentence=sentence, advice=_ROLES)


def _right_to_create(api_server: "APIServer", namespace: str | None, where: str) -> Finding:
    """Return whether the API server would take a job, of which the chart's and other policies have a say, too."""
    subject = "right to create"
    try:
        api_server.try_job(_TRIAL, namespace=namespace)
    except DueByError as error:
        advice = _ROLES if isinstance(error, Forbidden) else "name another namespace with -n"
        return Finding(subject=subject, verdict="fails", sentence=str(error), advice=advice)
    return Finding(subject=subject, verdict="ok", sentence=f"you may create InferenceJobs {where}")

"""The operator with some namespaces instead of all: it needs no other right, and goes on without one of them."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from support.kind.cluster import OPERATOR_NAMESPACE, Cluster
from support.kind.cluster_job import indices_of, job, share_photos

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
ACCOUNT = f"system:serviceaccount:{OPERATOR_NAMESPACE}:dueby-operator"
FORBIDDEN = 403
COUNT = 40


@pytest.fixture
def taken_away(cluster: Cluster) -> Iterator[Cluster]:
    """The operator with this file's namespace and another one, which it loses its rights in."""
    other = cluster.within("taken-away")
    watched = {"watchNamespaces[0]": cluster.namespace, "watchNamespaces[1]": other.namespace}
    # The API server takes the policies, and where the network enforces them, they leave the operator what it needs.
    cluster.install(**watched, **{"networkPolicy.enabled": "true"})
    yield other
    cluster.install()


def may(cluster: Cluster, verb: str, resource: str) -> bool:
    """Whether the operator may, in the cluster's namespace."""
    return cluster.attempt("auth", "can-i", verb, resource, f"--as={ACCOUNT}")[0]


def refused_in(cluster: Cluster, since: datetime) -> set[str]:
    """The namespaces in which the operator was refused something."""
    later = (e for e in cluster.requests() if datetime.fromisoformat(e["requestReceivedTimestamp"]) > since)
    return {e["objectRef"].get("namespace", "") for e in later if e["responseStatus"]["code"] == FORBIDDEN}


def test_it_needs_no_right_elsewhere_and_goes_on_without_a_namespace(cluster: Cluster, taken_away: Cluster) -> None:
    elsewhere = cluster.within("elsewhere")
    rights = [
        *(("create", "jobs"), ("list", "jobs"), ("delete", "pods"), ("create", "configmaps")),
        *(("list", "inferencejobs.dueby.dev"), ("create", "events")),
    ]
    assert [may(cluster, *right) for right in rights] == [True] * len(rights)
    assert [may(elsewhere, *right) for right in rights] == [False] * len(rights)
    assert may(elsewhere, "list", "pods"), "to know which devices are free"

    taken_away.kubectl("delete", "rolebinding", "dueby-jobs")
    # The next one begins without that namespace.
    since = datetime.now(UTC)
    cluster.kill_operator()
    elsewhere.apply(job(elsewhere, "elsewhere"))
    folder = share_photos(cluster, "within", COUNT)
    cluster.apply(job(cluster, "within"))
    done = cluster.wait_for_phase("within", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(COUNT))

    assert refused_in(cluster, since) == {taken_away.namespace}
    log = cluster.kubectl("logs", "-n", OPERATOR_NAMESPACE, "deploy/dueby-operator")
    assert f"the namespace {taken_away.namespace} is left out" in log
    (pod,) = cluster.items("pods", "app.kubernetes.io/name=dueby", namespace=OPERATOR_NAMESPACE)
    assert [each["restartCount"] for each in pod["status"]["containerStatuses"]] == [0]
    assert "status" not in elsewhere.get("infj", "elsewhere")
    cluster.kubectl("delete", "namespace", taken_away.namespace, elsewhere.namespace, "--wait=false")

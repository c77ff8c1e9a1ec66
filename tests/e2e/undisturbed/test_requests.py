"""What the operator asks of the API server, by the server's own audit log: nothing twice, and all that its role says.

Of the files of this folder it has to be the last by its name, since what is asked is what all the tests before it made
the operator ask.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Any
from urllib.parse import unquote

import pytest

from dueby_operator.kube.job_list import UNDER_WAY
from support.kind.audit import is_list_of_jobs, received
from support.kind.cluster import OPERATOR_NAMESPACE, Cluster
from support.kind.cluster_job import job, share_photos, wait_until_told
from support.kind.model import MODEL

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
READS = {"get", "list", "watch"}
# None of these tests waits for a worker that answers and makes no progress for minutes, whose pod is then deleted, or
# makes a CronJob of a name that the operator needs, which it would read, or kills it while it asks for nodes.
SELDOM = {
    *(("", "pods", "delete"), ("batch", "cronjobs", "get"), ("", "podtemplates", "get")),
    *(("autoscaling.x-k8s.io", kind, "get") for kind in ("provisioningrequests", "capacitybuffers")),
}
# Of an operator with nothing to do. Its Lease is 20 of them.
MOST_IN_A_MINUTE = 30
Permission = tuple[str, str, str]


def asked(entry: dict[str, Any]) -> Permission:
    """Group, resource with its subresource, verb."""
    about = entry["objectRef"]
    resource = "/".join(filter(None, (about["resource"], about.get("subresource", ""))))
    return about.get("apiGroup", ""), resource, entry["verb"]


def allowed(cluster: Cluster) -> Iterator[Permission]:
    """What the chart's roles allow the operator."""
    roles = [cluster.get("clusterrole", "dueby-operator")]
    roles += [cluster.get("role", f"dueby-{name}", namespace=OPERATOR_NAMESPACE) for name in ("operator", "profiler")]
    roles.append(cluster.get("role", "dueby-operator", namespace="kube-node-lease"))
    for role in roles:
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                yield from ((group, resource, verb) for resource in rule["resources"] for verb in rule["verbs"])


def test_a_look_at_an_unchanged_cluster_sends_nothing_but_questions(cluster: Cluster) -> None:
    share_photos(cluster, "unchanged", 1)
    cluster.apply(job(cluster, "unchanged", model={**MODEL, "imageSize": 160}))
    wait_until_told(cluster, "unchanged", "Profiled", reason="NoProfile")
    wait_until_told(cluster, "unchanged", "Indexed", reason="Indexed")
    cluster.wait(lambda: cluster.get("infj", "unchanged")["status"]["phase"] == "Pending", "it waits for a profile")
    since = datetime.now(UTC)

    def later() -> list[dict[str, Any]]:
        entries = cluster.requests()
        return [entry for entry in entries if received(entry) > since]

    def looks() -> list[dict[str, Any]]:
        return [entry for entry in later() if is_list_of_jobs(entry)]

    def has_looked(annotated: datetime) -> bool:
        return any(received(entry) > annotated for entry in looks())

    for number in range(3):  # jobs are listed again only if one has changed
        annotated = datetime.now(UTC)
        cluster.kubectl("annotate", "--overwrite", "infj", "unchanged", f"looked=at-{number}")
        cluster.wait(partial(has_looked, annotated), "it has looked again")
    assert any(UNDER_WAY in unquote(entry["requestURI"]) for entry in looks()), "jobs that are over are left out"
    assert {entry["responseStatus"]["code"] for entry in looks()} == {200}
    # Elsewhere the Jobs of other tests are cleared away, some minutes after they have ended.
    here = {None, cluster.namespace, OPERATOR_NAMESPACE}
    told = [entry for entry in later() if entry["objectRef"].get("namespace") in here]
    writes = {asked(entry) for entry in told if entry["verb"] not in READS}
    assert writes <= {("coordination.k8s.io", "leases", "update")}
    cluster.kubectl("delete", "infj", "unchanged")


def test_an_operator_with_nothing_to_do_makes_few_requests(cluster: Cluster) -> None:
    def last_minute() -> list[dict[str, Any]]:
        since = datetime.now(UTC) - timedelta(minutes=1)
        entries = reversed(cluster.requests())
        return list(takewhile(lambda entry: received(entry) > since, entries))

    # While the Jobs of other tests are cleared away there is something to do.
    cluster.wait(lambda: len(last_minute()) < MOST_IN_A_MINUTE, "it makes few requests")


def test_what_it_may_do_is_what_it_does(cluster: Cluster) -> None:
    does, may = {asked(entry) for entry in cluster.requests()}, set(allowed(cluster))
    assert does - may == set(), "refused by the API server"
    assert may - does == SELDOM, "allowed, and never used in all these tests; were they all run?"

"""What the operator asks of the API server, by the server's own audit log: nothing twice, and all that its role says.

Of the files of this folder it has to be the last by its name, since what is asked is what all the tests before it made
the operator ask.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest

from dueby_operator.kube.job_list import UNDER_WAY
from support.audit import is_list_of_jobs
from support.cluster import OPERATOR_NAMESPACE, Cluster
from support.cluster_job import job, share_photos, wait_until_told
from support.run import MODEL

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
READS = {"get", "list", "watch"}
# None of these tests waits for a worker that answers and makes no progress for minutes, whose pod is then deleted, nor
# makes a CronJob of a name that the operator needs, which it would read.
SELDOM = {("", "pods", "delete"), ("batch", "cronjobs", "get")}
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
    cluster.kubectl("annotate", "infj", "unchanged", "looked=at")
    since = datetime.now(UTC)

    def later() -> list[dict[str, Any]]:
        entries = cluster.requests()
        return [e for e in entries if datetime.fromisoformat(e["requestReceivedTimestamp"]) > since]

    def looks() -> list[dict[str, Any]]:
        return [entry for entry in later() if is_list_of_jobs(entry)]

    cluster.wait(lambda: len(looks()) >= 3, "it has looked three times")
    assert any(UNDER_WAY in unquote(entry["requestURI"]) for entry in looks()), "jobs that are over are left out"
    assert {entry["responseStatus"]["code"] for entry in looks()} == {200}
    # Elsewhere the Jobs of other tests are cleared away, some minutes after they have ended.
    here = {None, cluster.namespace, OPERATOR_NAMESPACE}
    told = [entry for entry in later() if entry["objectRef"].get("namespace") in here]
    writes = {asked(entry) for entry in told if entry["verb"] not in READS}
    assert writes <= {("coordination.k8s.io", "leases", "update")}
    cluster.kubectl("delete", "infj", "unchanged")


def test_what_it_may_do_is_what_it_does(cluster: Cluster) -> None:
    does, may = {asked(entry) for entry in cluster.requests()}, set(allowed(cluster))
    assert does - may == set(), "refused by the API server"
    assert may - does == SELDOM, "allowed, and never used in all these tests; were they all run?"

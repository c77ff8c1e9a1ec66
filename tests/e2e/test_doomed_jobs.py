"""What the CRD takes and no pod of the cluster can be is told at the first pass: nothing is made or reserved for it."""

from typing import Any

import pytest

from support.kind.cluster import Cluster
from support.kind.cluster_job import condition, job

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]

# By what is wrong: the change to a good job's worker or sink, and the reason and part of the sentence of its condition.
DOOMED_JOBS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a sink on no volume": (
        {"sink": {"uri": "/elsewhere/rows"}},
        "InvalidJob",
        "/elsewhere/rows is on no volume",
    ),
    "a sink in the pod's own folder": ({"sink": {"uri": "/tmp/rows"}}, "InvalidJob", "/tmp/rows is in an emptyDir"),
    "a mount without its volume": (
        {"worker": {"volumeMounts": [{"name": "nowhere", "mountPath": "/data"}]}},
        "InvalidTemplate",
        'volumeMounts[2].name: Not found: "nowhere"',
    ),
    "a request above its limit": (
        {"worker": {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}},
        "InvalidTemplate",
        "must be less than or equal to memory limit",
    ),
    "two GPUs": (
        {"worker": {"resources": {"limits": {"nvidia.com/gpu": 2}}}},
        "InvalidJob",
        "leave out nvidia.com/gpu; each worker has one device",
    ),
}


@pytest.mark.parametrize("wrong", DOOMED_JOBS)
def test_a_job_that_can_never_run_has_failed_at_once_with_a_sentence_and_nothing_is_made(
    cluster: Cluster, wrong: str
) -> None:
    change, reason, sentence = DOOMED_JOBS[wrong]
    # No step is before its workers.
    document = job(cluster, "doomed", **{"images": 10_000, "source": {"synthetic": {}}, **change})
    cluster.apply(document)
    failed = condition(cluster.wait_for_phase("doomed", "Failed"), "Failed")
    assert failed["reason"] == reason
    assert sentence in failed["message"]
    assert not cluster.items("jobs,configmaps", "dueby.dev/job=doomed")
    cluster.kubectl("delete", "infj", "doomed")


def test_what_forbids_a_jobs_pods_is_in_its_condition(cluster: Cluster) -> None:
    most = {"limits": [{"type": "Container", "max": {"memory": "64Mi"}}]}
    metadata = {"name": "tiny", "namespace": cluster.namespace}
    cluster.apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": most})
    cluster.apply(job(cluster, "too-large", images=10_000, source={"synthetic": {}}))

    def is_told() -> bool:
        conditions = cluster.get("infj", "too-large").get("status", {}).get("conditions", [])
        return any(
            each["reason"] == "Forbidden" and "maximum memory usage per Container is 64Mi" in each["message"]
            for each in conditions
        )

    cluster.wait(is_told, "what the LimitRange says is in the job's condition")
    assert not cluster.items("jobs,configmaps", "dueby.dev/job=too-large")
    cluster.kubectl("delete", "infj/too-large", "limitrange/tiny")

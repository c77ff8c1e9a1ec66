"""What a queue's quota covers, and how a job in a queue is planned and seen."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_operator.cluster.nodes import DeviceKind
from dueby_operator.cluster.queues import UNKNOWN, ClusterQueue, Queue, read_queue
from dueby_operator.jobs import names
from dueby_operator.model.job_snapshot import JobMemory, JobSnapshot
from dueby_operator.objects.parse import parse
from support.decisions import NOW, SECOND, Look, indexed, infj, job, look, node, worker_job_of
from support.operator import profile

GPU, LABEL = "nvidia.com/gpu", "nvidia.com/gpu.product"
ASKED = {"cpu": 2.0, "memory": 2.0**30, "pods": 1.0, GPU: 1.0}


def cluster_queue(*groups: list[dict[str, Any]], used: dict[str, dict[str, str]] | None = None) -> ClusterQueue:
    usage = [
        {"name": name, "resources": [{"name": resource, "total": total} for resource, total in found.items()]}
        for name, found in (used or {}).items()
    ]
    document = {
        "spec": {"resourceGroups": [{"flavors": list(group)} for group in groups]},
        "status": {"flavorsUsage": usage},
    }
    return parse(ClusterQueue, document)


def flavor(name: str, **quota: str) -> dict[str, Any]:
    named = {resource.replace("gpu", GPU): value for resource, value in quota.items()}
    return {"name": name, "resources": [{"name": resource, "nominalQuota": value} for resource, value in named.items()]}


LABELS = {"a100": {LABEL: "A100"}, "l4": {LABEL: "L4"}}
SPLIT = cluster_queue(
    [flavor("any", cpu="40", memory="64Gi")],
    [flavor("a100", gpu="4"), flavor("l4", gpu="8")],
    used={"a100": {GPU: "3"}},
)


@pytest.mark.parametrize(
    ("queue", "product", "whole", "unused"),
    [
        pytest.param(SPLIT, "A100", 4, 1, id="its flavor's quota"),
        pytest.param(SPLIT, "L4", 8, 8, id="another flavor's"),
        pytest.param(SPLIT, "H100", 0, 0, id="a product that no flavor has"),
        pytest.param(cluster_queue([flavor("any", cpu="5", gpu="9")]), "A100", 2, 2, id="the cores beside it"),
        pytest.param(cluster_queue([flavor("any", cpu="99")]), "A100", 0, 0, id="no quota for GPUs at all"),
        pytest.param(cluster_queue([flavor("any", cpu="99", gpu="3")]), "A100", 3, 3, id="a flavor for any nodes"),
    ],
)
def test_a_class_gets_what_its_flavor_has(queue: ClusterQueue, product: str, whole: int, unused: int) -> None:
    found = read_queue(queue, LABELS)
    kind = DeviceKind(resource=GPU, selector={LABEL: product})
    assert (found.max_workers(kind, ASKED, unused=False), found.max_workers(kind, ASKED, unused=True)) == (
        whole,
        unused,
    )


def of_cohort(name: str, used: str, **quota: str) -> ClusterQueue:
    resource = {"name": "cpu", **quota}
    document = {
        "metadata": {"name": name},
        "spec": {"cohortName": "all", "resourceGroups": [{"flavors": [{"name": "any", "resources": [resource]}]}]},
        "status": {"flavorsUsage": [{"name": "any", "resources": [{"name": "cpu", "total": used}]}]},
    }
    return parse(ClusterQueue, document)


@pytest.mark.parametrize(
    ("own", "other", "whole", "unused"),
    [
        pytest.param({}, ("0", {}), 5, 5, id="all that the cohort has"),
        pytest.param({"borrowingLimit": "2"}, ("0", {}), 3, 3, id="no more than it may borrow"),
        pytest.param({}, ("8", {}), 5, 1, id="not what the others use, be it its own"),
        pytest.param({}, ("2", {"lendingLimit": "1"}), 2, 2, id="nothing from who limits what it lends"),
        pytest.param({"lendingLimit": "4"}, ("0", {}), 2, 2, id="its own alone if it limits what it lends"),
    ],
)
def test_a_queue_has_what_it_may_borrow_as_well(
    own: dict[str, str], other: tuple[str, dict[str, str]], whole: int, unused: int
) -> None:
    """Workers ask for two cores."""
    used, more = other
    mine, theirs = of_cohort("mine", "0", nominalQuota="4", **own), of_cohort("b", used, nominalQuota="6", **more)
    found = read_queue(mine, {}, [mine, theirs])
    kind = DeviceKind()
    counts = (found.max_workers(kind, ASKED, unused=False), found.max_workers(kind, ASKED, unused=True))
    assert counts == (whole, unused)


def queues(cpu: str, used: str = "0") -> dict[tuple[str, str], Queue]:
    queue = cluster_queue([flavor("any", cpu=cpu, memory="64Gi")], used={"any": {"cpu": used}})
    return {("team", "night"): read_queue(queue, {})}


def in_queue(**more: Any) -> Look:
    return look(infj(queueName="night", status=indexed()), **{"queues": queues("4"), **more})


def test_a_job_in_a_queue_is_one_suspended_job_planned_on_the_quota() -> None:
    found = in_queue(queues=queues("4", used="4"))
    (create,) = found.created
    assert len(found.writes) == 1
    assert create.job["spec"]["suspend"] is True
    assert create.job["metadata"]["labels"][names.QUEUE] == "night"
    assert found.status.plan is not None
    assert found.status.plan.gpus == create.job["spec"]["completions"]


def test_a_queue_that_does_not_exist_is_named_in_the_condition() -> None:
    found = in_queue(queues={})
    assert found.said("Admitted") == ("False", "QueueNotFound")
    assert not found.writes
    assert found.status.phase == "Queued"


def waiting(*, memory: JobMemory | None = None, spec: dict[str, Any] | None = None, **status: Any) -> JobSnapshot:
    """A job whose Job of workers is in the queue; `spec` and `status` are changes of that Job."""
    first = in_queue()
    (create,) = first.created
    worker_job = worker_job_of(
        replace(create, job={**create.job, "spec": {**create.job["spec"], **(spec or {})}}), **status
    )
    document = infj(queueName="night", status=first.status.document())
    return job(document, worker_jobs=[worker_job], memory=memory or JobMemory())


def test_a_job_that_waits_in_its_queue_is_left_alone_and_its_condition_says_so() -> None:
    found = look(waiting(), queues=queues("4", used="4"), now_us=NOW + 30 * SECOND)
    assert not found.writes
    assert found.condition("Profiled").reason == "Profiled"
    assert (found.condition("Admitted").reason, found.status.phase) == ("Queued", "Queued")


def test_a_job_that_is_admitted_late_gets_help_through_the_queue() -> None:
    before = look(waiting(), queues=queues("40"))
    admitted = waiting(memory=before.memory, spec={"suspend": False}, startTime="2023-11-14T22:14:00Z")
    found = look(admitted, queues=queues("40", used="2"), now_us=NOW + 40 * SECOND)
    (helper,) = found.created
    assert len(found.writes) == 1
    assert helper.job["metadata"]["labels"][names.QUEUE] == "night"
    assert found.status.replans[-1].reason == "Admitted"


def test_of_two_classes_the_one_that_needs_fewer_devices_is_taken_alone() -> None:
    found = in_queue(profiles=(profile(), profile("cpu-2")), queues=queues("8"))
    assert len(found.writes) == 1
    assert found.status.plan is not None
    assert len(found.status.plan.groups) == 1


def test_a_queue_that_cannot_be_read_covers_as_many_as_there_are_devices_for() -> None:
    found = in_queue(queues={("team", "night"): UNKNOWN}, nodes={"n": node(cpus=1)})
    (create,) = found.created
    assert create.job["spec"]["suspend"] is True
    gpu = DeviceKind(resource="nvidia.com/gpu")
    assert UNKNOWN.max_workers(gpu, ASKED, unused=True) == UNKNOWN.max_workers(DeviceKind(), {}, unused=False)

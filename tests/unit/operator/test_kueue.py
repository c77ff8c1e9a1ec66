"""What a queue's quota covers, and how a job in a queue is planned and seen."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_operator.cluster.kueue import Queue, read_groups
from dueby_operator.cluster.nodes import DeviceKind
from dueby_operator.control.case import Case
from dueby_operator.control.world import Memories
from dueby_operator.control.writes import Create
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import Crew, Seen
from support.case import NOW, SECOND, crew_of, indexed, infj, look

GPU, LABEL = "nvidia.com/gpu", "nvidia.com/gpu.product"
ASKED = {"cpu": 2.0, "memory": 2.0**30, "pods": 1.0, GPU: 1.0}


def cluster_queue(*groups: list[dict[str, Any]], used: dict[str, dict[str, str]] | None = None) -> dict[str, Any]:
    usage = [
        {"name": name, "resources": [{"name": resource, "total": total} for resource, total in found.items()]}
        for name, found in (used or {}).items()
    ]
    return {
        "spec": {"resourceGroups": [{"flavors": list(group)} for group in groups]},
        "status": {"flavorsUsage": usage},
    }


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
def test_a_class_gets_what_its_flavor_has(queue: dict[str, Any], product: str, whole: int, unused: int) -> None:
    found = Queue(groups=read_groups(queue, LABELS))
    kind = DeviceKind(resource=GPU, selector={LABEL: product})
    assert (found.most(kind, ASKED, unused=False), found.most(kind, ASKED, unused=True)) == (whole, unused)


def queues(cpu: str, used: str = "0") -> dict[tuple[str, str], Queue | None]:
    queue = cluster_queue([flavor("any", cpu=cpu, memory="64Gi")], used={"any": {"cpu": used}})
    return {("team", "night"): Queue(groups=read_groups(queue, {}))}


def in_queue(**more: Any) -> Case:
    return look(infj(queueName="night", status=indexed()), **{"queues": queues("4"), **more})


def reason(case: Case, kind: str) -> str:
    return str(next(c for c in case.status()["conditions"] if c["type"] == kind)["reason"])


def test_a_job_in_a_queue_is_one_suspended_job_planned_on_the_quota() -> None:
    case = in_queue(nodes={}, queues=queues("4", used="4"))
    (create,) = case.writes
    assert isinstance(create, Create)
    assert create.job["spec"]["suspend"] is True
    assert create.job["metadata"]["labels"][names.QUEUE] == "night"
    assert case.status()["plan"]["gpus"] == create.job["spec"]["completions"]


def test_a_queue_that_is_not_there_is_said() -> None:
    case = in_queue(queues={("team", "night"): None})
    assert reason(case, "Admitted") == "QueueNotFound"
    assert not case.writes
    assert case.status()["phase"] == "Queued"


def waiting() -> tuple[Case, Seen]:
    case = in_queue()
    (create,) = case.writes
    assert isinstance(create, Create)
    document = case.document | {"status": case.status()}
    return case, Seen(document=document, crews=[crew_of(create)], now_us=NOW)


def test_a_job_that_waits_in_its_queue_is_left_alone_and_says_so() -> None:
    _, seen = waiting()
    later = NOW + 30 * SECOND
    case = look(seen.document, seen=replace(seen, now_us=later), queues=queues("4", used="4"), now_us=later)
    assert not case.writes
    assert reason(case, "Profiled") == "Profiled"
    assert (reason(case, "Admitted"), case.status()["phase"]) == ("Queued", "Queued")


def test_a_job_that_is_admitted_late_gets_help_through_the_queue() -> None:
    _, seen = waiting()
    memory = Memories()
    look(seen.document, seen=seen, queues=queues("40"), memory=memory)
    later = NOW + 40 * SECOND
    (crew,) = seen.crews
    admitted = Crew(job={**crew.job, "spec": {**crew.job["spec"], "suspend": False}}, assignments=crew.assignments)
    status = {**admitted.job["status"], "startTime": "2023-11-14T22:14:00Z"}
    admitted = Crew(job={**admitted.job, "status": status}, assignments=crew.assignments)
    case = look(
        seen.document,
        seen=replace(seen, crews=[admitted], now_us=later),
        queues=queues("40", used="2"),
        memory=memory,
        now_us=later,
    )
    (helper,) = case.writes
    assert isinstance(helper, Create)
    assert helper.job["metadata"]["labels"][names.QUEUE] == "night"
    assert case.status()["replans"][-1]["reason"] == "Admitted"


def test_of_two_classes_the_one_that_needs_fewer_devices_is_taken_alone() -> None:
    from support.operator import profile

    slow = profile("cpu-2")
    case = in_queue(profiles=(profile(), slow), queues=queues("8"))
    assert len(case.writes) == 1
    assert len(case.status()["plan"]["groups"]) == 1

"""Ask: have the nodes been asked for that workers wait for, where pods alone don't ask?"""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.capacity import ATOMIC_CLASS, CHECKING_CLASS
from dueby_api.status import Replan
from dueby_api.units import format_time
from dueby_operator import paths
from dueby_operator.cluster.nodes import Node
from dueby_operator.control.work.changes import MAX_FRUITLESS, is_fruitless
from dueby_operator.jobs import names
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.writes import Add, Change, Delete
from dueby_operator.objects.capacity_requests import CapacityBuffer, ProvisioningRequest
from dueby_operator.objects.parse import parse
from dueby_operator.settings import OperatorSettings
from support.decisions import (
    MADE,
    NOW,
    SECOND,
    SETTINGS,
    Look,
    Started,
    indexed,
    infj,
    look,
    node,
    pod_of,
    worker_job_of,
)
from support.node_pools import POOL_LABELS, pool

DEADLINE = "2h"
# Nodes of the pool take ten minutes at most.
LATE_US = 600 * SECOND


def settings(ask: str = "ProvisioningRequest", **of_pool: Any) -> OperatorSettings:
    return replace(SETTINGS, node_pools=(pool(ask=ask, **of_pool),))


def begun(at: OperatorSettings, **spec: Any) -> Started:
    """A job whose workers wait for nodes of the pool: as pods, unless these are made once a node has come."""
    document = {"deadline": DEADLINE, **spec}
    first = look(infj(status=indexed(), **document), nodes={}, settings=at)
    (create,) = first.created
    says = [{"type": "PodScheduled", "status": "False", "message": "no node has these labels"}]
    pods = [
        pod_of(create, index, node="", phase="Pending", conditions=says)
        for index in range(create.job["spec"]["completions"])
    ]
    document = infj(status=first.status.document(), **document)
    if create.job["spec"].get("suspend"):
        return Started(look=first, document=document, worker_jobs=[worker_job_of(create)], pods=[])
    return Started(look=first, document=document, worker_jobs=[worker_job_of(create, startTime=MADE)], pods=pods)


def said(
    job: Started, kind: str, *, status: str = "True", at_us: int = NOW, class_name: str = ATOMIC_CLASS
) -> dict[str, ProvisioningRequest]:
    """The Job's request, and what the autoscaler has said of it."""
    condition = {"type": kind, "status": status, "lastTransitionTime": format_time(at_us), "message": "No quota."}
    document = {
        "metadata": {"name": job.name},
        "spec": {"provisioningClassName": class_name},
        "status": {"conditions": [condition] if kind else []},
    }
    return {job.name: parse(ProvisioningRequest, document)}


BUFFERED = settings("CapacityBuffer")


def buffered(job: Started, kind: str, *, status: str = "True", at_us: int = NOW) -> dict[str, CapacityBuffer]:
    """The Job's buffer, and what the autoscaler has said of it."""
    condition = {"type": kind, "status": status, "lastTransitionTime": format_time(at_us), "message": "No quota."}
    document = {
        "metadata": {"name": job.name, "namespace": "team", "uid": "b"},
        "status": {"conditions": [condition] if kind else []},
    }
    return {job.name: parse(CapacityBuffer, document)}


@pytest.mark.parametrize(
    ("of_pool", "class_name", "parameters"),
    [
        pytest.param({}, ATOMIC_CLASS, {"ValidUntilSeconds": "600"}, id="all nodes or none, for as long as they take"),
        pytest.param({"provisioningClass": CHECKING_CLASS}, CHECKING_CLASS, {"noRetry": "true"}, id="checked once"),
        pytest.param({"provisioningClass": "queued.example.com"}, "queued.example.com", {}, id="somebody's own class"),
    ],
)
def test_workers_consume_a_request_that_is_made_after_its_template(
    of_pool: dict[str, str], class_name: str, parameters: dict[str, str]
) -> None:
    at = settings(**of_pool)
    job = begun(at)
    (create,) = job.look.created
    pod = create.job["spec"]["template"]
    assert pod["metadata"]["annotations"] == {names.CONSUMES: job.name, names.CONSUMED_CLASS: class_name}
    template, request = look(job.job(), nodes={}, settings=at).writes
    assert isinstance(template, Add)
    assert isinstance(request, Add)
    assert template.kind == paths.core_path("podtemplates", "team")
    assert request.kind == "/apis/autoscaling.x-k8s.io/v1/namespaces/team/provisioningrequests"
    assert template.document["template"]["spec"] == pod["spec"], "nodes are looked for by what the pods ask for"
    assert template.document["template"]["spec"]["nodeSelector"] == POOL_LABELS
    assert request.document["spec"] == {
        "provisioningClassName": class_name,
        "podSets": [{"count": len(job.pods), "podTemplateRef": {"name": template.document["metadata"]["name"]}}],
        "parameters": parameters,
    }
    for document in (template.document, request.document):
        (owner,) = document["metadata"]["ownerReferences"]
        assert (owner["apiVersion"], owner["kind"], owner["name"], owner["uid"]) == ("batch/v1", "Job", job.name, "j")


def test_a_pool_that_is_asked_by_pods_is_asked_by_nothing_else() -> None:
    at = replace(SETTINGS, node_pools=(pool(),))
    job = begun(at)
    assert not job.look.created[0].job["spec"]["template"]["metadata"]["annotations"]
    assert not look(job.job(), nodes={}, settings=at).writes


def refused(job: Started, kind: str, **more: Any) -> JobSnapshot:
    """The job, of whose workers nothing is hoped any more."""
    absent = frozenset((job.name, index) for index in range(len(job.pods)))
    return job.job(requests=said(job, kind), absent=absent, **more)


@pytest.mark.parametrize("kind", ["Failed", "CapacityRevoked", "BookingExpired"])
def test_a_refused_job_is_deleted_and_asked_for_again_after_the_time_that_nodes_take(kind: str) -> None:
    at = settings()
    job = begun(at)
    late = {("team", "burst"): len(job.pods)}
    assert not look(refused(job, kind), nodes={}, late=late, settings=at, now_us=NOW + LATE_US - 1).writes
    found = look(refused(job, kind), nodes={}, late=late, settings=at, now_us=NOW + LATE_US)
    stopped = [write for write in found.writes if isinstance(write, Delete)]
    assert stopped == [Delete(path=paths.batch_path("team", job.name), uid="j", waits=True)]
    gone = look(job.job(worker_jobs=(), pods=()), nodes={}, settings=at, now_us=NOW + LATE_US + SECOND)
    assert gone.started_names[0].startswith("job-r2-")


@pytest.mark.parametrize(
    ("kind", "status"), [("", "True"), ("Accepted", "True"), ("Provisioned", "True"), ("Provisioned", "False")]
)
def test_a_job_whose_request_is_not_refused_waits(kind: str, status: str) -> None:
    at = settings()
    job = begun(at)
    assert not look(job.job(requests=said(job, kind, status=status)), nodes={}, settings=at, now_us=NOW).writes


def test_a_booking_that_has_expired_is_nothing_to_workers_that_have_nodes() -> None:
    at = settings()
    job = begun(at)
    (create,) = job.look.created
    pods = [pod_of(create, index) for index in range(len(job.pods))]
    there = job.job(requests=said(job, "BookingExpired"), pods=pods)
    found = look(there, nodes={}, settings=at, now_us=NOW + LATE_US)
    assert not [write for write in found.writes if isinstance(write, Delete)]


@pytest.mark.parametrize(
    ("kind", "class_name", "is_given_up"),
    [
        pytest.param("Failed", ATOMIC_CLASS, True, id="none can be had"),
        pytest.param("CapacityRevoked", ATOMIC_CLASS, True, id="they were taken back"),
        pytest.param(
            "BookingExpired", ATOMIC_CLASS, False, id="those that are made may take longer than their booking"
        ),
        pytest.param("BookingExpired", CHECKING_CLASS, True, id="what was there is no more kept"),
        pytest.param("Provisioned", CHECKING_CLASS, False, id="there is room"),
        pytest.param("", CHECKING_CLASS, False, id="nothing was said"),
    ],
)
def test_workers_wait_as_long_as_nodes_take_unless_none_is_on_its_way(
    kind: str, class_name: str, is_given_up: bool
) -> None:
    job = begun(settings(provisioningClass=class_name))
    assert said(job, kind, class_name=class_name)[job.name].is_hopeless is is_given_up


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("", "True", "no autoscaler has answered ProvisioningRequest {name}."),
        ("Accepted", "True", "ProvisioningRequest {name} is Accepted: No quota."),
        ("Provisioned", "False", "ProvisioningRequest {name} is not Provisioned yet: No quota."),
        ("Provisioned", "True", "ProvisioningRequest {name} is Provisioned: No quota."),
    ],
)
def test_a_job_whose_workers_wait_says_how_the_request_stands(kind: str, status: str, words: str) -> None:
    job = begun(settings())
    found = look(job.job(requests=said(job, kind, status=status)), nodes={}, settings=settings())
    assert found.message("Admitted") == f"Workers wait for nodes: {words.format(name=job.name)}"


def test_a_job_that_was_refused_says_so_in_the_words_of_the_autoscaler() -> None:
    job = begun(settings())
    late = {("team", "burst"): len(job.pods)}
    found = look(refused(job, "Failed"), nodes={}, late=late, settings=settings())
    assert found.said("Admitted") == ("False", "Unschedulable")
    assert found.message("Admitted").endswith(f"ProvisioningRequest {job.name} is Failed: No quota.")


@pytest.mark.parametrize("is_refused", [True, False])
def test_refusals_in_a_row_are_no_lack_of_progress_of_the_workers(is_refused: bool) -> None:
    """Also while the last refused Job is being deleted, and its workers are not absent any more."""
    at = settings()
    job = begun(at)
    replan = Replan(time=MADE, reason="WorkerLost", before=0, after=1, images_in_sink=0)
    seen = job.job(requests=said(job, "Failed") if is_refused else {})
    scheduled = look(seen, nodes={}, settings=at).decision.scheduled
    assert scheduled is not None
    assert is_fruitless(seen, (replan,) * MAX_FRUITLESS, scheduled) is not is_refused


def test_a_job_in_a_queue_asks_for_nothing() -> None:
    found = look(infj(status=indexed(), deadline=DEADLINE, queueName="q"), nodes={}, settings=settings())
    assert not found.writes


def test_a_buffer_asks_before_there_are_pods() -> None:
    job = begun(BUFFERED)
    (create,) = job.look.created
    assert create.job["spec"]["suspend"], "pods that wait would ask for the same nodes once more"
    template, buffer = look(job.job(), nodes={}, settings=BUFFERED).writes
    assert isinstance(template, Add)
    assert isinstance(buffer, Add)
    assert template.document["template"]["spec"] == create.job["spec"]["template"]["spec"]
    assert buffer.kind == "/apis/autoscaling.x-k8s.io/v1beta1/namespaces/team/capacitybuffers"
    assert buffer.document["spec"] == {
        "podTemplateRef": {"name": template.document["metadata"]["name"]},
        "replicas": create.job["spec"]["completions"],
    }
    (owner,) = buffer.document["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", job.name, "j")


def of_pool(name: str = "m") -> dict[str, Node]:
    """A node that has come."""
    return {name: replace(node(name), labels=POOL_LABELS, pool="burst")}


@pytest.mark.parametrize(
    ("nodes", "is_let"),
    [
        pytest.param({}, False, id="none has come"),
        pytest.param(of_pool(), True, id="one has come"),
        pytest.param({"n": node()}, False, id="one of no pool has room"),
        pytest.param({"m": replace(of_pool()["m"], is_ready=False)}, False, id="it isn't ready"),
        pytest.param({"m": replace(of_pool()["m"], free={})}, False, id="others have its devices"),
    ],
)
def test_pods_are_made_once_a_node_has_come_and_the_buffer_is_deleted_before(
    nodes: dict[str, Node], *, is_let: bool
) -> None:
    job = begun(BUFFERED)
    seen = job.job(requests=buffered(job, "Provisioning"))
    found = look(seen, nodes=nodes, settings=BUFFERED)
    begin = [
        Delete(path=f"/apis/autoscaling.x-k8s.io/v1beta1/namespaces/team/capacitybuffers/{job.name}", uid="b"),
        Change(
            path=paths.batch_path("team", job.name),
            fields={"metadata": {"annotations": {names.BUFFER: names.CAME}}, "spec": {"suspend": False}},
            uid="j",
        ),
    ]
    assert list(found.writes) == (begin if is_let else [])


def test_a_job_whose_buffer_was_deleted_begins_all_the_same() -> None:
    job = begun(BUFFERED)
    (change,) = look(job.job(), nodes=of_pool(), settings=BUFFERED).writes
    assert isinstance(change, Change), "the operator was killed between the two"


def test_a_job_that_has_begun_asks_by_its_pods_alone() -> None:
    job = begun(BUFFERED)
    (found,) = job.worker_jobs
    metadata = found.job.metadata.replace(annotations={**found.job.metadata.annotations, names.BUFFER: names.CAME})
    batch_job = found.job.replace(metadata=metadata, spec=found.job.spec.replace(suspend=False))
    seen = job.job(worker_jobs=[replace(found, job=batch_job)])
    assert not look(seen, nodes={}, settings=BUFFERED).writes
    suspended = batch_job.replace(spec=batch_job.spec.replace(suspend=True))
    held = look(job.job(worker_jobs=[replace(found, job=suspended)]), nodes=of_pool(), settings=BUFFERED)
    assert not [write for write in held.writes if isinstance(write, Change)], "somebody else has suspended it"


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("", "True", "no autoscaler has answered CapacityBuffer {name}."),
        ("ReadyForProvisioning", "True", "CapacityBuffer {name} is ReadyForProvisioning: No quota."),
        ("ReadyForProvisioning", "False", "CapacityBuffer {name} is not ReadyForProvisioning: No quota."),
        ("LimitedByQuotas", "True", "CapacityBuffer {name} is LimitedByQuotas: No quota."),
        ("LimitedByQuotas", "False", "no autoscaler has answered CapacityBuffer {name}."),
        ("Provisioning", "False", "CapacityBuffer {name} is not Provisioning yet: No quota."),
        ("Provisioning", "True", "CapacityBuffer {name} is Provisioning: No quota."),
    ],
)
def test_a_job_that_awaits_nodes_says_how_its_buffer_stands(kind: str, status: str, words: str) -> None:
    job = begun(BUFFERED)
    seen = job.job(requests=buffered(job, kind, status=status))
    message = look(seen, nodes={}, settings=BUFFERED).message("Admitted")
    assert message == f"Workers wait for nodes: {words.format(name=job.name)}"


@pytest.mark.parametrize(
    ("requests", "after_us"),
    [
        pytest.param(("Provisioned", "False"), 2 * LATE_US, id="a request that is tried again and again"),
        pytest.param(("Provisioned", "True"), None, id="one whose nodes are to come"),
        pytest.param(("Accepted", "True"), None, id="one that is looked at"),
        pytest.param(("", "True"), None, id="one that nobody answers"),
    ],
)
def test_a_job_is_deleted_and_asks_again_if_no_node_has_come_that_nobody_promises(
    requests: tuple[str, str], after_us: int | None
) -> None:
    at = settings()
    job = begun(at)
    absent = frozenset((job.name, index) for index in range(len(job.pods)))
    kind, status = requests
    seen = job.job(requests=said(job, kind, status=status), absent=absent)
    late = {("team", "burst"): len(job.pods)}
    assert stops(look(seen, nodes={}, late=late, settings=at, now_us=NOW + 2 * LATE_US - 1)) == []
    stopped = stops(look(seen, nodes={}, late=late, settings=at, now_us=NOW + 2 * LATE_US))
    assert stopped == ([] if after_us is None else [job.name])


@pytest.mark.parametrize(
    ("kind", "status", "at_us", "is_stopped"),
    [
        pytest.param("Provisioning", "True", 2 * LATE_US, True, id="no node has come in time"),
        pytest.param("Provisioning", "False", 2 * LATE_US, True, id="none can be had"),
        pytest.param("Provisioning", "True", 2 * LATE_US - 1, False, id="one may come"),
        pytest.param("ReadyForProvisioning", "False", LATE_US, True, id="it was refused"),
        pytest.param("ReadyForProvisioning", "False", LATE_US - 1, False, id="it was refused just now"),
        pytest.param("ReadyForProvisioning", "True", 2 * LATE_US, False, id="nobody looks for nodes"),
        pytest.param("", "True", 2 * LATE_US, False, id="nobody answers"),
    ],
)
def test_when_a_job_that_awaits_nodes_asks_again(kind: str, status: str, at_us: int, *, is_stopped: bool) -> None:
    job = begun(BUFFERED)
    assert job.worker_jobs[0].assignments
    absent = frozenset((job.name, index) for index in range(len(job.worker_jobs[0].assignments)))
    late = {("team", "burst"): len(absent)}
    seen = job.job(requests=buffered(job, kind, status=status), absent=absent)
    found = look(seen, nodes={}, late=late, settings=BUFFERED, now_us=NOW + at_us)
    assert stops(found) == ([job.name] if is_stopped else [])


def stops(found: Look) -> list[str]:
    """The names of the objects that are deleted."""
    return [write.path.rpartition("/")[2] for write in found.writes if isinstance(write, Delete)]

"""Profile: what is measured for everybody, in the operator's namespace, and who waits for it."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dueby_api.gpu_profile import GPUProfile, ObservedJob
from dueby_api.schema import validate
from dueby_api.step_config import ProfileConfig
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.queues import Flavor, Queue
from dueby_operator.control.policies.profile import MAX_AT_ONCE
from dueby_operator.jobs import names
from dueby_operator.jobs.repeats import LOST_US
from dueby_operator.model.writes import Add, Delete
from support.decisions import MADE, NOW, SETTINGS, indexed, infj, node
from support.node_profiles import NAMESPACE, NIGHT, PROFILER, ended
from support.on_demand import Document, added, begun_for_all, look_for_all, there_now
from support.operator import profile
from support.profiling import (
    A100,
    L4,
    TWO,
    begun,
    condition,
    ended_pod,
    gpu_node,
    job_of,
    measured,
    nodes,
    on,
    seen,
    words,
)

ONE = nodes(gpu_node("gpu-0"))
CLASS = "nvidia-a100-sxm4-40gb-efficientnet-lite0-224-fp32-openvino"


def done(*, node: str = "gpu-0", **spec: Any) -> tuple[Document, Document]:
    """Return a Job that has measured the class of the only node, and its pod."""
    (document,) = begun_for_all(there=ONE, **spec)
    complete = there_now(document, Complete="Done")
    return complete, ended(complete, measured(measured_at=NIGHT).spec, node=node, image="sha256:1")


def other(number: int, namespace: str = "other", **spec: Any) -> Document:
    """Return a job of another tenant."""
    metadata = {"name": f"job-{number}", "namespace": namespace, "uid": f"{namespace}-{number}"}
    return infj(metadata=metadata, **spec)


def test_it_is_measured_with_the_operators_image_where_no_tenant_can_touch_it() -> None:
    worker = {
        "nodeSelector": {"pool": "a"},
        "tolerations": [{"key": "team", "operator": "Exists"}],
        "priorityClassName": "urgent",
        "envFrom": [{"secretRef": {"name": "keys"}}],
        "serviceAccountName": "reader",
        "labels": {"team": "a"},
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    there = nodes(gpu_node("gpu-0", labels={"pool": "a"}), gpu_node("gpu-1", L4))
    (found,) = look_for_all(infj(worker=worker), there=there)
    (document,) = added(found)
    metadata, pod = document["metadata"], document["spec"]["template"]["spec"]
    assert (metadata["namespace"], metadata["labels"][names.PROFILED]) == (NAMESPACE, metadata["name"])
    assert "team" not in document["spec"]["template"]["metadata"]["labels"]
    assert "ownerReferences" not in metadata
    (container,) = pod["containers"]
    assert container["image"] == SETTINGS.image
    assert {entry["name"] for entry in container["env"]} == {"HOME"}
    assert container.get("envFrom", []) == []
    assert (pod["serviceAccountName"], pod["priorityClassName"]) == (PROFILER.name, f"{PROFILER.name}-on-demand")
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": A100, "pool": "a"}
    assert {"key": "team", "operator": "Exists"} in pod["tolerations"]
    assert [volume["name"] for volume in pod["volumes"]] == ["dueby-config", "dueby-scratch"]
    told = json.loads(document["spec"]["template"]["metadata"]["annotations"][names.CONFIG])
    (subject,) = told.pop("workers")
    config = validate(ProfileConfig, told | subject)
    assert (config.device_class, config.gpu, config.model.weights) == (A100, True, "none")


def test_a_slice_of_cores_that_a_job_names_is_measured_also_where_nothing_is_measured_on_a_clock() -> None:
    settings = replace(SETTINGS, profiler=PROFILER.replace(enabled=False))
    (found,) = look_for_all(infj(gpus={"classes": ["cpu-1"]}), there=nodes(node()), settings=settings)
    assert condition(found).reason == "Profiling"
    (document,) = added(found)
    assert document["metadata"]["annotations"][names.DEVICE_CLASS] == "cpu-1"
    (container,) = document["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["cpu"] == "1"


def test_jobs_of_all_tenants_that_wait_for_the_same_share_it() -> None:
    first, second, third = look_for_all(infj(), other(1), other(2, gpus={"classes": [L4]}))
    assert [len(added(found)) for found in (first, second, third)] == [2, 0, 0]
    assert [condition(found).reason for found in (first, second, third)] == ["Profiling"] * 3
    there = [there_now(document) for document in added(first)]
    pod = ended(there[0], measured().spec, node="gpu-0") | {"status": {"phase": "Running", "podIP": "10.0.0.1"}}
    said = {"doing": "growing the mini-batch: 4", "leftSeconds": 31}
    (second, third) = look_for_all(
        other(1), other(2, gpus={"classes": [L4]}), made=there, pods=[pod], progress={pod["metadata"]["name"]: said}
    )
    assert f"{A100}: growing the mini-batch: 4, at most 35s left; {L4}: its pod is being" in condition(second).message
    assert A100 not in condition(third).message
    assert not second.decisions.clearing


def test_what_was_measured_for_everybody_and_is_gone_with_its_pod_is_measured_again() -> None:
    complete, _ = done()
    complete["status"]["completionTime"] = MADE
    (found,) = look_for_all(infj(), there=ONE, made=[complete], now_us=NOW + LOST_US + 1)
    delete, add = found.writes[-2:]
    assert isinstance(delete, Delete)
    assert delete.uid == complete["metadata"]["uid"]
    assert isinstance(add, Add)
    assert add.document["metadata"]["name"] == complete["metadata"]["name"]
    assert add.document["metadata"]["annotations"][names.ATTEMPT] == "2"


def test_what_nobody_waits_for_any_more_ends() -> None:
    there = begun_for_all()
    (found,) = look_for_all(other(1, gpus={"classes": [L4]}), made=there)
    ends = [write for write in found.decisions.clearing if isinstance(write, Delete)]
    (gone,) = [document for document in there if document["metadata"]["annotations"][names.DEVICE_CLASS] == A100]
    assert [(write.path.rpartition("/")[2], write.uid) for write in ends] == [
        (gone["metadata"]["name"], gone["metadata"]["uid"])
    ]
    (suspended,) = look_for_all(infj(suspend=True), made=there)
    assert len(suspended.decisions.clearing) == 2


def test_nobody_waits_for_a_node_that_another_has_chosen() -> None:
    chosen = {"worker": {"nodeSelector": {"kubernetes.io/hostname": "gpu-0"}}}
    there = nodes(gpu_node("gpu-0", labels={"kubernetes.io/hostname": "gpu-0"}), gpu_node("gpu-1"))
    begun = begun_for_all(there=there, **chosen)
    _, found = look_for_all(infj(**chosen), other(1), made=begun, there=there)
    assert len(added(found)) == 1


def test_what_was_measured_is_the_nodes_and_the_classs_and_every_job_is_planned_on_it_at_once() -> None:
    complete, pod = done()
    driver = {"nvidia.com/cuda.driver-version.full": "580.95.05"}
    there = nodes(gpu_node("gpu-0", labels=driver))
    first, second = look_for_all(infj(status=indexed()), other(1), made=[complete], pods=[pod], there=there)
    stored = first.decisions.new_profiles
    own, of_class = (found.document() for found in stored)
    assert (own["metadata"]["name"], of_class["metadata"]["name"]) == (f"{CLASS}-gpu-0", CLASS)
    owner = {"apiVersion": "v1", "kind": "Node", "name": "gpu-0", "uid": "uid-gpu-0"}
    assert own["metadata"]["ownerReferences"] == [owner]
    assert "ownerReferences" not in of_class["metadata"]
    for made in (own, of_class):
        assert made["spec"]["software"] == {"image": "sha256:1", "imageName": SETTINGS.image}
        assert made["spec"]["device"]["driver"] == "580.95.05"
    assert [condition(found).reason for found in (first, second)] == ["Profiled"] * 2
    assert first.status.plan is not None
    assert [(group.device_class, group.profile) for group in first.status.plan.groups] == [(A100, CLASS)]
    (again,) = look_for_all(other(1), made=[complete], pods=[pod], there=there, profiles=stored)
    assert not again.decisions.new_profiles
    (again,) = look_for_all(other(1), made=[complete], pods=[pod], there=there, profiles=stored[:1])
    assert [found.name for found in again.decisions.new_profiles] == [CLASS], "an operator was killed in between"


def test_a_node_that_is_gone_leaves_the_classs_profile() -> None:
    complete, pod = done(node="gone")
    (found,) = look_for_all(infj(), made=[complete], pods=[pod], there=ONE)
    (made,) = found.decisions.new_profiles
    assert (made.name, made.spec.device.node) == (CLASS, None)


@pytest.mark.parametrize("keeps_profiles", [True, False])
def test_no_job_is_planned_with_what_a_node_says_of_devices_that_it_does_not_have(keeps_profiles: bool) -> None:
    forged = on("gpu-1", 1, A100)
    (found,) = look_for_all(infj(gpus={"classes": [A100]}), profiles=[forged], keeps_profiles=keeps_profiles)
    assert condition(found).reason == "Profiling"
    assert not found.decisions.new_profiles


def test_what_was_measured_on_devices_that_a_node_no_longer_has_is_not_stored() -> None:
    complete, pod = done()
    (found,) = look_for_all(infj(), made=[complete], pods=[pod], there=nodes(gpu_node("gpu-0", L4)))
    assert not found.decisions.new_profiles


def test_of_a_node_that_is_gone_the_classs_profile_is_written_once_and_keeps_what_jobs_have_shown() -> None:
    complete, pod = done(node="gone")
    (found,) = look_for_all(infj(), made=[complete], pods=[pod], there=ONE)
    (made,) = found.decisions.new_profiles
    row = ObservedJob(job="u-2", time=NIGHT + timedelta(hours=1), workers=1, steps=500, step_ratio=1.0)
    shown = made.replace(spec=made.spec.replace(observed=(row,)))
    later = made.replace(spec=shown.spec.replace(measured_at=NIGHT + timedelta(hours=2)))
    for there in (made, shown, later):
        (again,) = look_for_all(other(1), made=[complete], pods=[pod], there=ONE, profiles=[there])
        assert not again.decisions.new_profiles
    earlier = shown.replace(spec=shown.spec.replace(measured_at=NIGHT - timedelta(days=1)))
    (again,) = look_for_all(other(1), made=[complete], pods=[pod], there=ONE, profiles=[earlier])
    (made,) = again.decisions.new_profiles
    assert (made.spec.measured_at, made.spec.observed) == (NIGHT, (row,))


def test_what_was_measured_is_not_stored_in_the_place_of_somebody_elses_profile() -> None:
    theirs = profile("NVIDIA-OLD")
    of_another = theirs.spec.replace(model=theirs.spec.model.replace(name="resnet18"))
    theirs = theirs.replace(metadata=theirs.metadata.replace(name=CLASS), spec=of_another)
    complete, pod = done()
    (found,) = look_for_all(infj(), made=[complete], pods=[pod], there=ONE, profiles=[theirs])
    assert not found.decisions.new_profiles
    assert condition(found).reason == "ProfilingFailed"
    assert f"the GPUProfile {CLASS} was made by somebody else" in condition(found).message


def test_what_failed_is_tried_again_when_its_job_is_gone() -> None:
    (document,) = begun_for_all(there=ONE)
    assert document["spec"]["ttlSecondsAfterFinished"] == 3600
    failed = there_now(document, Failed="DeadlineExceeded")
    (found,) = look_for_all(infj(), made=[failed], there=ONE)
    name = document["metadata"]["name"]
    assert condition(found).reason == "ProfilingFailed"
    assert "it took longer than 1h00m." in condition(found).message
    assert f"an hour later, or after `kubectl delete job {name} -n {NAMESPACE}`" in condition(found).message
    assert not added(found)
    assert len(begun_for_all(there=ONE)) == 1


def test_one_namespace_has_so_much_measured_at_the_same_time_and_no_more() -> None:
    flood = [other(n, "flood", model={"name": "resnet18", "imageSize": 100 + n}) for n in range(20)]
    *found, last = look_for_all(*flood, infj(metadata={"creationTimestamp": MADE}, deadline="1000h"), there=ONE)
    assert sum(len(added(each)) for each in found) == MAX_AT_ONCE
    assert f"{A100}: waits for what else is measured for jobs of flood" in condition(found[-1]).message
    assert len(added(last)) == 1
    left = last.decisions.left.devices
    assert isinstance(left, ClusterDevices)
    assert not left.unscheduled, "it gives way to workers"


@pytest.mark.parametrize("worker", [{"image": "mine:1"}, {"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]}])
def test_a_job_with_software_of_its_own_waits_for_nobodys_measurement(worker: dict[str, Any]) -> None:
    (found,) = look_for_all(infj(worker=worker), made=begun_for_all())
    assert len(found.created) == 3, "the index step, and a Job of its own for each class"
    assert not added(found)


def test_a_classs_profile_serves_a_job_with_software_of_its_own_too() -> None:
    known: list[GPUProfile] = [profile(A100)]
    (found,) = look_for_all(infj(status=indexed(), worker={"image": "mine:1"}), profiles=known, there=TWO)
    assert condition(found).reason == "Profiled"


def test_a_job_with_a_profile_does_not_wait_for_what_others_have_measured() -> None:
    there = begun_for_all(gpus={"classes": [L4]})
    pod = ended(there[0], measured(L4).spec, node="gpu-1") | {"status": {"phase": "Running"}}
    wants_l4 = other(1, gpus={"classes": [L4]})
    known: dict[str, Any] = {"profiles": [profile(A100)], "made": there, "pods": [pod]}
    *_, found = look_for_all(wants_l4, infj(status=indexed(), deadline="1000h"), **known)
    assert condition(found).reason == "Profiled"
    waiting = {"type": "Profiled", "status": "False", "reason": "Profiling", "message": "", "lastTransitionTime": MADE}
    status = indexed()
    status["conditions"].append(waiting)
    *_, found = look_for_all(wants_l4, infj(status=status, deadline="1000h"), **known)
    assert condition(found).reason == "Profiling", "but one that has waited so long waits for the rest"


def test_a_job_in_a_queue_has_a_class_measured_while_its_quota_would_cover_a_worker() -> None:
    quota = {"cpu": 8.0, "memory": 2.0**36, "nvidia.com/gpu": 1.0}

    def begun(used: float) -> int:
        flavor = Flavor(node_labels={}, quota=quota, used={"nvidia.com/gpu": used})
        queues = {("team", "night"): Queue(groups=((flavor,),))}
        (found,) = look_for_all(infj(queueName="night"), there=ONE, queues=queues)
        return len(added(found))

    assert (begun(0), begun(1)) == (1, 0)


@pytest.mark.parametrize("ended", [{}, {"Complete": "Done"}])
def test_an_edit_to_the_operators_image_has_it_measured_for_everybody(ended: dict[str, str]) -> None:
    own = {"worker": {"image": "mine:1"}, "gpus": {"classes": [A100]}}
    (create,) = begun(A100, **own)
    pods = [ended_pod(create, words(measured()))] if ended else []
    (found,) = look_for_all(seen(infj(gpus={"classes": [A100]}), job_of(create, **ended), pods=pods), there=ONE)
    assert len(added(found)) == 1
    ends = [write.path.rpartition("/")[2] for write in found.writes if isinstance(write, Delete)]
    assert ends == ([] if ended else [create.job["metadata"]["name"]])

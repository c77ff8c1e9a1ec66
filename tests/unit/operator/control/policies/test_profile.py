"""Profile: what is measured for a job that has no profile, and when nothing is."""

from typing import Any

import pytest

from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.nodes import PodRow
from dueby_operator.cluster.pods_on_nodes import take_pods
from dueby_operator.cluster.queues import Flavor, Queue
from dueby_operator.jobs.names import QUEUE
from dueby_operator.model.job_snapshot import JobMemory
from dueby_operator.model.writes import Delete
from support.decisions import NOW, cluster, indexed, infj, job, look, look_at, node
from support.operator import profile
from support.profiling import A100, L4, TWO, begun, classes_begun, condition, created, gpu_node, job_of, nodes, seen

CPUS = nodes(node(slice_cpus=2))
BUSY = nodes(gpu_node("gpu-0", gpus=0))
TAINTED = nodes(gpu_node("gpu-0", taints=[{"key": "team", "value": "b", "effect": "NoSchedule"}]))
RESERVED = nodes(gpu_node("gpu-0", taints=[{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]))
ON_GPUS = {"source": {"uri": "s3://bucket/photos", "decoder": "gpu"}}
OPENVINO = {"name": "efficientnet_lite0", "engine": "openvino"}


@pytest.mark.parametrize(
    ("there", "spec", "reason", "begins"),
    [
        pytest.param(TWO, {}, "Profiling", [A100, L4], id="all classes of GPUs with a free device"),
        pytest.param(TWO, {"gpus": {"classes": [L4]}}, "Profiling", [L4], id="those that the job names"),
        pytest.param(CPUS, {"gpus": {"classes": ["cpu-2"]}}, "Profiling", ["cpu-2"], id="slices that the job names"),
        pytest.param(CPUS, {}, "NoProfile", [], id="no slices that it doesn't name"),
        pytest.param(TWO, {"model": OPENVINO}, "NoProfile", [], id="no GPU for an engine on CPUs"),
        pytest.param(
            TWO, {"model": OPENVINO, "gpus": {"classes": [A100]}}, "Profiling", [A100], id="unless the job names it"
        ),
        pytest.param(
            CPUS, {"gpus": {"classes": ["cpu-2"]}} | ON_GPUS, "NoProfile", [], id="but none where a GPU is to decode"
        ),
        pytest.param(CPUS, {"gpus": {"classes": ["cpu-16"]}}, "NoProfile", [], id="no slice larger than its node"),
        pytest.param(BUSY, {}, "NoProfile", [], id="no class without a free device"),
        pytest.param(TAINTED, {}, "NoProfile", [], id="none behind a taint"),
        pytest.param(
            TAINTED,
            {"worker": {"tolerations": [{"key": "team", "operator": "Exists"}]}},
            "Profiling",
            [A100],
            id="but behind one that is tolerated",
        ),
        pytest.param(RESERVED, {}, "Profiling", [A100], id="and behind the one that keeps others from GPUs"),
        pytest.param(TWO, {"gpus": {"classes": ["NVIDIA-H100"]}}, "NoProfile", [], id="none that no node has"),
    ],
)
def test_without_any_profile_what_may_be_used_and_is_free_is_measured(
    there: dict[str, Any], spec: dict[str, Any], reason: str, begins: list[str]
) -> None:
    found = look(infj(**spec), profiles=(), nodes=there)
    assert (condition(found).status, condition(found).reason) == ("False", reason)
    assert classes_begun(found) == begins
    left = found.decisions.left.devices
    assert isinstance(left, ClusterDevices)
    assert all(left.unscheduled[name] == 1 for name in begins)


@pytest.mark.parametrize(
    ("there", "named", "told"),
    [
        pytest.param(
            {**TWO, **CPUS},
            "nvidia-l4",
            f"could use are {A100}, {L4}, cpu-2. Did you mean {L4}?",
            id="one in small letters",
        ),
        pytest.param(TWO, "NVIDIA-H100", f"The classes that this job could use are {A100}, {L4}. Add", id="none there"),
        pytest.param(TWO, "cpu-1", f"The classes that this job could use are {A100}, {L4}. Add", id="no slices"),
        pytest.param(TAINTED, "NVIDIA-H100", "no node has NVIDIA-H100. Add such a node", id="none that it may use"),
    ],
)
def test_a_class_that_no_node_has_is_told_with_the_classes_there_are(
    there: dict[str, Any], named: str, told: str
) -> None:
    found = look(infj(gpus={"classes": [named]}), profiles=(), nodes=there)
    assert condition(found).reason == "NoProfile"
    assert told in condition(found).message


def test_the_index_step_begins_at_the_same_time() -> None:
    found = look(infj(), profiles=(), nodes=TWO)
    assert condition(found, "Indexed").reason == "Indexing"
    assert found.status.phase == "Indexing"
    assert look(infj(status=indexed()), profiles=(), nodes=TWO).status.phase == "Profiling"


@pytest.mark.parametrize(
    ("profiles", "begins", "truth"),
    [
        pytest.param([A100], [], "True", id="a class that is there has one"),
        pytest.param(["cpu-1"], [A100, L4], "False", id="only a class that is not there has one"),
        pytest.param(["NVIDIA-H100", L4], [], "True", id="one is there and one is not"),
    ],
)
def test_a_job_is_planned_at_once_by_a_profile_of_a_class_that_is_there(
    profiles: list[str], begins: list[str], truth: str
) -> None:
    found = look(infj(status=indexed()), profiles=tuple(map(profile, profiles)), nodes=TWO)
    assert classes_begun(found) == begins
    assert condition(found).status == truth


@pytest.mark.parametrize(("spec", "begins"), [({}, []), (ON_GPUS, [A100])], ids=["planned", "a GPU is to decode"])
def test_a_profile_of_slices_is_none_for_a_job_whose_photos_a_gpu_decodes(
    spec: dict[str, Any], begins: list[str]
) -> None:
    there = nodes(node(), gpu_node("gpu-0"))
    found = look(infj(status=indexed(), **spec), profiles=(profile("cpu-1"),), nodes=there)
    assert classes_begun(found) == begins


def test_a_pool_that_was_scaled_to_nothing_is_waited_for_if_nothing_else_can_be_measured() -> None:
    found = look(infj(status=indexed()), profiles=(profile(A100),), nodes=CPUS)
    assert condition(found).status == "True"
    assert condition(found, "Feasible").reason == "Waiting"


def test_nothing_is_measured_for_a_job_that_is_suspended_or_was_refused_a_moment_ago() -> None:
    assert not created(look(infj(suspend=True), profiles=(), nodes=TWO))
    refused = job(infj(), memory=JobMemory(refused_until_us=NOW + 1))
    assert not created(look(refused, profiles=(), nodes=TWO))


def test_suspending_ends_what_is_being_measured() -> None:
    (create,) = begun(A100)
    found = look(seen(infj(suspend=True), job_of(create), pods=[]), profiles=(), nodes=TWO)
    assert [write.path for write in found.writes if isinstance(write, Delete)] == [
        f"/apis/batch/v1/namespaces/team/jobs/{create.job['metadata']['name']}"
    ]


def test_a_job_that_has_begun_goes_on_while_its_nodes_are_out_of_sight() -> None:
    before = look(infj(status=indexed()), profiles=(profile(A100),), nodes=nodes(gpu_node("gpu-0")))
    document = infj(status=before.status.document())
    found = look(document, profiles=(profile(A100),), nodes=nodes(gpu_node("gpu-1", L4)))
    assert condition(found).status == "True"
    assert not created(found)


def test_what_is_measured_for_one_job_alone_is_measured_for_another_too() -> None:
    one, two = gpu_node("gpu-0", gpus=1), gpu_node("gpu-1", L4)
    first, second = job(infj()), job(infj(metadata={"name": "other", "uid": "u-2"}))
    found = look_at(cluster(first, second, profiles=(), nodes=nodes(one, two)))
    assert [classes_begun(each) for each in found] == [[A100, L4], [L4]], "as far as a device is left"


def test_an_edit_of_the_model_ends_what_is_measured_for_the_one_before() -> None:
    (before,) = begun(A100)
    edited = infj(model={"name": "resnet18"})
    found = look(seen(edited, job_of(before), pods=[]), profiles=(), nodes=nodes(gpu_node("gpu-0")))
    assert any(isinstance(w, Delete) and w.path.endswith(before.job["metadata"]["name"]) for w in found.writes)
    (create,) = created(found)
    assert create.job["metadata"]["name"] != before.job["metadata"]["name"]


def test_a_job_in_a_queue_measures_through_its_queue() -> None:
    quota = {"cpu": 8.0, "memory": 2.0**36, "nvidia.com/gpu": 1.0}

    def queues(used: float) -> dict[tuple[str, str], Queue]:
        flavor = Flavor(node_labels={}, quota=quota, used={"nvidia.com/gpu": used})
        return {("team", "night"): Queue(groups=((flavor,),))}

    there, document = nodes(gpu_node("gpu-0")), infj(queueName="night")
    (create,) = created(look(document, profiles=(), nodes=there, queues=queues(0)))
    assert (create.job["metadata"]["labels"][QUEUE], create.job["spec"]["suspend"]) == ("night", True)
    found = look(seen(document, job_of(create), pods=[]), profiles=(), nodes=there, queues=queues(1))
    assert f"{A100}: waits in its queue" in condition(found).message
    assert not created(look(document, profiles=(), nodes=there, queues=queues(1)))


def test_a_gpu_that_runs_a_pod_of_someone_else_is_not_free() -> None:
    row = PodRow(node="gpu-0", requests={"nvidia.com/gpu": 1.0, "pods": 1.0})
    found = look(infj(), profiles=(), nodes=take_pods([gpu_node("gpu-0", gpus=1)], [row]))
    assert condition(found).reason == "NoProfile"
    assert f"no device of {A100} is free" in condition(found).message


def test_gpus_that_workers_cant_ask_for_are_told_of_where_nothing_can_be_measured() -> None:
    uncounted = "GPUs of n are not counted, since of that"
    for there in (CPUS, BUSY):
        found = look(infj(), profiles=(), nodes=there, uncounted=uncounted)
        assert condition(found).reason == "NoProfile"
        assert f"; {uncounted}. " in condition(found).message

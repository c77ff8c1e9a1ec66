"""Profile: what is measured for a job that has no profile, and what its condition says about it."""

from typing import Any

import pytest

from dueby_api.gpu_profile import GPUProfile
from dueby_api.plan import PlannedGroup
from dueby_api.status import Condition
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.nodes import PodRow, take_pods
from dueby_operator.cluster.queues import Flavor, Queue
from dueby_operator.jobs.names import QUEUE
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.memory import JobMemory
from dueby_operator.model.writes import Delete
from support.decisions import NOW, SETTINGS, Look, cluster, indexed, infj, job, look, look_at, node, pod_of
from support.operator import profile
from support.profiling import A100, L4, begun, created, ended_pod, gpu_node, job_of, measured, nodes, words

TWO = nodes(gpu_node("gpu-0", A100), gpu_node("gpu-1", L4))
CPUS = nodes(node())
BUSY = nodes(gpu_node("gpu-0", gpus=0))
TAINTED = nodes(gpu_node("gpu-0", taints=[{"key": "team", "value": "b", "effect": "NoSchedule"}]))
RESERVED = nodes(gpu_node("gpu-0", taints=[{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]))
OPENVINO = {"name": "efficientnet_lite0", "engine": "openvino"}


def condition(found: Look, kind: str = "Profiled") -> Condition:
    return found.condition(kind)


def classes_begun(found: Look) -> list[str]:
    return [create.job["metadata"]["annotations"]["dueby.dev/device-class"] for create in created(found)]


def new_profiles(found: Look) -> tuple[GPUProfile, ...]:
    return found.decisions.new_profiles


def planned_groups(found: Look) -> tuple[PlannedGroup, ...]:
    assert found.status.plan is not None
    return found.status.plan.groups


def seen(document: dict[str, Any], *jobs: dict[str, Any], pods: list[dict[str, Any]], **more: Any) -> JobSnapshot:
    """The job with its Jobs that measure."""
    return job(document, profiling=jobs, pods=pods, **more)


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


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        pytest.param({}, "starting", id="it does not answer yet"),
        pytest.param({"doing": "starting", "leftSeconds": None}, "starting", id="it has not begun"),
        pytest.param(
            {"doing": "growing the mini-batch: 4", "leftSeconds": 31},
            "growing the mini-batch: 4, at most 35s left",
            id="it is at work",
        ),
    ],
)
def test_the_condition_says_how_far_it_is(progress: dict[str, Any], told: str) -> None:
    (create,) = begun(A100)
    pod = pod_of(create)
    measuring = seen(
        infj(), job_of(create), pods=[pod], profiling_progress={pod["metadata"]["name"]: progress} if progress else {}
    )
    found = look(measuring, profiles=(), nodes=TWO)
    assert f"{A100}: {told}" in condition(found).message
    assert classes_begun(found) == [L4]


def test_a_pod_that_does_not_start_is_explained() -> None:
    (create,) = begun(A100)
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    pod = pod_of(create, phase="Pending", containerStatuses=[waiting])
    found = look(seen(infj(), job_of(create), pods=[pod]), profiles=(), nodes=TWO)
    assert f"{A100}: ImagePullBackOff: no such image" in condition(found).message


def test_what_was_measured_is_stored_as_the_nodes_and_as_the_classs_and_then_planned_on() -> None:
    (create,) = begun(A100)
    there = nodes(gpu_node("gpu-0"))
    document = infj(status=indexed())
    measuring = seen(document, job_of(create, Complete="Done"), pods=[ended_pod(create, words(measured()))])
    found = look(measuring, profiles=(), nodes=there)
    assert condition(found).reason == "Profiling"
    own, of_class = (found.document() for found in new_profiles(found))
    assert own["metadata"]["name"] == f"{of_class['metadata']['name']}-gpu-0"
    assert of_class["metadata"]["name"] == "nvidia-a100-sxm4-40gb-efficientnet-lite0-224-fp32-openvino"
    assert own["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "gpu-0", "uid": "uid-gpu-0"}
    ]
    assert "ownerReferences" not in of_class["metadata"]
    assert own["spec"]["device"]["node"] == "gpu-0"
    assert "node" not in of_class["spec"].get("device", {})

    stored = new_profiles(found)
    after = look(measuring, profiles=stored, nodes=there)
    assert condition(after).reason == "Profiled"
    assert not new_profiles(after)
    assert [group.device_class for group in planned_groups(after)] == [A100]
    half = look(measuring, profiles=stored[:1], nodes=there)
    assert len(new_profiles(half)) == 2, "an operator was killed in between"


@pytest.mark.parametrize(
    ("worker", "software"),
    [
        pytest.param({}, {"image": "sha256:1", "imageName": SETTINGS.image}, id="the operator's"),
        pytest.param({"image": "mine:1"}, {"image": "sha256:1"}, id="one of the job's own, by no name"),
    ],
)
def test_a_profile_says_what_driver_and_image_it_comes_from(worker: dict[str, str], software: dict[str, str]) -> None:
    (create,) = begun(A100, worker=worker)
    pod = ended_pod(create, words(measured()))
    pod["status"]["containerStatuses"][0]["imageID"] = "docker.io/dueby/worker@sha256:1"
    there = nodes(gpu_node("gpu-0", labels={"nvidia.com/cuda.driver-version.full": "580.95.05"}))
    measuring = seen(infj(worker=worker), job_of(create, Complete="Done"), pods=[pod])
    found = look(measuring, profiles=(), nodes=there)
    assert new_profiles(found)
    for made in new_profiles(found):
        document = made.document()
        assert document["spec"]["device"]["driver"] == "580.95.05"
        assert document["spec"]["software"] == software


def test_a_node_that_is_gone_leaves_the_classs_profile() -> None:
    (create,) = begun(A100)
    measuring = seen(infj(), job_of(create, Complete="Done"), pods=[ended_pod(create, words(measured()), node="gone")])
    found = look(measuring, profiles=(), nodes=nodes(gpu_node("gpu-0")))
    (made,) = new_profiles(found)
    assert "node" not in made.document()["spec"].get("device", {})


def test_those_at_work_are_waited_for_and_those_that_have_not_begun_are_not() -> None:
    first, second = begun(A100, L4)
    document = infj(status=indexed())
    jobs, ended = (job_of(first, Complete="Done"), job_of(second)), ended_pod(first, words(measured()))
    at_work = seen(document, *jobs, pods=[ended, pod_of(second)])
    found = look(at_work, profiles=(profile(A100),), nodes=TWO)
    assert condition(found).reason == "Profiling"
    waiting = seen(document, *jobs, pods=[ended, pod_of(second, phase="Pending")])
    found = look(waiting, profiles=(profile(A100),), nodes=TWO)
    # Its own profile is still to be stored, as the node's; once it is, the job is planned.
    stored = new_profiles(found)
    found = look(waiting, profiles=(profile(A100), *stored), nodes=TWO)
    assert condition(found).reason == "Profiled"
    assert [write.path.rpartition("/")[2] for write in found.writes if isinstance(write, Delete)] == [
        second.job["metadata"]["name"]
    ]


@pytest.mark.parametrize(
    ("message", "code", "failed", "told"),
    [
        pytest.param('{"error":"sees no GPU","field":"gpu"}', 2, {}, "gpu: sees no GPU", id="the input is wrong"),
        pytest.param('{"error":"boom"}', 1, {"Failed": "BackoffLimitExceeded"}, "boom", id="it failed twice"),
        pytest.param("", 143, {"Failed": "DeadlineExceeded"}, "it took longer than 10m00s", id="it took too long"),
        pytest.param('{"profile":"H4sI"}', 0, {"Complete": "Done"}, "no packed profile", id="its words were cut off"),
        pytest.param("{}", 0, {"Complete": "Done"}, "its pod is gone", id="its words are gone"),
        pytest.param(words(measured(L4)), 0, {"Complete": "Done"}, f"is of {L4}", id="it measured something else"),
        pytest.param(f'{{"error":"{"x" * 4000}"}}', 2, {}, "x" * 400, id="it said a lot"),
    ],
)
def test_a_class_that_cannot_be_measured_is_said_with_what_to_do(
    message: str, code: int, failed: dict[str, str], told: str
) -> None:
    (create,) = begun(A100)
    measuring = seen(infj(), job_of(create, **failed), pods=[ended_pod(create, message, code=code)])
    found = look(measuring, profiles=(), nodes=nodes(gpu_node("gpu-0")))
    said = condition(found)
    assert said.reason == "ProfilingFailed"
    assert told in said.message
    assert f"`kubectl delete job {create.job['metadata']['name']}`" in said.message
    assert len(said.message) < 1500
    assert not created(found)


def test_a_class_that_failed_is_left_out_of_the_plan_and_named() -> None:
    first, second = begun(A100, L4)
    document = infj(status=indexed())
    jobs = job_of(first, Complete="Done"), job_of(second, Failed="BackoffLimitExceeded")
    pods = [ended_pod(first, words(measured())), ended_pod(second, '{"error":"boom"}', code=1, node="gpu-1")]
    found = look(seen(document, *jobs, pods=pods), profiles=(), nodes=TWO)
    stored = new_profiles(found)
    found = look(seen(document, *jobs, pods=pods), profiles=stored, nodes=TWO)
    assert condition(found).message == f"{L4} is left out, since measuring it failed: boom"
    assert [group.device_class for group in planned_groups(found)] == [A100]


def test_a_job_that_has_begun_goes_on_while_its_nodes_are_out_of_sight() -> None:
    before = look(infj(status=indexed()), profiles=(profile(A100),), nodes=nodes(gpu_node("gpu-0")))
    document = infj(status=before.status.document())
    found = look(document, profiles=(profile(A100),), nodes=nodes(gpu_node("gpu-1", L4)))
    assert condition(found).status == "True"
    assert not created(found)


def test_what_is_measured_for_one_job_is_not_measured_for_another() -> None:
    first = job(infj())
    second = job(infj(metadata={"name": "other", "uid": "u-2"}))
    third = job(infj(metadata={"name": "third", "uid": "u-3"}, gpus={"classes": ["NVIDIA-H100"]}))
    found = look_at(cluster(first, second, third, profiles=(), nodes=TWO))
    assert [classes_begun(each) for each in found] == [[A100, L4], [], []]
    assert f"{A100}: is being measured for the job team/job" in condition(found[1]).message
    assert condition(found[2]).reason == "NoProfile"

    only_a100 = {"gpus": {"classes": [A100]}}
    (create,) = begun(A100, **only_a100)
    at_work = seen(infj(**only_a100), job_of(create), pods=[])
    _, other = look_at(cluster(at_work, second, profiles=(), nodes=TWO))
    assert classes_begun(other) == [L4]


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
        flavor = Flavor(node_labels={}, nominal=quota, used={"nvidia.com/gpu": used})
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

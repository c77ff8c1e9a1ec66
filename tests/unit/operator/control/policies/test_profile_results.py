"""Profile: how far measuring is, what comes of it, and what the job's condition says about both."""

from typing import Any

import pytest

from dueby_api.gpu_profile import GPUProfile
from dueby_api.plan import PlannedGroup
from dueby_operator import paths
from dueby_operator.jobs import names
from dueby_operator.jobs.repeats import LOST_US
from dueby_operator.model.writes import Delete
from support.decisions import MADE, NOW, Look, indexed, infj, look, node, pod_of
from support.node_profiles import NIGHT, ended
from support.on_demand import added, begun_for_all, look_for_all, there_now
from support.operator import profile
from support.profiling import (
    A100,
    L4,
    TWO,
    begun,
    classes_begun,
    condition,
    created,
    ended_pod,
    gpu_node,
    job_of,
    measured,
    nodes,
    seen,
    words,
)

CLASS = "nvidia-a100-sxm4-40gb-efficientnet-lite0-224-fp32-openvino"


def new_profiles(found: Look) -> tuple[GPUProfile, ...]:
    return found.decisions.new_profiles


def planned_groups(found: Look) -> tuple[PlannedGroup, ...]:
    assert found.status.plan is not None
    return found.status.plan.groups


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
    waiting = {"name": "dueby", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    pod = pod_of(create, phase="Pending", containerStatuses=[waiting])
    found = look(seen(infj(), job_of(create), pods=[pod]), profiles=(), nodes=TWO)
    assert f"{A100}: ImagePullBackOff: no such image" in condition(found).message


@pytest.mark.parametrize("worker", [{}, {"image": "mine:1"}, {"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]}])
def test_what_a_tenants_pod_has_measured_is_kept_for_that_job_alone(worker: dict[str, Any]) -> None:
    there, spec = nodes(gpu_node("gpu-0")), {"worker": worker}
    (create,) = begun(A100, **spec)
    complete, pod = job_of(create, Complete="Done"), ended_pod(create, words(measured()))
    found = look(seen(infj(status=indexed(), **spec), complete, pods=[pod]), profiles=(), nodes=there)
    assert condition(found).reason == "Profiling"
    assert not new_profiles(found)

    # Its pod may go, and the operator be started again: the job's status has it.
    status = found.status.document()
    after = look(infj(status=status, **spec), profiles=(), nodes=there)
    assert condition(after).reason == "Profiled"
    (group,) = planned_groups(after)
    assert (group.device_class, group.profile) == (A100, f"{CLASS}-own")
    assert after.status.own_profiles == found.status.own_profiles
    again = look(seen(infj(status=after.status.document(), **spec), complete, pods=[pod]), profiles=(), nodes=there)
    assert again.status.own_profiles == found.status.own_profiles

    edited = look(infj(status=status, model={"name": "resnet18"}, **spec), profiles=(), nodes=there)
    assert classes_begun(edited) == [A100], "it is of another model"


def test_what_was_measured_of_a_class_that_an_edit_has_left_out_holds_nobody_up() -> None:
    (create,) = begun(A100)
    complete, pod = job_of(create, Complete="Done"), ended_pod(create, words(measured()))
    status = indexed()
    for _ in range(2):
        edited = seen(infj(status=status, gpus={"classes": [L4]}), complete, pods=[pod])
        found = look(edited, profiles=(profile(L4),), nodes=TWO)
        status = found.status.document()
    assert condition(found).reason == "Profiled"
    assert len(found.status.own_profiles) == 1


def test_what_a_status_keeps_that_cannot_be_read_is_measured_again() -> None:
    there = nodes(gpu_node("gpu-0"))
    assert classes_begun(look(infj(status=indexed(ownProfiles=["H4sI"])), profiles=(), nodes=there)) == [A100]


def test_what_was_measured_and_is_gone_with_its_pod_is_measured_again_but_not_for_ever() -> None:
    (create,) = begun(A100)
    there, late_us = nodes(gpu_node("gpu-0")), NOW + LOST_US + 1
    complete = job_of(create, Complete="Done")
    complete["status"]["completionTime"] = MADE
    at_once = look(seen(infj(), complete, pods=[]), profiles=(), nodes=there)
    assert not created(at_once)
    later = look(seen(infj(), complete, pods=[]), profiles=(), nodes=there, now_us=late_us)
    assert later.writes[-2] == Delete(path=paths.batch_path("team", complete["metadata"]["name"]), uid="j")
    (again,) = created(later)
    assert again.job["metadata"]["annotations"][names.ATTEMPT] == "2"

    complete["metadata"]["annotations"][names.ATTEMPT] = "3"
    last = look(seen(infj(), complete, pods=[]), profiles=(), nodes=there, now_us=late_us)
    assert condition(last).reason == "ProfilingFailed"
    assert "it was measured 3 times" in condition(last).message


def test_those_at_work_are_waited_for_and_those_that_have_not_begun_are_not() -> None:
    first, second = begun(A100, L4)
    document = infj(status=indexed())
    jobs, ended = (job_of(first, Complete="Done"), job_of(second)), ended_pod(first, words(measured()))
    at_work = seen(document, *jobs, pods=[ended, pod_of(second)])
    found = look(at_work, profiles=(profile(A100),), nodes=TWO)
    assert condition(found).reason == "Profiling"
    waiting = seen(document, *jobs, pods=[ended, pod_of(second, phase="Pending")])
    found = look(waiting, profiles=(profile(A100),), nodes=TWO)
    assert condition(found).reason == "Profiled"
    assert [write.path.rpartition("/")[2] for write in found.writes if isinstance(write, Delete)] == [
        second.job["metadata"]["name"]
    ]


@pytest.mark.parametrize(
    ("message", "code", "failed", "told"),
    [
        pytest.param('{"error":"sees no GPU","field":"gpu"}', 2, {}, "gpu: sees no GPU", id="the input is wrong"),
        pytest.param('{"error":"boom"}', 1, {"Failed": "BackoffLimitExceeded"}, "boom", id="it failed twice"),
        pytest.param("", 143, {"Failed": "DeadlineExceeded"}, "it took longer than 15m00s", id="it took too long"),
        pytest.param('{"profile":"H4sI"}', 0, {"Complete": "Done"}, "no packed profile", id="its words were cut off"),
        pytest.param("{}", 0, {"Complete": "Done"}, "has left something else", id="it left no profile"),
        pytest.param(words(measured(L4)), 0, {"Complete": "Done"}, f"is of {L4}", id="it measured something else"),
        pytest.param(f'{{"error":"{"x" * 2000}"}}', 2, {}, "x" * 400, id="it said a lot"),
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


@pytest.mark.parametrize(
    ("version", "is_old"), [("550.90.07", True), ("580.65.06", False), ("", False), ("unknown", False)]
)
def test_an_old_driver_is_named_where_measuring_failed(version: str, is_old: bool) -> None:
    (create,) = begun(A100)
    measuring = seen(infj(), job_of(create), pods=[ended_pod(create, '{"error":"boom"}', code=2)])
    there = gpu_node("gpu-0", labels={"nvidia.com/cuda.driver-version.full": version})
    message = condition(look(measuring, profiles=(), nodes=nodes(there))).message
    assert (f"Nodes with {A100} have NVIDIA's driver {version}; the worker's image" in message) == is_old


def test_a_class_that_failed_is_left_out_of_the_plan_and_named() -> None:
    first, second = begun(A100, L4)
    document = infj(status=indexed())
    jobs = job_of(first, Complete="Done"), job_of(second, Failed="BackoffLimitExceeded")
    pods = [ended_pod(first, words(measured())), ended_pod(second, '{"error":"boom"}', code=1, node="gpu-1")]
    found = look(seen(document, *jobs, pods=pods), profiles=(), nodes=TWO)
    found = look(seen(infj(status=found.status.document()), *jobs, pods=pods), profiles=(), nodes=TWO)
    assert condition(found).message == f"{L4} is left out, since measuring it failed: boom"
    assert [group.device_class for group in planned_groups(found)] == [A100]


@pytest.mark.parametrize(
    ("attempt", "reason", "told"),
    [
        pytest.param("1", "Profiling", "is not used; its pod is being started", id="again"),
        pytest.param("3", "ProfilingFailed", "is not used", id="not for ever"),
    ],
)
def test_what_was_measured_on_a_node_without_the_class_is_told_of_and_measured_again(
    attempt: str, reason: str, told: str
) -> None:
    there, spec = nodes(gpu_node("gpu-0"), node()), {"gpus": {"classes": ["cpu-1"]}}
    (document,) = begun_for_all(there=there, **spec)
    document["metadata"]["annotations"][names.ATTEMPT] = attempt
    complete = there_now(document, Complete="Done")
    pod = ended(complete, measured("cpu-1", measured_at=NIGHT).spec, node="gpu-0", image="sha256:1")
    (found,) = look_for_all(infj(**spec), there=there, made=[complete], pods=[pod])
    assert condition(found).reason == reason
    assert "its pod was on a node that has no cpu-1, so what it has measured " + told in condition(found).message
    numbers = [document["metadata"]["annotations"][names.ATTEMPT] for document in added(found)]
    assert numbers == (["2"] if reason == "Profiling" else [])

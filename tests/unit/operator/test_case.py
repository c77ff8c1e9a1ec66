"""One job in one look: what is done about it and what is said, without a cluster."""

import json
from dataclasses import replace
from typing import Any

import pytest

from dueby_operator.control.case import Case
from dueby_operator.control.world import Memories
from dueby_operator.control.writes import Create, Delete
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import ABSENT_US, Seen
from dueby_operator.kube.client import Refused
from support.case import NOW, SECOND, crew_of, indexed, infj, look, pod_of


def said(case: Case, kind: str) -> tuple[str, str]:
    """Status and reason of the condition."""
    found = next(c for c in case.status()["conditions"] if c["type"] == kind)
    return found["status"], found["reason"]


def message(case: Case, kind: str) -> str:
    return str(next(c for c in case.status()["conditions"] if c["type"] == kind)["message"])


def created(case: Case) -> list[Create]:
    return [write for write in case.writes if isinstance(write, Create)]


def started() -> tuple[Case, Seen]:
    """A job whose plan was just made, and how it looks once its pods run and say nothing yet."""
    case = look(infj(status=indexed()))
    (create,) = created(case)
    document = case.document | {"status": case.status()}
    pods = [pod_of(create, index) for index in range(create.job["spec"]["completions"])]
    return case, Seen(document=document, crews=[crew_of(create)], pods=pods, now_us=NOW)


def test_a_new_job_is_indexed_first() -> None:
    case = look(infj())
    assert [create.job["metadata"]["name"] for create in created(case)] == ["job-index"]
    assert said(case, "Indexed") == ("False", "Indexing")
    assert case.status()["phase"] == "Indexing"


@pytest.mark.parametrize(
    ("change", "first"),
    [
        pytest.param(
            {"source": {"synthetic": {}}}, "job-r1-cpu-1", id="of the model's size: nothing to list or sample"
        ),
        pytest.param(
            {"source": {"synthetic": {"width": 224, "height": 224}}}, "job-r1-cpu-1", id="the same, in numbers"
        ),
        pytest.param({"source": {"synthetic": {"width": 640}}}, "job-index", id="resized: what that costs is sampled"),
        pytest.param(
            {"source": {"synthetic": {}}, "sink": {"uri": "rows", "ifExists": "Overwrite"}},
            "job-index",
            id="Overwrite: the sink is emptied first",
        ),
        pytest.param(
            {"source": {"synthetic": {}}, "sink": {"uri": "rows", "ifExists": "Fail"}},
            "job-index",
            id="Fail: the sink is looked at first",
        ),
    ],
)
def test_synthetic_images_are_indexed_only_where_there_is_something_to_do(change: dict[str, Any], first: str) -> None:
    case = look(infj(images=1000, **change))
    assert [create.job["metadata"]["name"] for create in created(case)] == [first]


def test_workers_without_an_index_step_are_told_n_and_no_fingerprint() -> None:
    case = look(infj(images=1000, source={"synthetic": {}}))
    (create,) = created(case)
    told = json.loads(create.config_map["data"]["config.json"])
    assert (told["images"], told["fingerprint"]) == (1000, None)
    assert said(case, "Indexed") == ("True", "Indexed")
    assert case.status()["images"] == 1000


def test_an_indexed_job_is_planned_and_its_plan_is_written_before_its_workers_are_made() -> None:
    case = look(infj(status=indexed()))
    (create,) = created(case)
    assert create.job["metadata"]["name"] == "job-r1-cpu-1"
    assert case.is_start
    plan = case.status()["plan"]
    assert (plan["revision"], plan["gpus"]) == (1, create.job["spec"]["completions"])
    assert said(case, "Feasible") == ("True", "Planned")


def test_what_is_planned_is_taken_from_what_is_free() -> None:
    case = look(infj(status=indexed()))
    (create,) = created(case)
    assert case.world.unscheduled["cpu-1"] == create.job["spec"]["completions"]


def test_a_second_look_at_an_unchanged_cluster_changes_nothing() -> None:
    case, seen = started()
    memory = replace(case.memory)
    first = look(seen.document, seen=seen, memory=memory)
    document = {**seen.document, "status": first.status()}
    second = look(document, seen=replace(seen, document=document), memory=memory, now_us=NOW + SECOND)
    assert (second.writes, second.status()) == ([], document["status"])


def test_a_job_without_a_profile_says_so() -> None:
    case = look(infj(status=indexed()), profiles=())
    assert said(case, "Profiled") == ("False", "NoProfile")
    assert case.writes == []


def test_no_device_free_is_waited_for() -> None:
    case = look(infj(status=indexed()), nodes={})
    assert said(case, "Feasible") == ("Unknown", "Waiting")
    assert not case.writes


def test_a_quota_bounds_the_plan() -> None:
    case = look(infj(status=indexed()), room={"team": {"requests.cpu": 1.5}})
    assert case.status()["plan"]["gpus"] == 1
    none_left = look(infj(status=indexed()), room={"team": {"pods": 0.0}})
    assert "ResourceQuota has no room" in message(none_left, "Feasible")
    assert not none_left.writes


def test_what_the_api_server_forbids_is_tried_again_later_and_what_it_refuses_never() -> None:
    memory = Memories()
    case = look(infj(status=indexed()), memory=memory)
    case.refuse(Refused(403, "exceeded quota: jobs"))
    assert said(case, "Admitted") == ("False", "Forbidden")
    assert not look(infj(status=indexed()), memory=memory, now_us=NOW + SECOND).writes
    assert look(infj(status=indexed()), memory=memory, now_us=NOW + 31 * SECOND).writes

    case = look(infj(status=indexed()))
    case.refuse(Refused(422, "spec.template.spec.containers[0].image: Required value"))
    assert said(case, "Failed") == ("True", "InvalidTemplate")
    assert "image" in message(case, "Failed")


def test_a_worker_on_a_silent_node_is_lost_and_help_keeps_away_from_the_node() -> None:
    case, seen = started()
    document = infj(deadline="25s", status=seen.document["status"])
    running = {pod["metadata"]["name"]: _progress() for pod in seen.pods[1:]}
    before = replace(seen, document=document, progress=running | {seen.pods[0]["metadata"]["name"]: _progress()})
    memory = Memories()
    assert not look(document, seen=before, memory=memory).writes
    pods = [pod if i else {**pod, "spec": {"nodeName": "dead"}} for i, pod in enumerate(seen.pods)]
    after = replace(seen, document=document, pods=pods, progress=running, silent_nodes=frozenset({"dead"}))
    case = look(document, seen=after, memory=memory, silent_nodes=frozenset({"dead"}))
    (helper,) = created(case)
    assert case.status()["replans"][-1]["reason"] == "WorkerLost"
    assert helper.job["metadata"]["labels"][names.REVISION] == "2"
    assert "affinity" in helper.job["spec"]["template"]["spec"]


def test_workers_that_no_node_takes_are_planned_without_and_said() -> None:
    _, seen = started()
    words = "0/1 nodes are available: 1 Insufficient cpu."
    lost = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    pods = [{**pod, "spec": {}, "status": {"phase": "Pending", "conditions": [lost]}} for pod in seen.pods]
    name = seen.crews[0].name
    since = {(name, index): NOW for index in range(len(pods))}
    soon = replace(seen, pods=pods, absent_since=since, now_us=NOW + SECOND)
    assert said(look(seen.document, seen=soon), "Admitted") == ("True", "Admitted")
    later = NOW + ABSENT_US + SECOND
    case = look(seen.document, seen=replace(soon, now_us=later), now_us=later)
    assert said(case, "Admitted") == ("False", "Unschedulable")
    assert words in message(case, "Admitted")


def test_with_every_worker_lost_and_nothing_free_the_job_is_late_and_waits() -> None:
    _, seen = started()
    (crew,) = seen.crews
    given_up = {**crew.job, "status": {"failedIndexes": f"0-{len(crew.assignments) - 1}"}}
    lost = replace(seen, crews=[replace(crew, job=given_up)], pods=[])
    case = look(seen.document, seen=lost, nodes={})
    assert said(case, "OnTrack") == ("False", "Late")
    assert said(case, "Profiled") == ("True", "Profiled")
    assert not case.writes


def test_an_image_that_cannot_be_pulled_is_said_in_the_kubelets_words() -> None:
    _, seen = started()
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "nowhere"'}}
    pods = [{**pod, "status": {"phase": "Pending", "containerStatuses": [{"state": waiting}]}} for pod in seen.pods]
    case = look(seen.document, seen=replace(seen, pods=pods))
    assert said(case, "OnTrack") == ("False", "PodsNotStarting")
    assert "nowhere" in message(case, "OnTrack")


def test_a_suspended_job_gives_all_its_workers_back() -> None:
    _, seen = started()
    document = infj(suspend=True, status=seen.document["status"])
    case = look(document, seen=replace(seen, document=document))
    assert case.writes == [Delete(path=names.batch_path("team", seen.crews[0].name))]
    assert said(case, "Admitted") == ("False", "Suspended")


@pytest.mark.parametrize("deadline_class", ["Relaxed", "BestEffort"])
def test_a_class_that_needs_a_calendar_is_planned_as_soft_and_says_so(deadline_class: str) -> None:
    in_time = look(infj(deadlineClass=deadline_class, status=indexed()))
    assert message(in_time, "Feasible").endswith(f"{deadline_class} is planned as Soft.")
    late = look(infj(deadlineClass=deadline_class, deadline="5s", status=indexed()))
    assert said(late, "Feasible") == ("False", "Late")
    assert created(late)


def _progress(**more: Any) -> dict[str, Any]:
    now_s = NOW / 1e6
    return {"batches": 1, "imagesDone": 16, "imagesPerSecond": 160, "lastBatchAt": now_s, "stepMicros": 100_000, **more}


def test_what_is_not_built_yet_is_refused_not_approximated() -> None:
    case = look(infj(objective="MinCost"))
    assert said(case, "Failed") == ("True", "InvalidJob")
    assert "spec.objective: must be one of MinGPUs" in message(case, "Failed")
    assert not case.writes


def test_a_job_that_was_running_is_not_set_back_while_its_worker_does_not_answer() -> None:
    _, seen = started()
    document = {**seen.document, "status": {**seen.document["status"], "phase": "Running"}}
    assert look(document, seen=replace(seen, document=document)).status()["phase"] == "Running"
    assert look(seen.document, seen=seen).status()["phase"] == "Starting"

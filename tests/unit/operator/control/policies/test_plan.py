"""Plan: which workers does the job get and lose, and how far is it? What is decided about workers: test_workers.py."""

from dataclasses import replace

import pytest

from dueby_api.conditions import ConditionType, Reason
from dueby_api.status import JobStatus
from dueby_operator.cluster.quotas import Bound
from dueby_operator.control.conditions import condition
from dueby_operator.control.job_decision import refuse
from dueby_operator.jobs import names
from dueby_operator.model.conditions import NewCondition, merge_conditions
from support.decisions import (
    FIRST_WORKERS,
    NOW,
    SECOND,
    a_batch,
    indexed,
    infj,
    job,
    look,
    started,
    worker_job_of,
)
from support.operator import profile


def test_an_indexed_job_is_planned_and_its_plan_is_written_before_its_workers_are_made() -> None:
    found = look(infj(status=indexed()))
    (create,) = found.created
    assert create.job["metadata"]["name"] == FIRST_WORKERS
    assert found.decision.is_told_first
    plan = found.status.plan
    assert plan is not None
    assert (plan.revision, plan.gpus) == (1, create.job["spec"]["completions"])
    assert found.said("Feasible") == ("True", "Planned")


def test_no_device_free_is_waited_for() -> None:
    found = look(infj(status=indexed()), nodes={})
    assert found.said("Feasible") == ("Unknown", "Waiting")
    assert not found.writes


def test_free_devices_of_classes_that_the_job_does_not_name_are_none() -> None:
    document = infj(status=indexed(), gpus={"classes": ["cpu-16"]})
    found = look(document, profiles=(profile("cpu-1"), profile("cpu-16")))
    assert found.said("Feasible") == ("Unknown", "Waiting")
    assert "No device of the classes cpu-16 is free" in found.message("Feasible")


def test_a_job_whose_workers_ask_for_more_than_belongs_to_a_device_waits_and_says_what_to_do() -> None:
    found = look(infj(status=indexed(), worker={"resources": {"requests": {"cpu": "16"}}}))
    assert found.said("Feasible") == ("Unknown", "Waiting")
    assert "which is 1 of 16 cpu at most; lower spec.worker.resources" in found.message("Feasible")


def test_gpus_that_workers_cant_ask_for_are_told_of_while_a_job_waits_and_in_its_plan() -> None:
    uncounted = "GPUs of n are not counted, since of that"
    waits = look(infj(status=indexed()), nodes={}, uncounted=uncounted)
    assert f"{uncounted}. The job waits" in waits.message("Feasible")
    plan = look(infj(status=indexed()), uncounted=uncounted).status.plan
    assert plan is not None
    assert uncounted in plan.warnings


def test_a_quota_bounds_the_plan() -> None:
    plan = look(infj(status=indexed()), room={"team": {"requests.cpu": Bound(1.5, 1.5)}}).status.plan
    assert plan is not None
    assert plan.gpus == 1
    none_left = look(infj(status=indexed()), room={"team": {"pods": Bound(9.0, 0.0, 9.0)}})
    assert "ResourceQuota has no room" in none_left.message("Feasible")
    assert not none_left.writes


def test_a_sink_that_was_begun_before_keeps_its_grid() -> None:
    plan = look(infj(status=indexed(partSize=77))).status.plan
    assert plan is not None
    assert plan.part_size == 77


def test_what_the_api_server_forbids_is_tried_again_later_and_what_it_refuses_never() -> None:
    found = look(infj(status=indexed()))
    forbidden = refuse(found.decision, Reason.FORBIDDEN, "exceeded quota: jobs", now_us=NOW)
    assert replace(found, decision=forbidden).said("Admitted") == ("False", "Forbidden")
    again = job(infj(status=indexed()), memory=forbidden.memory)
    assert not look(again, now_us=NOW + SECOND).writes
    assert look(again, now_us=NOW + 31 * SECOND).writes

    message = "spec.template.spec.containers[0].image: Required value"
    refused = replace(found, decision=refuse(found.decision, Reason.INVALID_TEMPLATE, message, now_us=NOW))
    assert refused.said("Failed") == ("True", "InvalidTemplate")
    assert "image" in refused.message("Failed")


def test_a_name_that_is_not_free_is_told_of_and_taken_back_once_it_is() -> None:
    found = look(infj())
    taken = refuse(found.decision, Reason.NAME_TAKEN, "Job team/job-index belongs to nobody.", now_us=NOW)
    assert replace(found, decision=taken).said("Admitted") == ("False", "NameTaken")
    assert taken.status.message == "Job team/job-index belongs to nobody."

    still = look(job(infj(status=taken.status.document()), memory=taken.memory), now_us=NOW + 31 * SECOND)
    again = refuse(still.decision, Reason.NAME_TAKEN, "Job team/job-index belongs to nobody.", now_us=NOW + 31 * SECOND)
    assert again.status == taken.status
    assert not again.events
    assert condition(still.status, ConditionType.ADMITTED) is None


def test_a_refusal_ends_the_tries_after_a_fault() -> None:
    fault = NewCondition(reason=Reason.OPERATOR_RETRYING, message="The operator could not handle this job.")
    status = JobStatus(conditions=merge_conditions((), [fault], generation=1, now_us=NOW))
    retried = look(infj(status=status.document()))
    forbidden = refuse(retried.decision, Reason.FORBIDDEN, "exceeded quota: jobs", now_us=NOW)
    assert condition(forbidden.status, ConditionType.FAILED) is None


def test_a_worker_on_a_silent_node_is_lost_and_help_keeps_away_from_the_node() -> None:
    begun = started()
    document = infj(deadline="25s", status=begun.document["status"])
    running = {pod["metadata"]["name"]: a_batch() for pod in begun.pods[1:]}
    before = look(begun.job(document=document, progress={**running, begun.pods[0]["metadata"]["name"]: a_batch()}))
    assert not before.writes
    pods = [pod if i else {**pod, "spec": {"nodeName": "dead"}} for i, pod in enumerate(begun.pods)]
    silent = frozenset({"dead"})
    after = begun.job(document=document, memory=before.memory, pods=pods, progress=running, silent_nodes=silent)
    found = look(after, silent_nodes=silent)
    (helper,) = found.created
    assert found.status.replans[-1].reason == "WorkerLost"
    assert helper.job["metadata"]["labels"][names.REVISION] == "2"
    assert "affinity" in helper.job["spec"]["template"]["spec"]


def test_workers_that_no_node_takes_are_planned_without_and_said() -> None:
    begun = started()
    words = "0/1 nodes are available: 1 Insufficient cpu."
    lost = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    pods = [{**pod, "spec": {}, "status": {"phase": "Pending", "conditions": [lost]}} for pod in begun.pods]
    assert look(begun.job(pods=pods)).said("Admitted") == ("True", "Admitted")
    absent = frozenset((begun.name, index) for index in range(len(pods)))
    found = look(begun.job(pods=pods, absent=absent))
    assert found.said("Admitted") == ("False", "Unschedulable")
    assert found.message("Admitted") == f"No node takes {len(pods)} workers: {words}"
    one_of_them = frozenset((begun.name, index) for index in range(1))
    assert look(begun.job(pods=pods, absent=one_of_them)).message("Admitted") == (
        f"No node takes 1 worker, and the plan goes on with the others: {words}"
    )


def test_with_every_worker_lost_and_nothing_free_the_job_is_late_and_waits() -> None:
    begun = started()
    (create,) = begun.look.created
    last = len(begun.pods) - 1
    lost = begun.job(worker_jobs=[worker_job_of(create, failedIndexes=f"0-{last}")], pods=[])
    found = look(lost, nodes={})
    assert found.said("OnTrack") == ("False", "Late")
    assert found.said("Profiled") == ("True", "Profiled")
    assert not found.writes


def test_an_image_that_cannot_be_pulled_is_said_in_the_kubelets_words() -> None:
    begun = started()
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "nowhere"'}}
    status = {"phase": "Pending", "containerStatuses": [{"name": "dueby", "state": waiting}]}
    found = look(begun.job(pods=[{**pod, "status": status} for pod in begun.pods]))
    assert found.said("OnTrack") == ("False", "PodsNotStarting")
    assert "nowhere" in found.message("OnTrack")


@pytest.mark.parametrize("deadline_class", ["Relaxed", "BestEffort"])
def test_a_job_that_gives_way_to_others_starts_at_once_where_devices_are_idle(deadline_class: str) -> None:
    in_time = look(infj(deadlineClass=deadline_class, status=indexed()))
    assert in_time.said("Feasible") == ("True", "Planned")
    late = look(infj(deadlineClass=deadline_class, deadline="5s", status=indexed()))
    assert late.said("Feasible") == ("False", "Late")
    assert late.created


def test_a_job_that_was_running_is_not_set_back_while_its_worker_does_not_answer() -> None:
    begun = started()
    was_running = {**begun.document, "status": {**begun.document["status"], "phase": "Running"}}
    assert look(begun.job(document=was_running)).status.phase == "Running"
    assert look(begun.job()).status.phase == "Starting"

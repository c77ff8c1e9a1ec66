"""The steps that there are once: done again where what came of them is lost, and made again after an edit."""

import json
from typing import Any

import pytest

from dueby_api.parts import all_parts
from dueby_api.units import format_time
from dueby_operator.control.policies.index import LISTING
from dueby_operator.jobs import names
from dueby_operator.jobs.repeats import LEAVING_US, LOST_US
from dueby_operator.model.actions import MAX_STOPPED
from dueby_operator.model.writes import Create, Delete
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import parse
from support.decisions import MADE, NOW, SECOND, Look, indexed, infj, job, look, pod_of, started

Document = dict[str, Any]
FOUND = json.dumps({"images": 5000, "fingerprint": "f", "partSize": 77})


def index_step(*, attempt: int = 1, is_complete: bool = False, **metadata: Any) -> tuple[Create, Document]:
    """What created the index step, and its Job as it is there; one that is complete ended when jobs are made."""
    (create,) = look(infj()).created
    annotations = {names.ATTEMPT: str(attempt)} if attempt > 1 else {}
    document = {
        **create.job,
        "metadata": {**create.job["metadata"], "uid": "j", "annotations": annotations, **metadata},
    }
    if is_complete:
        complete = {"type": "Complete", "status": "True"}
        document["status"] = {"conditions": [complete], "completionTime": MADE}
    return create, document


def started_again(found: Look) -> tuple[str, str]:
    """The uid of the Job that is deleted, and which attempt is made in its place."""
    delete, create = found.writes
    assert isinstance(delete, Delete)
    assert isinstance(create, Create)
    assert delete.path.endswith(create.job["metadata"]["name"])
    return delete.uid, create.job["metadata"]["annotations"][names.ATTEMPT]


def test_a_step_whose_pod_is_gone_is_started_again_in_its_place() -> None:
    _, there = index_step(is_complete=True)
    seen = job(infj(), steps={"index": there})
    at_once = look(seen, now_us=NOW + SECOND)
    assert not at_once.writes, "the pod may still be seen"
    found = look(seen, now_us=NOW + LOST_US + SECOND)
    assert started_again(found) == ("j", "2")
    assert found.said("Indexed") == ("False", "Indexing")
    assert "started again (2 of 3), since its pod was gone" in found.message("Indexed")


def test_a_step_that_is_done_again_says_so_and_its_result_counts() -> None:
    create, there = index_step(attempt=2)
    assert "attempt 2 of 3" in look(job(infj(), steps={"index": there})).message("Indexed")
    _, complete = index_step(attempt=2, is_complete=True)
    terminated = {"exitCode": 0, "message": FOUND, "finishedAt": MADE}
    pod = pod_of(create, phase="Succeeded", containerStatuses=[{"name": "dueby", "state": {"terminated": terminated}}])
    found = look(job(infj(), steps={"index": complete}, pods=[pod]))
    assert (found.status.images, found.status.part_size) == (5000, 77)
    assert found.status.plan is not None
    assert found.status.plan.part_size == 77


def test_a_step_is_not_done_for_ever() -> None:
    _, there = index_step(attempt=3, is_complete=True)
    found = look(job(infj(), steps={"index": there}), now_us=NOW + LOST_US + SECOND)
    assert found.said("Failed") == ("True", "IndexFailed")
    assert "was started 3 times" in found.message("Failed")
    assert not found.writes


def test_a_step_that_is_given_up_has_failed_whether_or_not_its_pods_have_gone() -> None:
    _, there = index_step()
    for said in ("FailureTarget", "Failed"):
        there["status"] = {"conditions": [{"type": said, "status": "True"}]}
        assert look(job(infj(), steps={"index": there})).said("Failed") == ("True", "IndexFailed")


def test_a_step_whose_config_map_is_gone_is_started_again() -> None:
    _, there = index_step()
    found = look(job(infj(), steps={"index": there}, without_config=(parse(BatchJob, there),)))
    assert started_again(found) == ("j", "2")
    assert "the ConfigMap" in found.message("Indexed")


def test_the_finish_step_is_started_again_too_and_says_what_it_waits_for() -> None:
    begun = started()
    done = {"parts_there": all_parts(10_000)}
    first = look(begun.job(**done))
    assert first.said("Complete") == ("False", "Finishing")
    (create,) = first.created
    complete = {"conditions": [{"type": "Complete", "status": "True"}], "completionTime": MADE}
    there = {**create.job, "metadata": {**create.job["metadata"], "uid": "f"}, "status": complete}
    found = look(begun.job(**done, steps={"finish": there}), now_us=NOW + LOST_US + SECOND)
    assert started_again(found) == ("f", "2")
    assert "its pod was gone" in found.message("Complete")
    assert found.status.message == found.message("Complete")

    pod = pod_of(
        create, phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": "no room"}]
    )
    waits = look(begun.job(**done, steps={"finish": create.job}, pods=[*begun.pods, pod]))
    assert waits.message("Complete") == "no room"

    full = {"exitCode": 75, "message": '{"error": "no space left on device"}', "finishedAt": MADE}
    failed = pod_of(create, phase="Failed", containerStatuses=[{"name": "dueby", "state": {"terminated": full}}])
    again = look(begun.job(**done, steps={"finish": create.job}, pods=[*begun.pods, failed]))
    assert again.message("Complete").endswith("Its last try ended with: no space left on device")


def test_a_store_that_keeps_a_step_waiting_is_said_while_it_does() -> None:
    create, there = index_step()
    pod = pod_of(create)
    name = pod["metadata"]["name"]

    def seen(*, seconds: float, store: str = "sink", error: str = "disk quota exceeded") -> str:
        waits: dict[str, Document] = {
            name: {"store": store, "error": error, "seconds": seconds},
            "another-jobs": {"store": "source"},
        }
        return look(job(infj(), steps={"index": there}, pods=[pod], step_waits=waits)).message("Indexed")

    assert seen(seconds=9) == LISTING
    assert seen(seconds=40) == seen(seconds=41)
    assert seen(seconds=40) == (
        "The index step can't write to rows: disk quota exceeded. Free space, renew the credentials or fix the store: "
        "the step goes on by itself then."
    )
    assert seen(seconds=40, store="source", error="") == (
        "The index step can't read from photos: it does not answer. Renew the credentials or fix the store: "
        "the step goes on by itself then."
    )


@pytest.mark.parametrize(
    ("edit", "is_another"),
    [
        pytest.param({"source": {"uri": "others"}}, True, id="the source"),
        pytest.param({"images": 9}, True, id="the limit"),
        pytest.param({"sink": {"uri": "elsewhere"}}, True, id="the sink"),
        pytest.param({"model": {"name": "resnet18"}}, True, id="the model"),
        pytest.param({"worker": {"image": "mine:1"}}, True, id="the pod"),
        pytest.param({"deadline": "9m"}, False, id="what the step doesn't depend on"),
    ],
)
def test_the_name_of_a_step_follows_what_it_depends_on(edit: Document, is_another: bool) -> None:
    (before,), (after,) = look(infj()).started_names, look(infj(**edit)).started_names
    assert (before != after) == is_another


def test_an_edit_while_indexing_stops_the_step_before_another_is_started() -> None:
    _, there = index_step(is_complete=True)
    edited = infj(source={"uri": "others"})
    found = look(job(edited, outdated_steps={"index": (parse(BatchJob, there),)}))
    (delete,) = found.writes
    assert delete == Delete(
        path=f"/apis/batch/v1/namespaces/team/jobs/{there['metadata']['name']}", uid="j", waits=True
    )
    assert "The job was edited" in found.message("Indexed")

    _, leaving = index_step(deletionTimestamp=format_time(NOW))
    seen = job(edited, outdated_steps={"index": (parse(BatchJob, leaving),)})
    assert not look(seen, now_us=NOW + SECOND).writes
    (create,) = look(seen, now_us=NOW + LEAVING_US + SECOND).created
    assert json.loads(create.config_map["data"]["config.json"])["source"]["uri"] == "others"


def test_of_very_many_outdated_steps_some_are_stopped_in_a_pass() -> None:
    _, there = index_step()
    forged = [
        parse(BatchJob, {**there, "metadata": {**there["metadata"], "name": f"forged-{number}", "uid": f"u-{number}"}})
        for number in range(MAX_STOPPED + 20)
    ]
    found = look(job(infj(source={"uri": "others"}), outdated_steps={"index": forged}))
    assert len(found.writes) == MAX_STOPPED


def test_a_step_without_a_pod_says_where_the_reason_is() -> None:
    _, there = index_step(creationTimestamp=MADE)
    seen = job(infj(), steps={"index": there})
    assert look(seen, now_us=NOW + SECOND).message("Indexed") == LISTING
    assert "has no pod; `kubectl describe job" in look(seen, now_us=NOW + 31 * SECOND).message("Indexed")


def test_a_pod_that_does_not_start_for_no_reason_that_its_status_tells_is_named() -> None:
    create, there = index_step()
    step = job(infj(), steps={"index": there}, pods=[pod_of(create, phase="Pending")])
    assert look(step, now_us=NOW + 60 * SECOND).message("Indexed") == LISTING
    assert "is on node n and has not started" in look(step, now_us=NOW + 181 * SECOND).message("Indexed")

    begun = started(deadline="1h")
    pods = [pod | {"status": {"phase": "Pending"}} for pod in begun.pods]
    assert look(begun.job(pods=pods), now_us=NOW + 60 * SECOND).said("OnTrack")[1] != "PodsNotStarting"
    assert look(begun.job(pods=pods), now_us=NOW + 181 * SECOND).said("OnTrack") == ("False", "PodsNotStarting")


def test_a_job_that_the_operator_may_not_observe_says_so_and_is_left_alone() -> None:
    found = look(job(infj(status=indexed()), forbidden='configmaps "job-r1" is forbidden'))
    assert found.said("Admitted") == ("False", "Forbidden")
    assert not found.writes


def test_a_step_that_somebody_deletes_is_waited_for() -> None:
    _, there = index_step(deletionTimestamp=format_time(NOW))
    found = look(job(infj(), steps={"index": there}))
    assert not found.writes
    assert "is being deleted" in found.message("Indexed")


def test_a_job_that_is_indexed_does_not_mind_what_its_step_is_told_now() -> None:
    _, there = index_step(is_complete=True)
    seen = job(infj(status=indexed(), worker={"image": "mine:1"}), outdated_steps={"index": (parse(BatchJob, there),)})
    assert look(seen).started_names[0].startswith("job-r1-")

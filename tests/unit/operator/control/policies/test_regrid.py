"""Regrid: was the sink begun with other parts than the job's workers were told?"""

import json
from dataclasses import replace
from typing import Any

from dueby_api.parts import parts_of_runs
from dueby_operator.model.actions import MAX_STOPPED
from dueby_operator.model.job_snapshot import WorkerJob
from dueby_operator.model.writes import Delete
from support.decisions import MADE, NOW, SECOND, Started, infj, job, look, started

REFUSED = {"field": "partSize", "error": "rows was begun in parts of 4 images", "partSize": 4, "partsThere": "0-1499"}


def refused(begun: Started, words: dict[str, Any], **changes: Any) -> Any:
    """The job once its first worker was refused by the sink, and another one was ended after it."""
    first, *others = begun.pods
    state = {"terminated": {"exitCode": 2, "message": json.dumps(words), "finishedAt": MADE}}
    status = {"phase": "Failed", "containerStatuses": [{"name": "dueby", "state": state}]}
    return begun.job(pods=[{**first, "status": status}, *others], **changes)


def being_deleted(begun: Started) -> Any:
    (there,) = begun.worker_jobs
    metadata = there.job.metadata.replace(deletion_timestamp=MADE)
    return [replace(there, job=there.job.replace(metadata=metadata))]


def copy_of(worker_job: WorkerJob, number: int) -> WorkerJob:
    metadata = worker_job.job.metadata.replace(name=f"job-r2-{number}", uid=f"u-{number}")
    return replace(worker_job, job=worker_job.job.replace(metadata=metadata))


def test_workers_of_another_grid_are_ended_and_the_sinks_is_recorded() -> None:
    begun = started()
    found = look(refused(begun, REFUSED))
    (delete,) = found.writes
    assert isinstance(delete, Delete)
    assert delete.path.endswith(begun.name)
    assert found.said("Admitted") == ("False", "WaitingForCleanup")
    assert "begun in parts of 4 images" in found.message("Admitted")
    assert (found.status.part_size, found.status.parts_there) == (4, "0-1499")
    assert "Failed" not in {condition.type for condition in found.status.conditions}


def test_of_many_jobs_some_are_ended_in_a_pass_and_last_the_one_that_says_why() -> None:
    begun = started()
    (told,) = begun.worker_jobs
    jobs = [told, *(copy_of(told, number) for number in range(2 * MAX_STOPPED))]
    for rest in (2 * MAX_STOPPED + 1, MAX_STOPPED + 1, 1):
        found = look(refused(begun, REFUSED, worker_jobs=jobs))
        assert found.said("Admitted") == ("False", "WaitingForCleanup")
        stopped = {write.path.rpartition("/")[2] for write in found.writes if isinstance(write, Delete)}
        assert len(stopped) == min(rest, MAX_STOPPED)
        assert (told.name in stopped) == (rest == 1)
        assert found.status.part_size == (4 if rest == 1 else None)
        jobs = [worker_job for worker_job in jobs if worker_job.name not in stopped]


def test_it_waits_until_they_are_gone_and_then_plans_what_is_left_for_the_sinks_grid() -> None:
    begun = started()
    first = look(refused(begun, REFUSED))
    document = infj(status=first.status.document())
    # The pod that was refused goes before the others: the Job is there, and nothing says why it is being deleted.
    going = begun.job(document=document, memory=first.memory, worker_jobs=being_deleted(begun), pods=begun.pods[1:])
    waiting = look(going, now_us=NOW + SECOND)
    assert not waiting.writes
    assert waiting.said("Admitted") == ("False", "WaitingForCleanup")

    document = infj(status=waiting.status.document())
    again = look(job(document, memory=waiting.memory), now_us=NOW + 3 * SECOND)
    (create,) = again.created
    assert again.decision.scheduled is not None
    assert again.decision.scheduled.parts_there == parts_of_runs([(0, 1500)])
    assert again.status.plan is not None
    assert (again.status.plan.part_size, again.status.plan.revision) == (4, 2)
    told = json.loads(create.config_map["data"]["config.json"])
    assert told["partSize"] == 4
    assert told["workers"][0]["share"][0] == 1500


def test_a_sink_that_turns_out_full_is_counted() -> None:
    begun = started()
    first = look(refused(begun, REFUSED | {"partsThere": "0-2499"}))
    found = look(job(infj(status=first.status.document()), memory=first.memory), now_us=NOW + 3 * SECOND)
    assert [name.rpartition("-")[0] for name in found.started_names] == ["job-finish"]


def test_what_truly_differs_ends_the_job_with_the_workers_words() -> None:
    other = {"field": "spec.sink.uri", "error": "rows holds the results of another job: its image size was 320"}
    found = look(refused(started(), other))
    assert found.said("Failed") == ("True", "InvalidJob")
    assert "its image size was 320" in found.message("Failed")


def test_a_sink_whose_grid_is_another_one_a_second_time_is_not_followed() -> None:
    begun = started()
    first = look(refused(begun, REFUSED))
    document = infj(status=first.status.document())
    again = look(refused(begun, REFUSED | {"partSize": 8}, document=document, memory=first.memory))
    assert again.said("Failed") == ("True", "InvalidJob")

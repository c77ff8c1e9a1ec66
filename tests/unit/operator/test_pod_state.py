"""From Jobs and pods to the workers that decide() sees."""

from typing import Any

from dueby_operator.control.model import WorkerState
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import (
    Crew,
    Seen,
    absent_workers,
    ending_of,
    progress_of_ended,
    read_words,
    worker_views,
)
from support.operator import worker

MADE, LATER = "2026-11-25T10:00:00Z", "2026-11-25T10:05:00Z"


def job(count: int = 3, **status: Any) -> dict[str, Any]:
    labels = {names.JOB: "job", names.STEP: "work", names.REVISION: "1"}
    return {
        "metadata": {"name": "job-r1-cpu-1", "labels": labels, "creationTimestamp": MADE},
        "spec": {"completions": count},
        "status": status,
    }


def pod(index: int, *, name: str = "p", phase: str = "Running", made: str = MADE, **status: Any) -> dict[str, Any]:
    labels = {names.STEP: "work", names.JOB_OF_POD: "job-r1-cpu-1", names.INDEX_OF_POD: str(index)}
    return {
        "metadata": {"name": name, "labels": labels, "creationTimestamp": made},
        "status": {"phase": phase, **status},
    }


def seen(batch: dict[str, Any], *pods: dict[str, Any], progress: dict[str, Any] | None = None) -> Seen:
    assignments = [worker(f"w{i}", first=i, end=i + 1).assignment for i in range(3)]
    document = {"status": {"plan": {"partSize": 10}}}
    crew = Crew(job=batch, assignments=assignments)
    return Seen(document=document, crews=[crew], pods=pods, progress=progress or {})


def states(found: Seen) -> list[WorkerState]:
    return [view.state for view in worker_views(found)]


def test_a_job_without_pods_has_starting_workers() -> None:
    assert states(seen(job())) == ["starting"] * 3


def test_a_worker_runs_once_it_has_done_a_mini_batch() -> None:
    found = seen(job(), pod(0, name="a"), pod(1, name="b"), progress={"a": {"batches": 3}, "b": {"batches": 0}})
    assert states(found) == ["running", "starting", "starting"]


def test_indices_that_the_job_has_done_or_given_up_are_done_or_lost() -> None:
    assert states(seen(job(completedIndexes="0-1", failedIndexes="2"))) == ["done", "done", "lost"]


def test_a_replaced_pod_is_the_same_worker_and_starts_anew() -> None:
    old, new = pod(0, name="old", phase="Failed"), pod(0, name="new", phase="Pending", made=LATER)
    before, after = worker_views(seen(job(), old))[0], worker_views(seen(job(), new, old))[0]
    assert after.state == "starting"
    assert after.assignment == before.assignment
    assert after.created_us - before.created_us == 300_000_000


def test_a_job_that_was_shrunk_has_stopped_its_last_workers() -> None:
    assert states(seen(job(count=2))) == ["starting", "starting", "stopped"]


def test_workers_without_a_pod_are_absent_once_their_job_was_begun() -> None:
    assert list(absent_workers(seen(job()))) == []
    begun = seen(job(startTime=MADE), pod(1))
    assert [index for _, index in absent_workers(begun)] == [0, 2]


def test_images_of_open_parts_are_those_that_are_not_committed() -> None:
    progress = {"p": {"batches": 9, "imagesDone": 37, "partsCommitted": 3, "stepMicros": 250, "lastBatchAt": 2.5}}
    view = worker_views(seen(job(), pod(0), progress=progress))[0]
    assert (view.open_images, view.step_us, view.last_step_us) == (7, 250, 2_500_000)


def test_the_last_words_are_those_of_the_pod_that_ended_last() -> None:
    def ended(message: str, at: str, code: int = 1) -> dict[str, Any]:
        terminated = {"message": message, "finishedAt": at, "exitCode": code}
        return {"containerStatuses": [{"state": {"terminated": terminated}}]}

    pods = [pod(0, **ended("second", LATER, 2)), pod(0, **ended("first", MADE)), pod(0)]
    ending = ending_of(pods, "job-r1-cpu-1")
    assert (ending.words, ending.is_final) == ({"error": "second"}, True)
    assert ending_of(pods[1:], "job-r1-cpu-1").is_final is False
    assert ending_of(pods, "another").exit_code is None
    assert progress_of_ended([pod(0, **ended('{"progress": {"imagesDone": 5}}', MADE))]) == {
        "p": {"imagesDone": 5, "imagesPerSecond": 0}
    }


def test_words_that_are_no_json_are_an_error() -> None:
    assert read_words("") == {}
    assert read_words("OOMKilled") == {"error": "OOMKilled"}

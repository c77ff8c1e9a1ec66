"""From Jobs and pods to the workers that a decision sees."""

from typing import Any

from dueby_api.schema import validate
from dueby_api.step_messages import StepError, WorkerProgress
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import Ending, absent_workers, ending_of, progress_of_ended, worker_models
from dueby_operator.model.job_model import WorkerModel, WorkerState
from dueby_operator.model.job_snapshot import WorkerJob
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from support.operator import worker

MADE, LATER = "2026-11-25T10:00:00Z", "2026-11-25T10:05:00Z"
READ_US = 1_795_600_000_000_000


def job(count: int = 3, **status: Any) -> WorkerJob:
    labels = {names.JOB: "job", names.STEP: "work", names.REVISION: "1"}
    document = {
        "metadata": {"name": "job-r1-cpu-1", "labels": labels, "creationTimestamp": MADE},
        "spec": {"completions": count},
        "status": status,
    }
    assignments = [worker(f"w{i}", first=i, end=i + 1).assignment for i in range(3)]
    return WorkerJob(job=parse(BatchJob, document), revision=1, assignments=assignments)


def pod(index: int, *, name: str = "p", phase: str = "Running", made: str = MADE, **status: Any) -> Pod:
    labels = {names.STEP: "work", names.JOB_OF_POD: "job-r1-cpu-1", names.INDEX_OF_POD: str(index)}
    document = {
        "metadata": {"name": name, "labels": labels, "creationTimestamp": made},
        "status": {"phase": phase, **status},
    }
    return parse(Pod, document)


def workers(batch: WorkerJob, *pods: Pod, progress: dict[str, Any] | None = None) -> tuple[WorkerModel, ...]:
    reports = {name: validate(WorkerProgress, report) for name, report in (progress or {}).items()}
    return worker_models([batch], pods, reports, part_size=10, silent_nodes=(), absent=(), now_us=READ_US)


def states(found: tuple[WorkerModel, ...]) -> list[WorkerState]:
    return [each.state for each in found]


def test_a_job_without_pods_has_starting_workers() -> None:
    assert states(workers(job())) == ["starting"] * 3


def test_a_worker_runs_once_it_has_done_a_mini_batch() -> None:
    found = workers(job(), pod(0, name="a"), pod(1, name="b"), progress={"a": {"batches": 3}, "b": {"batches": 0}})
    assert states(found) == ["running", "starting", "starting"]


def test_indices_that_the_job_has_done_or_given_up_are_done_or_lost() -> None:
    assert states(workers(job(completedIndexes="0-1", failedIndexes="2"))) == ["done", "done", "lost"]


def test_a_replaced_pod_is_the_same_worker_and_starts_anew() -> None:
    old, new = pod(0, name="old", phase="Failed"), pod(0, name="new", phase="Pending", made=LATER)
    before, after = workers(job(), old)[0], workers(job(), new, old)[0]
    assert after.state == "starting"
    assert after.assignment == before.assignment
    assert after.created_us - before.created_us == 300_000_000


def test_a_job_that_was_shrunk_has_stopped_its_last_workers() -> None:
    assert states(workers(job(count=2))) == ["starting", "starting", "stopped"]


def test_workers_without_a_pod_are_absent_once_their_job_was_begun() -> None:
    assert list(absent_workers([job()], [])) == []
    assert [index for _, index in absent_workers([job(startTime=MADE)], [pod(1)])] == [0, 2]


def test_images_of_open_parts_are_those_that_are_not_committed() -> None:
    progress = {"p": {"batches": 9, "imagesDone": 37, "partsCommitted": 3, "stepMicros": 250}}
    found = workers(job(), pod(0), progress=progress)[0]
    assert (found.open_images, found.step_us, found.last_step_us) == (7, 250, None)


def test_a_mini_batch_was_done_its_age_before_the_answer_was_read() -> None:
    found = workers(job(), pod(0), progress={"p": {"batches": 9, "secondsSinceBatch": 2.5}})[0]
    assert found.last_step_us == READ_US - 2_500_000


def test_the_last_words_are_those_of_the_pod_that_ended_last() -> None:
    def ended(message: str, at: str, code: int = 1) -> dict[str, Any]:
        terminated = {"message": message, "finishedAt": at, "exitCode": code}
        return {"containerStatuses": [{"state": {"terminated": terminated}}]}

    pods = [pod(0, **ended("second", LATER, 2)), pod(0, **ended("first", MADE)), pod(0)]
    ending = ending_of(pods, "job-r1-cpu-1")
    assert (ending.sentence, ending.is_final) == ("second", True)
    assert ending_of(pods[1:], "job-r1-cpu-1").is_final is False
    assert ending_of(pods, "another").exit_code is None


def test_a_worker_that_has_ended_classifies_nothing_any_more() -> None:
    words = '{"progress": {"worker": "w0", "imagesDone": 5, "imagesPerSecond": 90, "secondsSinceBatch": 4000}}'
    terminated = {"message": words, "finishedAt": MADE, "exitCode": 0}
    ended = pod(0, containerStatuses=[{"state": {"terminated": terminated}}])
    assert progress_of_ended([ended, pod(1)]) == {
        "p": WorkerProgress(worker="w0", images_done=5, images_per_second=0.0, seconds_since_batch=0.0)
    }


def test_a_worker_that_has_run_its_iterations_is_spent_and_not_done() -> None:
    report = {"p": {"worker": "w0", "state": "spent"}}
    assert states(workers(job(completedIndexes="0"), pod(0), progress=report))[0] == "spent"


def test_words_that_are_no_json_are_an_error() -> None:
    assert Ending().sentence == ""
    assert Ending(message="OOMKilled").sentence == "OOMKilled"
    assert Ending(message="OOMKilled").read(StepError) is None

"""From Jobs and pods to the workers that a decision sees."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.errors import Invalid
from dueby_api.schema import LenientSpec, validate
from dueby_api.step_messages import IndexResult, StepError, WorkerProgress, WorkResult
from dueby_api.units import parse_time_us
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import (
    BEGUN_WITHIN_US,
    Ending,
    absent_workers,
    ending_of,
    index_of,
    not_starting,
    progress_of_ended,
    worker_models,
)
from dueby_operator.model.job_snapshot import WorkerJob
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.nodes import NodeObject, ResourceQuota
from dueby_operator.objects.parse import MAX_INDEX, parse, parse_indices
from dueby_operator.objects.pods import Pod
from dueby_operator.profiling.provenance import image_of
from dueby_planner.model.capacity import Provision
from dueby_planner.schedule.job import WorkerModel, WorkerState
from support.operator import worker

MADE, LATER = "2026-11-25T10:00:00Z", "2026-11-25T10:05:00Z"
MADE_US = parse_time_us(MADE)
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
    return worker_models(
        [batch],
        pods,
        reports,
        answered_since=dict.fromkeys(reports, READ_US - 9),
        part_size=10,
        silent_nodes=(),
        absent=(),
        now_us=READ_US,
    )


def states(found: tuple[WorkerModel, ...]) -> list[WorkerState]:
    return [each.state for each in found]


def test_a_job_without_pods_has_starting_workers() -> None:
    assert states(workers(job())) == ["starting"] * 3


def test_a_worker_that_doesnt_answer_now_has_no_time_since_when_it_answers() -> None:
    found = workers(job(), pod(0, name="a"), pod(1, name="b"), progress={"a": {"batches": 3}})
    assert [each.answers_since_us for each in found] == [READ_US - 9, None, None]


def test_a_worker_runs_once_it_has_done_a_mini_batch() -> None:
    found = workers(job(), pod(0, name="a"), pod(1, name="b"), progress={"a": {"batches": 3}, "b": {"batches": 0}})
    assert states(found) == ["running", "starting", "starting"]


def test_indices_that_the_job_has_done_or_given_up_are_done_or_lost() -> None:
    assert states(workers(job(completedIndexes="0-1", failedIndexes="2"))) == ["done", "done", "lost"]


def test_a_replaced_pod_is_the_same_worker_and_starts_again() -> None:
    old, new = pod(0, name="old", phase="Failed"), pod(0, name="new", phase="Pending", made=LATER)
    before, after = workers(job(), old)[0], workers(job(), new, old)[0]
    assert after.state == "starting"
    assert after.assignment == before.assignment
    assert after.created_us - before.created_us == 300_000_000


def test_a_job_that_was_shrunk_has_stopped_its_last_workers() -> None:
    assert states(workers(job(count=2))) == ["starting", "starting", "stopped"]


def test_workers_without_a_pod_are_absent_once_their_job_was_begun() -> None:
    assert list(absent_workers([job()], [], now_us=MADE_US)) == []
    assert [index for _, index in absent_workers([job(startTime=MADE)], [pod(1)], now_us=MADE_US)] == [0, 2]


def test_workers_of_a_job_that_another_controller_never_begins_are_absent_unless_it_is_suspended() -> None:
    late_us = MADE_US + BEGUN_WITHIN_US + 1

    def absent(*, now_us: int = late_us, **spec: Any) -> list[int]:
        made = job()
        changed = replace(made, job=made.job.replace(spec=made.job.spec.replace(**spec)))
        return [index for _, index in absent_workers([changed], [pod(1)], now_us=now_us)]

    assert absent(managed_by="example.com/nobody") == [0, 2]
    assert absent(managed_by="example.com/nobody", now_us=late_us - 1) == []
    assert absent(managed_by="example.com/nobody", suspend=True) == []
    # Where Kubernetes itself is slow, more Jobs would only wait behind these.
    assert absent() == []


def test_a_worker_that_has_asked_for_a_node_is_absent_only_once_that_should_have_come() -> None:
    made, says = job(startTime=MADE), {"type": "PodScheduled", "status": "False", "message": "no node"}
    asked = [
        replace(each, pool="burst", provision=Provision(expected_us=300_000_000, late_us=600_000_000))
        for each in made.assignments
    ]
    waiting = replace(made, assignments=asked)
    pods = [pod(0, phase="Pending", conditions=[says]), pod(1, phase="Pending", made=LATER, conditions=[says]), pod(2)]

    def absent(after_s: int) -> list[int]:
        return [index for _, index in absent_workers([waiting], pods, now_us=MADE_US + after_s * 1_000_000)]

    assert [absent(after_s) for after_s in (0, 599, 600, 899, 900)] == [[], [], [0], [0], [0, 1]]
    refused = absent_workers([waiting], pods, refused=["job-r1-cpu-1"], now_us=MADE_US)
    assert [index for _, index in refused] == [0, 1], "who has a node is none of them"
    late = worker_models(
        [waiting],
        pods,
        {},
        answered_since={},
        part_size=10,
        silent_nodes=(),
        absent={("job-r1-cpu-1", 0)},
        now_us=READ_US,
    )
    assert [(each.state, each.is_absent) for each in late] == [("lost", True), ("starting", False), ("starting", False)]


def awaiting(*, is_let: bool = False, **status: Any) -> WorkerJob:
    """A Job whose pods are made once nodes have come, which takes ten minutes, or the same once it was let start."""
    waits = job(**status)
    annotations = {names.BUFFER: names.CAME if is_let else names.AWAITED}
    batch_job = waits.job.replace(
        metadata=waits.job.metadata.replace(annotations=annotations), spec=waits.job.spec.replace(suspend=not is_let)
    )
    takes = Provision(expected_us=600_000_000, late_us=600_000_000)
    asked = [replace(each, pool="burst", provision=takes) for each in waits.assignments]
    return replace(waits, job=batch_job, assignments=asked)


def test_workers_that_await_nodes_are_starting_since_these_were_asked_for() -> None:
    found = workers(awaiting())
    assert [(each.state, each.created_us) for each in found] == [("starting", MADE_US)] * 3
    held = replace(job(), job=job().job.replace(spec=job().job.spec.replace(suspend=True)))
    assert states(workers(held)) == ["stopped"] * 3, "somebody has suspended it"


@pytest.mark.parametrize(
    ("status", "created"),
    [
        pytest.param({}, MADE, id="when their nodes were asked for"),
        pytest.param({"failed": 1}, LATER, id="when they were made in the place of others"),
    ],
)
def test_since_when_pods_ask_that_come_after_their_nodes(status: dict[str, Any], created: str) -> None:
    let = awaiting(is_let=True, startTime=LATER, **status)
    found = workers(let, pod(0, made=LATER), pod(1, made=LATER), pod(2, made=LATER))
    assert {each.created_us for each in found} == {parse_time_us(created)}


@pytest.mark.parametrize("is_let", [False, True])
def test_workers_whose_nodes_were_asked_for_before_them_are_absent_once_these_should_have_come(is_let: bool) -> None:
    says = {"type": "PodScheduled", "status": "False", "message": "no node"}
    asks = awaiting(is_let=True, startTime=LATER) if is_let else awaiting()
    pods = [pod(index, phase="Pending", made=LATER, conditions=[says]) for index in range(3)] if is_let else []

    def absent(after_s: int) -> int:
        return len([*absent_workers([asks], pods, now_us=MADE_US + after_s * 1_000_000)])

    assert [absent(after_s) for after_s in (0, 599, 600)] == [0, 0, 3]
    assert len([*absent_workers([asks], pods, refused=[asks.name], now_us=MADE_US)]) == 3


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
        return {"containerStatuses": [{"name": "dueby", "state": {"terminated": terminated}}]}

    pods = [pod(0, **ended("second", LATER, 2)), pod(0, **ended("first", MADE)), pod(0)]
    ending = ending_of(pods, "job-r1-cpu-1")
    assert (ending.sentence, ending.is_final) == ("second", True)
    assert ending_of(pods[1:], "job-r1-cpu-1").is_final is False
    assert ending_of(pods, "another").exit_code is None


def test_a_worker_that_has_ended_classifies_nothing_any_more() -> None:
    words = '{"progress": {"worker": "w0", "imagesDone": 5, "imagesPerSecond": 90, "secondsSinceBatch": 4000}}'
    terminated = {"message": words, "finishedAt": MADE, "exitCode": 0}
    ended = pod(0, containerStatuses=[{"name": "dueby", "state": {"terminated": terminated}}])
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


@pytest.mark.parametrize("label", ["abc", "", "-1", "٣", "²", "1.0", "100001", "9" * 60])
def test_a_pod_with_an_index_that_no_job_has_is_no_worker(label: str) -> None:
    odd = pod(0)
    labels = {**odd.metadata.labels, names.INDEX_OF_POD: label}
    assert index_of(odd.replace(metadata=odd.metadata.replace(labels=labels))) is None
    assert index_of(odd) == 0


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("", set()),
        ("1,3-5", {1, 3, 4, 5}),
        ("abc,2", {2}),
        ("٣", set()),
        ("0-99999999999", set()),
        ("9" * 5000, set()),
        ("5-3", set()),
        ("1-3-5", set()),
        (",,-,1-,-2", {1}),
        ("0-2," * 1000, {0, 1, 2}),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_odd_indices_are_none(text: str, indices: set[int]) -> None:
    assert parse_indices(text) == indices


@given(st.text(alphabet="0123456789,-abc٣") | st.text())
def test_any_text_lists_indices_that_a_job_can_have(text: str) -> None:
    assert all(0 <= index <= MAX_INDEX for index in parse_indices(text))


def test_a_meshs_sidecar_says_nothing_about_the_step() -> None:
    def status(name: str, **state: Any) -> dict[str, Any]:
        return {"name": name, "state": state, "imageID": f"{name}@sha256:{name}"}

    words = {"exitCode": 2, "message": '{"error": "no such proxy"}', "finishedAt": LATER}
    waiting = {"reason": "ImagePullBackOff", "message": "no such proxy"}
    sidecars = [status("proxy", terminated=words), status("agent", waiting=waiting)]
    alone = pod(0, containerStatuses=sidecars)
    assert ending_of([alone], "job-r1-cpu-1") == Ending()
    assert (not_starting(alone), image_of(alone), progress_of_ended([alone])) == ("", "", {})
    ours = status("dueby", terminated={"exitCode": 0, "message": "{}", "finishedAt": MADE})
    beside = pod(0, containerStatuses=[*sidecars, ours])
    assert ending_of([beside], "job-r1-cpu-1") == Ending(message="{}", exit_code=0)
    assert image_of(beside) == "sha256:dueby"


PARTS = st.sampled_from(["metadata", "name", "labels", "spec", "status", "containers", "phase", "podIP", "nodeName"])
THINGS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(PARTS | st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(PARTS, THINGS))
@pytest.mark.parametrize("kind", [Pod, BatchJob, NodeObject, ResourceQuota], ids=lambda kind: kind.__name__)
def test_any_document_is_an_object_or_refused(kind: type[LenientSpec], document: dict[str, Any]) -> None:
    try:
        parse(kind, {"metadata": {}, **document})
    except Invalid:
        return


@given(st.text() | THINGS.map(msgspec.json.encode).map(bytes.decode))
def test_any_last_words_are_read_or_passed_over(words: str) -> None:
    ended = pod(0, containerStatuses=[{"name": "dueby", "state": {"terminated": {"message": words, "exitCode": 1}}}])
    ending = ending_of([ended], "job-r1-cpu-1")
    for kind in (WorkResult, IndexResult, StepError):
        ending.read(kind)
    assert isinstance(ending.sentence, str)
    progress_of_ended([ended])


@pytest.mark.parametrize(
    ("labels", "setting"),
    [
        pytest.param({}, "spec.worker.resources.limits.memory", id="of a job"),
        pytest.param({names.PROFILED: "x"}, "the chart's worker.memory", id="that measures for everybody"),
    ],
)
def test_a_pod_that_the_kernel_has_ended_says_its_limit_and_what_to_raise(labels: dict[str, str], setting: str) -> None:
    state = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    pod = {
        "metadata": {"labels": {names.JOB_OF_POD: "a", **labels}},
        "spec": {"containers": [{"name": "dueby", "resources": {"limits": {"memory": "150Mi"}}}]},
        "status": {"containerStatuses": [{"name": "dueby", "state": state}]},
    }
    sentence = ending_of([parse(Pod, pod)], "a").sentence
    assert sentence == f"OOMKilled: a container needed more memory than its limit of 150Mi; raise {setting}"

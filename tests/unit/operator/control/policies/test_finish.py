"""Finish: has the job come to its end?"""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from dueby_api.parts import all_parts
from dueby_api.units import format_time
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.writes import Create
from support.decisions import MADE, NOW, SECOND, Started, a_batch, infj, look, pod_of, started

Document = dict[str, Any]


def done(begun: Started, **changes: Any) -> JobSnapshot:
    """The job once every part is in the sink."""
    return begun.job(parts_there=all_parts(10_000), **changes)


def finish_step(begun: Started) -> Create:
    (create,) = look(done(begun)).created
    return create


def ended(
    begun: Started,
    words: Document,
    *,
    at_us: int = NOW,
    code: int = 0,
    status: Document | None = None,
    others: Sequence[Document] = (),
    **spec: Any,
) -> JobSnapshot:
    """The job once its finish step has left these words; with another status of its Job, and with other pods of it."""
    create = finish_step(begun)
    terminated = {"exitCode": code, "message": json.dumps(words), "finishedAt": MADE}
    pod = pod_of(create, phase="Succeeded", containerStatuses=[{"name": "dueby", "state": {"terminated": terminated}}])
    complete = {"conditions": [{"type": "Complete", "status": "True"}], "completionTime": format_time(at_us)}
    step = {**create.job, "status": status or ({} if code else complete)}
    document = infj(status=begun.document["status"], **spec)
    return done(begun, document=document, steps={"finish": step}, pods=[*begun.pods, *others, pod])


def test_the_finish_step_starts_once_every_part_is_there_and_only_once() -> None:
    begun = started()
    first = look(done(begun))
    assert [name.rpartition("-")[0] for name in first.started_names] == ["job-finish"]
    again = look(done(begun, steps={"finish": first.created[0].job}))
    assert not again.writes
    assert again.status.phase == "Finishing"


def test_a_job_whose_rows_are_counted_is_complete_and_says_whether_in_time() -> None:
    begun = started()
    in_time = look(ended(begun, {"rows": 10_000, "errors": 0}, at_us=NOW + 50 * SECOND), now_us=NOW + 55 * SECOND)
    assert in_time.said("Complete") == ("True", "EveryImageHasARow")
    assert in_time.said("DeadlineMet") == ("True", "InTime")
    assert in_time.status.phase == "Succeeded"
    assert in_time.status.progress is not None
    assert (in_time.status.progress.images, in_time.status.progress.slack) == ("10000/10000", "10s")
    assert (in_time.status.gpus, in_time.status.ends) == (None, format_time(NOW + 50 * SECOND))
    assert "OnTrack" not in [condition.type for condition in in_time.status.conditions]

    late = look(ended(begun, {"rows": 10_000, "errors": 0}, at_us=NOW + 70 * SECOND), now_us=NOW + 71 * SECOND)
    assert late.said("Complete") == ("True", "EveryImageHasARow")
    assert late.said("DeadlineMet") == ("False", "Late")


def test_a_job_does_not_wait_for_a_pod_of_its_finish_step_that_cannot_go() -> None:
    begun = started()
    # The step was done a second time, for the node of its first pod is lost. Kubernetes says Complete once that pod has
    # gone, which may be never.
    met = {"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": format_time(NOW + 50 * SECOND)}
    first = pod_of(finish_step(begun), 1)
    first["metadata"]["deletionTimestamp"] = MADE
    seen = ended(begun, {"rows": 10_000, "errors": 0}, status={"conditions": [met], "terminating": 1}, others=[first])
    found = look(seen, now_us=NOW + 300 * SECOND)
    assert found.status.phase == "Succeeded"
    assert found.said("DeadlineMet") == ("True", "InTime")
    assert found.status.progress is not None
    assert found.status.progress.slack == "10s"


def test_faulty_rows_are_counted() -> None:
    begun = started()
    clean = look(ended(begun, {"rows": 10_000, "errors": 0}))
    assert clean.message("Complete") == "10,000 rows in rows."
    faulty = look(ended(begun, {"rows": 10_000, "errors": 2, "warnings": 3}))
    assert faulty.message("Complete") == "10,000 rows, 2 of them with an error and 3 with a warning, in rows."


@pytest.mark.parametrize(("errors", "reason"), [(100, "EveryImageHasARow"), (101, "TooManyFailedImages")])
def test_more_failed_images_than_the_job_allows_fail_it(errors: int, reason: str) -> None:
    words = {"rows": 10_000, "errors": errors}
    found = look(ended(started(), words, maxFailedImages="1%"))
    kind = "Complete" if reason == "EveryImageHasARow" else "Failed"
    assert found.said(kind) == ("True", reason)


def test_a_finish_step_that_fails_ends_the_job_in_its_words() -> None:
    found = look(ended(started(), {"field": "spec.sink", "error": "rows is full"}, code=2))
    assert found.said("Failed") == ("True", "FinishFailed")
    assert "rows is full" in found.message("Failed")


def test_rows_of_other_images_or_another_model_are_not_taken_for_this_jobs() -> None:
    found = look(ended(started(), {"rows": 10_000, "errors": 0, "fingerprint": "of another"}))
    assert found.said("Failed") == ("True", "FinishFailed")
    assert "not of this job's images and model" in found.message("Failed")


def test_a_job_that_is_to_stop_at_its_deadline_stops_there() -> None:
    begun = started()
    document = infj(status=begun.document["status"], onDeadline="Stop")
    before = look(begun.job(document=document), now_us=NOW + 59 * SECOND)
    assert before.status.phase != "Failed"
    after = look(begun.job(document=document), now_us=NOW + 60 * SECOND)
    assert after.said("Failed") == ("True", "Stopped")
    assert after.said("DeadlineMet")[0] == "False"


GONE_QUEUE = {"queueName": "gone"}


@pytest.mark.parametrize(
    ("spec", "cluster"),
    [
        pytest.param(GONE_QUEUE, {}, id="its queue was deleted"),
        pytest.param({}, {"profiles": ()}, id="its profile was deleted"),
    ],
)
@pytest.mark.parametrize("at_s", [10, 500])
def test_a_full_sink_is_counted_whatever_is_gone_that_its_workers_needed(
    spec: dict[str, Any], cluster: dict[str, Any], at_s: int
) -> None:
    begun = started()
    document = infj(status=begun.document["status"], onDeadline="Stop", **spec)
    found = look(done(begun, document=document), now_us=NOW + at_s * SECOND, **cluster)
    assert [name.rpartition("-")[0] for name in found.started_names] == ["job-finish"]
    assert found.said("Complete") == ("False", "Finishing")


@pytest.mark.parametrize(
    ("spec", "cluster"),
    [pytest.param(GONE_QUEUE, {}, id="no queue"), pytest.param({}, {"profiles": ()}, id="no profile")],
)
def test_workers_go_on_without_what_only_a_plan_needs(spec: dict[str, Any], cluster: dict[str, Any]) -> None:
    begun = started()
    progress = {pod["metadata"]["name"]: a_batch() for pod in begun.pods}
    document = infj(status=begun.document["status"], onDeadline="Stop", **spec)
    seen = begun.job(document=document, progress=progress)
    found = look(seen, now_us=NOW + 5 * SECOND, **cluster)
    assert found.status.phase == "Running"
    assert found.said("OnTrack") == ("True", "InTime")
    assert found.status.progress is not None
    assert found.status.progress.expected_finish is not None
    late = look(seen, now_us=NOW + 60 * SECOND, **cluster)
    assert late.said("Failed") == ("True", "Stopped")

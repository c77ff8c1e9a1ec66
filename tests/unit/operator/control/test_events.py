"""Which Events tell the difference of two statuses."""

from typing import Any

import pytest

from dueby_api.conditions import Truth
from dueby_api.status import Condition, JobStatus, Replan
from dueby_operator.control.events import events_between
from dueby_operator.reconciler import event_document
from support.decisions import MADE, NOW, infj, job


def status(*conditions: tuple[str, Truth, str], **more: Any) -> JobStatus:
    said = tuple(
        Condition(type=kind, status=truth, reason=reason, message="m", last_transition_time=MADE)
        for kind, truth, reason in conditions
    )
    return JobStatus(conditions=said, **more)


def told(before: JobStatus, after: JobStatus) -> list[tuple[str, str]]:
    return [("Warning" if event.is_warning else "Normal", event.reason) for event in events_between(before, after)]


INDEXED: tuple[str, Truth, str] = ("Indexed", "True", "Indexed")
PLANNED: tuple[str, Truth, str] = ("Feasible", "True", "Planned")


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        pytest.param(JobStatus(), status(INDEXED), [("Normal", "Indexed")], id="something became true"),
        pytest.param(status(INDEXED), status(INDEXED), [], id="nothing changed"),
        pytest.param(status(PLANNED), status(("Feasible", "False", "Late")), [("Warning", "Late")], id="it became bad"),
        pytest.param(JobStatus(), status(("OnTrack", "True", "InTime")), [], id="what goes without saying"),
        pytest.param(
            status(("OnTrack", "False", "Late")),
            status(("OnTrack", "True", "InTime")),
            [("Normal", "InTime")],
            id="it became good again",
        ),
        pytest.param(
            JobStatus(), status(("Failed", "True", "IndexFailed")), [("Warning", "IndexFailed")], id="it failed"
        ),
        pytest.param(
            JobStatus(),
            status(("Indexed", "False", "SourceUnreadable")),
            [("Warning", "SourceUnreadable")],
            id="the source could not be read",
        ),
        pytest.param(
            JobStatus(), status(("Indexed", "False", "Indexing")), [("Normal", "Indexing")], id="it is being listed"
        ),
    ],
)
def test_a_change_is_told_once(before: JobStatus, after: JobStatus, events: list[tuple[str, str]]) -> None:
    assert told(before, after) == events


def test_a_condition_without_a_message_is_told_in_the_words_of_its_reason() -> None:
    late = status(("OnTrack", "False", "Late"))
    silent = late.replace(conditions=tuple(found.replace(message="") for found in late.conditions))
    (event,) = events_between(JobStatus(), silent)
    assert event.message == "The workers will be late, by what they have reported."


def test_each_replan_is_told() -> None:
    first = Replan(time="t1", reason="Lagging", before=1, after=2)
    second = Replan(time="t2", reason="WorkerLost", before=2, after=3)
    assert told(status(replans=(first,)), status(replans=(first, second))) == [("Warning", "Replanned")]


def test_an_event_is_about_its_job() -> None:
    (event,) = events_between(JobStatus(), status(INDEXED))
    document = event_document(event, job(infj()), now_us=NOW)
    assert document["involvedObject"] == {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "name": "job",
        "namespace": "team",
        "uid": "u-1",
    }

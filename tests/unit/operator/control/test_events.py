"""Which Events tell the difference of two statuses."""

from typing import Any

import pytest

from dueby_api.conditions import Truth
from dueby_api.status import Condition, JobStatus, PlanStatus, Replan, WindowStatus
from dueby_api.units import format_exact_time, format_time
from dueby_operator.control.events import events_between
from dueby_operator.passes.event_poster import MergedEvent, event_document
from support.decisions import MADE, NOW, SECOND, infj, job
from support.operator import plan_status


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


def reserved(*, starts_s: int = 600, ends_s: int = 900, revision: int = 0) -> PlanStatus:
    """A plan of one window, in seconds from now."""
    window = WindowStatus(
        device_class="cpu-1",
        engine="eager",
        from_time=format_exact_time(NOW + starts_s * SECOND),
        to_time=format_exact_time(NOW + ends_s * SECOND),
        count=1,
        mini_batch_size=16,
        images=100,
    )
    return plan_status(
        format_time(NOW + ends_s * SECOND), revision=revision, confidence=0.99, probability=1, windows=(window,)
    )


RESERVED: tuple[str, Truth, str] = ("Feasible", "True", "Reserved")
BEFORE = status(RESERVED, plan=reserved(), observed_generation=1)
GAVE_WAY = Replan(time="t", reason="GaveWay", before=2, after=1)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        pytest.param(
            BEFORE.replace(plan=reserved(starts_s=661, ends_s=900)),
            "Starts at 2023-11-14T22:24:21Z instead of 2023-11-14T22:23:20Z: other jobs or devices have changed.",
            id="a window begins more than a minute later",
        ),
        pytest.param(
            BEFORE.replace(plan=reserved(ends_s=839)),
            "Ends at 2023-11-14T22:27:19Z instead of 2023-11-14T22:28:20Z: other jobs or devices have changed.",
            id="the end comes more than a minute earlier",
        ),
        pytest.param(
            BEFORE.replace(plan=reserved(starts_s=0, ends_s=300), observed_generation=2),
            "Starts at 2023-11-14T22:13:20Z instead of 2023-11-14T22:23:20Z and "
            "ends at 2023-11-14T22:18:20Z instead of 2023-11-14T22:28:20Z: the job was edited.",
            id="the job was edited",
        ),
    ],
)
def test_a_window_that_moves_is_told_with_why(after: JobStatus, message: str) -> None:
    (event,) = events_between(BEFORE, after)
    assert (event.reason, event.message, event.is_warning) == ("WindowMoved", message, False)


def test_the_change_of_workers_that_has_moved_a_window_is_named() -> None:
    after = BEFORE.replace(plan=reserved(starts_s=800), replans=(GAVE_WAY,))
    assert [event.message.rpartition(": ")[2] for event in events_between(BEFORE, after)] == [
        "from 2 workers to 1.",
        "GaveWay.",
    ]


@pytest.mark.parametrize(
    ("after", "events"),
    [
        pytest.param(BEFORE.replace(plan=reserved(starts_s=660, ends_s=960)), [], id="by a minute"),
        pytest.param(BEFORE.replace(plan=reserved(starts_s=800, revision=1)), [], id="its first workers were started"),
        pytest.param(BEFORE.replace(plan=None), [], id="nothing is reserved any more"),
        pytest.param(
            status(("Feasible", "False", "Late"), plan=reserved(starts_s=800)),
            [("Warning", "Late")],
            id="it is late now",
        ),
        pytest.param(
            status(("Feasible", "True", "Planned"), plan=reserved(starts_s=800)),
            [("Normal", "Planned")],
            id="the condition says it",
        ),
    ],
)
def test_a_window_that_moves_is_not_told_of(after: JobStatus, events: list[tuple[str, str]]) -> None:
    assert told(BEFORE, after) == events


def test_an_event_is_about_its_job() -> None:
    (event,) = events_between(JobStatus(), status(INDEXED))
    document = event_document(MergedEvent(event=event, job=job(infj()), first_us=NOW, last_us=NOW, count=1))
    assert document["involvedObject"] == {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "name": "job",
        "namespace": "team",
        "uid": "u-1",
    }

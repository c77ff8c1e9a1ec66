"""Which Events tell the difference of two statuses."""

from typing import Any

import pytest

from dueby_operator.jobs.events import events_between
from support.case import NOW, infj


def status(*conditions: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    said = [{"type": kind, "status": truth, "reason": reason, "message": "m"} for kind, truth, reason in conditions]
    return {"conditions": said, **more}


def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    return [(event["type"], event["reason"]) for event in events_between(infj(), before, after, now_us=NOW)]


INDEXED, PLANNED = ("Indexed", "True", "Indexed"), ("Feasible", "True", "Planned")


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        pytest.param({}, status(INDEXED), [("Normal", "Indexed")], id="something became true"),
        pytest.param(status(INDEXED), status(INDEXED), [], id="nothing changed"),
        pytest.param(status(PLANNED), status(("Feasible", "False", "Late")), [("Warning", "Late")], id="it became bad"),
        pytest.param({}, status(("OnTrack", "True", "InTime")), [], id="what goes without saying"),
        pytest.param(
            status(("OnTrack", "False", "Late")),
            status(("OnTrack", "True", "InTime")),
            [("Normal", "InTime")],
            id="it became good again",
        ),
        pytest.param({}, status(("Failed", "True", "IndexFailed")), [("Warning", "IndexFailed")], id="it failed"),
    ],
)
def test_a_change_is_told_once(before: dict[str, Any], after: dict[str, Any], events: list[tuple[str, str]]) -> None:
    assert told(before, after) == events


def test_each_replan_is_told() -> None:
    first = {"time": "t1", "reason": "Lagging", "from": 1, "to": 2}
    second = {"time": "t2", "reason": "WorkerLost", "from": 2, "to": 3}
    assert told(status(replans=[first]), status(replans=[first, second])) == [("Warning", "Replanned")]


def test_an_event_is_about_its_job() -> None:
    (event,) = events_between(infj(), {}, status(INDEXED), now_us=NOW)
    assert event["involvedObject"] == {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "name": "job",
        "namespace": "team",
        "uid": "u-1",
    }

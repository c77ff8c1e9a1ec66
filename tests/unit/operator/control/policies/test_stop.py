"""Stop: has the deadline passed for a job that has not come to have workers?"""

from typing import Any

import pytest

from support.decisions import NOW, SECOND, indexed, infj, look


@pytest.mark.parametrize(
    ("job", "more"),
    [
        pytest.param({}, {}, id="its source is being listed"),
        pytest.param({"status": indexed()}, {"profiles": ()}, id="it has no profile"),
        pytest.param({"status": indexed()}, {"nodes": {}}, id="no device is free"),
        pytest.param({"status": indexed(), "suspend": True}, {}, id="it is suspended"),
        pytest.param({"status": indexed(), "queueName": "q"}, {}, id="its queue doesn't exist"),
    ],
)
def test_a_job_that_waits_until_its_deadline_stops_there_if_it_says_so(
    job: dict[str, Any], more: dict[str, Any]
) -> None:
    late_us = NOW + 60 * SECOND
    late = look(infj(**job, onDeadline="Stop"), now_us=late_us, **more)
    assert late.said("Failed") == ("True", "Stopped")
    assert not late.writes
    assert look(infj(**job, onDeadline="Stop"), now_us=late_us - SECOND, **more).status.phase != "Failed"
    assert look(infj(**job), now_us=late_us, **more).status.phase != "Failed"


def test_a_job_that_could_start_is_stopped_with_what_it_would_have_been_planned_on() -> None:
    found = look(infj(status=indexed(), onDeadline="Stop"), now_us=NOW + 60 * SECOND)
    assert found.said("Failed") == ("True", "Stopped")
    assert found.decision.model is not None, "dueby run tells of it"

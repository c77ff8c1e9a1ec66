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
    assert look(infj(**job, onDeadline="Stop"), now_us=late_us, **more).said("Failed") == ("True", "Stopped")
    assert look(infj(**job, onDeadline="Stop"), now_us=late_us - SECOND, **more).status.phase != "Failed"
    assert look(infj(**job), now_us=late_us, **more).status.phase != "Failed"

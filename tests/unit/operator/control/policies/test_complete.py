"""Complete: is every part in the sink already, before there is a worker?"""

from typing import Any

import pytest

from support.decisions import MADE, NOW, SECOND, indexed, infj, job, look

WHOLE = {"partSize": 10, "partsThere": "0-999"}


def in_phase(found: Any) -> tuple[str, list[str]]:
    return found.status.phase, [name.rpartition("-")[0] for name in found.started_names]


@pytest.mark.parametrize(
    ("spec", "cluster"),
    [
        pytest.param({}, {}, id="as it is"),
        pytest.param({}, {"profiles": ()}, id="what was never measured isn't measured"),
        pytest.param({}, {"nodes": {}}, id="no device is waited for"),
        pytest.param({"deadlineClass": "Hard", "deadline": "1s"}, {}, id="no deadline is too early"),
        pytest.param({"queueName": "nowhere"}, {}, id="no queue is waited for"),
    ],
)
def test_the_rows_of_a_full_sink_are_counted_at_once(spec: dict[str, Any], cluster: dict[str, Any]) -> None:
    first = look(infj(status=indexed(**WHOLE), **spec), **cluster)
    assert [name.rpartition("-")[0] for name in first.started_names] == ["job-finish"]
    assert first.said("Complete") == ("False", "Finishing")
    (create,) = first.created
    document = infj(status=first.status.document(), **spec)
    again = look(job(document, steps={"finish": create.job}), **cluster)
    assert not again.writes
    assert again.status.phase == "Finishing"


def test_a_full_sink_completes_the_job_without_a_worker() -> None:
    document = infj(status=indexed(**WHOLE))
    (create,) = look(document).created
    words = '{"rows": 10000, "errors": 0, "fingerprint": "f"}'
    state = {"terminated": {"exitCode": 0, "message": words, "finishedAt": MADE}}
    labels = {"batch.kubernetes.io/job-name": create.job["metadata"]["name"]}
    pod = {
        "metadata": {"name": "p", "labels": labels, "creationTimestamp": MADE},
        "status": {"phase": "Succeeded", "containerStatuses": [{"name": "dueby", "state": state}]},
    }
    step = {**create.job, "status": {"conditions": [{"type": "Complete", "status": "True"}], "completionTime": MADE}}
    found = look(job(document, steps={"finish": step}, pods=[pod]))
    assert found.said("Complete") == ("True", "EveryImageHasARow")
    assert found.said("DeadlineMet") == ("True", "InTime")


@pytest.mark.parametrize("there", ["0-998", "", None])
def test_a_sink_that_lacks_a_part_is_planned(there: str | None) -> None:
    found = look(infj(status=indexed(partSize=10, partsThere=there)))
    assert found.status.plan is not None


def test_a_full_sink_is_counted_beyond_the_deadline_at_which_the_job_stops() -> None:
    late = look(infj(status=indexed(**WHOLE), onDeadline="Stop"), now_us=NOW + 61 * SECOND)
    assert in_phase(late)[1] == ["job-finish"]
    assert late.said("Complete") == ("False", "Finishing")

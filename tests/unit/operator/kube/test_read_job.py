"""What is read of an InferenceJob beside what it asks for."""

from typing import Any

import pytest

from dueby_operator.kube.read_job import MAX_STATUS_BYTES
from support.control_loop import synthetic
from support.stored import snapshot


@pytest.mark.parametrize(
    ("labels", "is_restored"),
    [({}, False), ({"velero.io/restore-name": "monday"}, True), ({"velero.io/backup-name": "nightly"}, False)],
    ids=["no", "yes", "backed up only"],
)
def test_whether_a_job_was_restored_from_a_backup(labels: dict[str, str], is_restored: bool) -> None:
    document = synthetic("a")
    document["metadata"]["labels"] = labels
    assert snapshot(document).is_restored == is_restored


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ([], "expected a mapping of fields"),
        ({"message": "x" * MAX_STATUS_BYTES}, r"bytes as JSON; the operator writes at most 524,288"),
    ],
    ids=["no mapping", "too long"],
)
def test_a_job_whose_status_can_not_be_read_is_left_alone(status: Any, reason: str) -> None:
    """Without it, a job that is done would be done again."""
    found = snapshot({**synthetic("a"), "status": status})
    assert found.unreadable.startswith("its status can't be read: ")
    assert reason in found.unreadable


def test_a_phase_that_an_operator_does_not_know_costs_nothing_else() -> None:
    made = "2026-11-26T12:00:00Z"
    complete = {"type": "Complete", "status": "True", "reason": "EveryImageHasARow", "lastTransitionTime": made}
    found = snapshot({**synthetic("a"), "status": {"phase": "Archived", "images": 60, "conditions": [complete]}})
    assert not found.unreadable
    assert (found.status.phase, found.status.images, len(found.status.conditions)) == ("Pending", 60, 1)

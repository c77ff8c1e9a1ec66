"""What is read of an InferenceJob beside what it asks for."""

import pytest

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

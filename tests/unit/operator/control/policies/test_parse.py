"""Parse: is what the job asks for valid, and until when is it asked for?"""

from typing import Any

import pytest

from dueby_api.conditions import ConditionType
from dueby_api.units import format_time
from dueby_operator.control.conditions import condition
from support.decisions import MADE, NOW, SECOND, indexed, infj, look, started


def test_what_is_not_built_yet_is_refused_not_approximated() -> None:
    found = look(infj(objective="MinEnergy"))
    assert found.said("Failed") == ("True", "InvalidJob")
    assert "spec.objective: must be one of MinGPUs" in found.message("Failed")
    assert found.status.phase == "Failed"
    assert not found.writes


@pytest.mark.parametrize(
    ("classes", "cpu", "reason"),
    [
        pytest.param(["cpu-1", "cpu-2"], "3", "InvalidJob", id="more cores than any slice has"),
        pytest.param(["cpu-1", "cpu-2"], "2", "", id="as many as one of the slices has"),
        pytest.param(["cpu-1", "NVIDIA-L4"], "3", "", id="a GPU, too"),
        pytest.param([], "3", "", id="whatever there is"),
    ],
)
def test_a_worker_has_no_more_cores_than_its_slice(classes: list[str], cpu: str, reason: str) -> None:
    worker = {"resources": {"requests": {"cpu": cpu}}}
    found = look(infj(status=indexed(), worker=worker, gpus={"classes": classes}))
    failed = condition(found.status, ConditionType.FAILED)
    assert (failed.reason if failed else "") == reason
    assert failed is None or "asks for more (3) than a slice of cpu-2 has: name larger slices" in failed.message


def test_the_time_of_acceptance_and_the_deadline_are_recorded() -> None:
    status = look(infj(deadline="90s", status=indexed())).status
    assert status.accepted_time == MADE
    assert status.deadline_time == format_time(NOW + 90 * SECOND)
    assert status.observed_generation == 1


def test_when_workers_were_first_seen_is_recorded_once() -> None:
    begun = started()
    assert begun.look.status.workers_seen is None, "they may be forbidden"
    seen = begun.once_seen()
    assert seen.look.status.workers_seen == format_time(NOW + SECOND)
    for more in ({}, {"worker_jobs": (), "pods": ()}):
        later = look(seen.job(**more), now_us=NOW + 5 * SECOND)
        assert later.status.workers_seen == format_time(NOW + SECOND)


def test_jobs_of_workers_whose_config_map_is_gone_show_that_there_were_workers() -> None:
    begun = started()
    jobs = [each.job for each in begun.worker_jobs]
    found = look(begun.job(worker_jobs=(), without_config=jobs, pods=()), now_us=NOW + SECOND)
    assert found.status.workers_seen == format_time(NOW + SECOND)


REPLAN = {"time": MADE, "reason": "WorkerLost", "from": 0, "to": 1}
BEGUN = {"partSize": 16, "partsThere": "0-9"}


@pytest.mark.parametrize(
    ("more", "had_workers"),
    [
        pytest.param({}, False, id="a plan alone"),
        pytest.param({"progress": {"images": "0/10k", "imagesDone": 0}}, False, id="nothing done"),
        pytest.param({"progress": {"images": "16/10k", "imagesDone": 16}}, True, id="some images done"),
        pytest.param({**BEGUN, "progress": {"images": "160/10k", "imagesDone": 160}}, False, id="an earlier job's"),
        pytest.param({**BEGUN, "progress": {"images": "176/10k", "imagesDone": 176}}, True, id="more than those"),
        pytest.param({"gpus": 2}, True, id="devices"),
        pytest.param({"replans": [REPLAN]}, True, id="a re-plan"),
        pytest.param({"phase": "Running"}, True, id="running"),
    ],
)
def test_a_status_of_a_version_that_did_not_record_workers_shows_them(more: dict[str, Any], had_workers: bool) -> None:
    begun = started()
    status = {**begun.document["status"], **more}
    found = look(begun.job(document={**begun.document, "status": status}, worker_jobs=(), pods=()), nodes={})
    assert (found.status.workers_seen is not None) == had_workers

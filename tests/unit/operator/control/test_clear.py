"""What is cleared away after a job, and when."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.units import format_time
from dueby_operator.control.clear import clear, is_leaving
from dueby_operator.jobs import names
from dueby_operator.model.job_snapshot import JobSnapshot
from support.decisions import infj, job, look, started, worker_job_of
from support.operator import NOW, SECOND

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
DAY = 24 * HOUR
(STEP,) = look(infj()).created
INDEX_JOB, RUNNING, DONE = "index", "running", "done"
JOB = "job"


def over(kind: str, *, after_us: int, **spec: Any) -> JobSnapshot:
    """A job that came to its end so long ago, with a step that is done, a worker Job that is, and one that isn't."""
    ended = {
        "type": kind,
        "status": "True",
        "reason": kind,
        "message": "",
        "lastTransitionTime": format_time(NOW - after_us),
    }
    begun = started(deadline="25s")
    (create,) = begun.look.created
    complete = {"conditions": [{"type": "Complete", "status": "True"}]}
    worker_jobs = [named(worker_job_of(create, **status), name) for name, status in ((RUNNING, {}), (DONE, complete))]
    step = {**STEP.job, "metadata": {**STEP.job["metadata"], "name": INDEX_JOB, "uid": "s"}, "status": complete}
    return job(infj(status={"conditions": [ended]}, **spec), worker_jobs=worker_jobs, steps={"index": step})


def named(worker_job: Any, name: str) -> Any:
    metadata = worker_job.job.metadata.replace(name=name)
    return type(worker_job)(job=worker_job.job.replace(metadata=metadata), revision=1, assignments=())


def cleared(kind: str, *, after_us: int, time_to_live_us: int | None = None, **spec: Any) -> set[str]:
    """The names of what is deleted."""
    seen = over(kind, after_us=after_us, **spec)
    return {write.path.rpartition("/")[2] for write in clear(seen, now_us=NOW, time_to_live_us=time_to_live_us)}


def test_a_worker_that_would_be_tried_again_takes_no_device_once_every_row_is_there() -> None:
    seen = over("Complete", after_us=SECOND)
    running, done = seen.worker_jobs
    for active, gone in ((0, {RUNNING}), (1, set())):
        status = running.job.status.replace(failed=1, active=active)
        tried = replace(running, job=running.job.replace(status=status))
        writes = clear(replace(seen, worker_jobs=(tried, done)), now_us=NOW)
        assert {write.path.rpartition("/")[2] for write in writes} == gone


def test_a_job_that_awaits_nodes_asks_for_none_once_every_row_is_there() -> None:
    seen = over("Complete", after_us=SECOND)
    running, done = seen.worker_jobs
    metadata = running.job.metadata.replace(annotations={names.BUFFER: names.AWAITED})
    for suspend, gone in ((True, {RUNNING}), (False, set())):
        spec = running.job.spec.replace(suspend=suspend)
        waits = replace(running, job=running.job.replace(metadata=metadata, spec=spec))
        writes = clear(replace(seen, worker_jobs=(waits, done)), now_us=NOW)
        assert {write.path.rpartition("/")[2] for write in writes} == gone


@pytest.mark.parametrize(
    ("after_us", "workers", "is_leaving_still"),
    [(SECOND, (RUNNING, DONE), True), (SECOND, (DONE,), False), (MINUTE, (RUNNING, DONE), False)],
    ids=["one still works", "all have ended", "it was stopped"],
)
def test_a_complete_job_is_looked_at_again_soon_while_its_workers_end(
    after_us: int, workers: tuple[str, ...], is_leaving_still: bool
) -> None:
    seen = over("Complete", after_us=after_us)
    left = [worker_job for worker_job in seen.worker_jobs if worker_job.name in workers]
    assert is_leaving(replace(seen, worker_jobs=left), now_us=NOW) == is_leaving_still


EVERY_JOB = {INDEX_JOB, RUNNING, DONE}


@pytest.mark.parametrize(
    ("kind", "after_us", "gone"),
    [
        pytest.param("Complete", 10 * SECOND, set(), id="complete: its workers end by themselves"),
        pytest.param("Complete", MINUTE, {RUNNING}, id="but one that never found a node"),
        pytest.param("Complete", 9 * MINUTE, {RUNNING}, id="logs are there for some minutes"),
        pytest.param("Complete", 11 * MINUTE, EVERY_JOB, id="and no longer"),
        pytest.param("Failed", SECOND, {RUNNING}, id="failed: its devices are free at once"),
        pytest.param("Failed", 59 * MINUTE, {RUNNING}, id="its logs are there for an hour"),
        pytest.param("Failed", 61 * MINUTE, EVERY_JOB, id="and no longer than that"),
        pytest.param("Complete", 3650 * DAY, EVERY_JOB, id="the job itself stays"),
    ],
)
def test_what_is_left_of_a_job_goes_in_turns(kind: str, after_us: int, gone: set[str]) -> None:
    assert cleared(kind, after_us=after_us) == gone


@pytest.mark.parametrize(
    ("own", "usual_us", "after_us", "is_gone"),
    [
        pytest.param("1h", None, 2 * HOUR, True, id="its own time"),
        pytest.param("1h", None, HOUR // 2, False, id="not before"),
        pytest.param(None, 7 * DAY, 8 * DAY, True, id="the installation's time"),
        pytest.param(None, 7 * DAY, 6 * DAY, False, id="not before that"),
        pytest.param("240h", 7 * DAY, 8 * DAY, False, id="its own comes first"),
    ],
)
def test_a_job_is_deleted_after_its_time_to_live(own: str | None, usual_us: int, after_us: int, is_gone: bool) -> None:
    spec = {"ttlAfterFinished": own} if own else {}
    assert (JOB in cleared("Complete", after_us=after_us, time_to_live_us=usual_us, **spec)) == is_gone


def test_of_a_job_that_goes_on_nothing_is_cleared_away() -> None:
    assert not clear(started().job(), now_us=NOW + 3650 * DAY, time_to_live_us=1)

"""The first plan of a job, and another one where all its workers are gone."""

from dataclasses import replace

import pytest

from dueby_operator.model.job_snapshot import NOTHING, JobMemory
from support.decisions import NOW, SECOND, look, node, started

ONE = node(cpus=1)
BUSY = replace(ONE, free={**ONE.free, "cpu": 0.0})


@pytest.mark.parametrize("memory", [None, NOTHING], ids=["as it is", "after a restart of the operator"])
def test_a_hard_job_goes_on_late_where_its_jobs_of_workers_are_gone(memory: JobMemory | None) -> None:
    begun = started(deadlineClass="Hard", deadline="300s").once_seen()
    seen = begun.job(worker_jobs=(), pods=(), memory=begun.look.memory if memory is None else memory)
    found = look(seen, now_us=NOW + 295 * SECOND)
    assert found.said("Feasible") == ("False", "Late")
    assert found.status.phase == "Starting"
    assert found.started_names[0].startswith("job-r2-")


def test_where_it_is_too_late_it_goes_on_all_the_same() -> None:
    begun = started(deadlineClass="Hard").once_seen()
    found = look(begun.job(worker_jobs=(), pods=()), now_us=NOW + 100 * SECOND)
    assert found.status.phase == "Starting"
    assert found.said("DeadlineMet") == ("False", "Late")


def test_a_hard_job_that_finds_no_device_then_waits_for_one() -> None:
    begun = started(deadlineClass="Hard", deadline="300s").once_seen()
    found = look(begun.job(worker_jobs=(), pods=()), nodes={}, now_us=NOW + 295 * SECOND)
    assert found.said("Feasible") == ("Unknown", "Waiting")


def test_a_hard_job_whose_workers_were_only_forbidden_is_refused_as_a_new_one() -> None:
    begun = started(deadlineClass="Hard", deadline="300s")
    memory = replace(begun.look.memory, refused_until_us=NOW + 290 * SECOND)
    for remembered in (memory, NOTHING):
        found = look(begun.job(worker_jobs=(), pods=(), memory=remembered), now_us=NOW + 295 * SECOND)
        assert found.said("Failed") == ("True", "Infeasible")


def test_a_hard_job_goes_on_whatever_was_forbidden_before_it_had_workers() -> None:
    begun = started(deadlineClass="Hard", deadline="300s").once_seen()
    memory = replace(begun.look.memory, refused_until_us=NOW - 3600 * SECOND)
    seen = begun.job(worker_jobs=(), pods=(), memory=memory)
    for _ in range(2):  # in the second pass it has done nothing, as far as anybody can see
        found = look(seen, now_us=NOW + 295 * SECOND, nodes={"n": BUSY})
        assert found.said("Feasible") == ("Unknown", "Waiting")
        document = {**begun.document, "status": found.status.document()}
        seen = begun.job(document=document, worker_jobs=(), pods=(), memory=found.memory)

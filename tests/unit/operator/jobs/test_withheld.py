"""Which devices are withheld from others: those of a job's workers that are about to have a node, and no more."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_operator.jobs import names
from dueby_operator.jobs.withheld import WITHHELD_US, WithheldDevices, pods_to_come, unscheduled_workers
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import parse
from support.decisions import NOW, SECOND, started
from support.profiling import A100, begun, job_of

PENDING = [{**pod, "spec": {}} for pod in started().pods]
LEAVING = [
    {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": "2026-11-30T00:00:00Z"}} for pod in started().pods
]
WORKERS = len(PENDING)


def with_job(found: JobSnapshot, **spec: Any) -> JobSnapshot:
    """Return the job with its Job of workers changed so."""
    (worker_job,) = found.worker_jobs
    return replace(found, worker_jobs=[replace(worker_job, job=worker_job.job.replace(**spec))])


def unstarted(**spec: Any) -> JobSnapshot:
    """Return a job whose Job was just made, with its spec changed so."""
    found = started().job(pods=[])
    return with_job(found, spec=found.worker_jobs[0].job.spec.replace(**spec))


def unread(found: JobSnapshot) -> JobSnapshot:
    """Return the job without what is known of its workers by their ConfigMap alone."""
    (worker_job,) = found.worker_jobs
    return replace(found, worker_jobs=[replace(worker_job, assignments=())])


def asking(found: JobSnapshot) -> JobSnapshot:
    """Return the job with workers that have asked a pool for their nodes."""
    (worker_job,) = found.worker_jobs
    asked = [replace(assignment, pool="burst") for assignment in worker_job.assignments]
    return replace(found, worker_jobs=[replace(worker_job, assignments=asked)])


def forged(*, revision: int) -> JobSnapshot:
    """Return the job with a Job like the operator's, that somebody else has made."""
    found = unstarted()
    (worker_job,) = found.worker_jobs
    metadata = worker_job.job.metadata.replace(name="like-the-operators")
    own = worker_job.job if revision > 1 else worker_job.job.replace(metadata=metadata)
    return replace(found, worker_jobs=[replace(worker_job, job=own, revision=revision)])


@pytest.mark.parametrize(
    ("found", "workers"),
    [
        pytest.param(unstarted(), WORKERS, id="all that were just started"),
        pytest.param(started().job(pods=started().pods[1:]), 1, id="the one without a pod"),
        pytest.param(
            started().job(pods=[{**pod, "spec": {}} for pod in started().pods]), WORKERS, id="pods on no node"
        ),
        pytest.param(started().job(), 0, id="none that is on a node"),
        pytest.param(asking(unstarted()), 0, id="none that waits for a node of its own"),
        pytest.param(started().job(pods=LEAVING), WORKERS, id="those that replace pods which are being deleted"),
        pytest.param(unstarted(completions=100_000), WORKERS, id="no more than there are assignments"),
        pytest.param(unstarted(completions=1), 1, id="no more than a Job that was shrunk wants"),
        pytest.param(unread(unstarted()), WORKERS, id="all of a Job whose assignments can't be read"),
        pytest.param(unread(unstarted(completions=100_000)), 1000, id="no more of it than a Job is given"),
        pytest.param(unstarted(suspend=True), 0, id="none that a queue holds back"),
        pytest.param(forged(revision=2), 0, id="none of a revision that was not started"),
        pytest.param(forged(revision=1), 0, id="none of a Job with another name than the operator gives"),
    ],
)
def test_workers_on_no_node_withhold_their_devices(found: JobSnapshot, workers: int) -> None:
    assert unscheduled_workers(found).total() == workers


def test_a_class_that_is_being_measured_counts_once_until_its_pod_has_a_node() -> None:
    (create,) = begun(A100)
    whole = job_of(create)
    whole["spec"] = {**whole["spec"], "completions": 100_000}
    found = replace(started().job(), profiling=[parse(BatchJob, whole)] * 2)
    assert unscheduled_workers(found) == {A100: 1}
    ended = job_of(create, Failed="DeadlineExceeded")
    assert unscheduled_workers(replace(found, profiling=[parse(BatchJob, ended)])) == {}


def test_a_worker_that_gets_no_node_withholds_nothing_after_a_while() -> None:
    withheld, waiting = WithheldDevices(), unstarted()

    def count(found: JobSnapshot, after_us: int) -> int:
        return withheld.count([found], now_us=NOW + after_us).total()

    assert count(waiting, 0) == count(waiting, WITHHELD_US) == WORKERS
    assert count(waiting, WITHHELD_US + 1) == 0
    # Other Jobs of the same name or another begin no new time while it waits; once it had a node, it may lose it.
    assert count(unstarted(completions=100_000), WITHHELD_US + 2) == 0
    assert count(started().job(), WITHHELD_US + 3) == 0
    # The namespace has spent its budget, which comes back slowly.
    count(waiting, WITHHELD_US + SECOND)
    assert count(waiting, WITHHELD_US + 2 * SECOND) == 0
    assert count(started().job(), 40 * WITHHELD_US) == 0
    assert count(waiting, 40 * WITHHELD_US + SECOND) == WORKERS


def test_jobs_that_come_and_go_without_a_pod_withhold_little_of_an_hour() -> None:
    withheld, waiting, seconds = WithheldDevices(), unstarted(), 0
    for second in range(0, 3600, 2):
        # Every two minutes what waits is gone for a pass.
        there = [] if second % 120 == 0 else [waiting]
        seconds += 2 * (withheld.count(there, now_us=NOW + second * SECOND).total() > 0)
    assert seconds <= 2 * WITHHELD_US // SECOND + 3600 // 20
    # Others have a budget of their own.
    assert not withheld.count([], now_us=NOW + 3600 * SECOND)
    assert withheld.count([replace(waiting, namespace="other")], now_us=NOW + 3602 * SECOND).total() == WORKERS


def test_workers_that_get_a_node_in_a_minute_cost_nothing_however_often() -> None:
    withheld, waiting, placed = WithheldDevices(), unstarted(), started().job()
    for second in range(0, 3600, 90):
        assert withheld.count([waiting], now_us=NOW + second * SECOND).total() == WORKERS
        assert withheld.count([waiting], now_us=NOW + (second + 60) * SECOND).total() == WORKERS
        assert withheld.count([placed], now_us=NOW + (second + 80) * SECOND).total() == 0


def test_a_quota_is_kept_for_pods_that_are_still_to_be_made_and_no_others() -> None:
    assert [missing for _, missing in pods_to_come(unstarted(completions=100_000))] == [WORKERS]
    assert [missing for _, missing in pods_to_come(started().job(pods=started().pods[1:]))] == [1]
    assert not list(pods_to_come(unstarted(suspend=True)))
    (awaiting,) = unstarted(suspend=True).worker_jobs
    metadata = awaiting.job.metadata.replace(annotations={names.BUFFER: names.AWAITED})
    awaits_nodes = with_job(unstarted(suspend=True), metadata=metadata)
    assert [missing for _, missing in pods_to_come(awaits_nodes)] == [WORKERS], "they come once there are nodes"
    (create,) = begun(A100)
    for state, missing in (({}, [1]), ({"Complete": "Done"}, [])):
        index = parse(BatchJob, job_of(create, **state))
        assert [count for _, count in pods_to_come(replace(started().job(), steps={"index": index}))] == missing

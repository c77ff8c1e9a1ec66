"""What takes workers away: a Job shrinks at its end, so that as many of its living workers go as are meant."""

import pytest

from dueby_api.inference_job import InferenceJob
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.control.render import render
from dueby_operator.jobs import names
from dueby_operator.model.actions import StopWorkers
from dueby_operator.model.job_snapshot import WorkerJob
from dueby_operator.model.writes import Change, Delete, Write
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import parse
from support.decisions import MADE, NOW, SETTINGS, infj, job
from support.operator import worker


def stop(*workers: str, completed: str = "", failed: str = "") -> Write:
    """What is written to stop these of the five workers of a Job."""
    labels = {**names.labels("job", "work"), names.REVISION: "1"}
    document = {
        "metadata": {"name": "job-w", "namespace": "team", "uid": "u-w", "labels": labels},
        "spec": {"completions": 5},
        "status": {"startTime": MADE, "completedIndexes": completed, "failedIndexes": failed},
    }
    assignments = [worker(f"w{i}", first=i, end=i + 1).assignment for i in range(5)]
    there = WorkerJob(job=parse(BatchJob, document), revision=1, assignments=assignments)
    seen = job(infj(), worker_jobs=[there])
    assert isinstance(seen.manifest, InferenceJob)
    devices = ClusterDevices(settings=SETTINGS, now_us=NOW, nodes={})
    (write,) = render((StopWorkers(workers=workers, reason="Edited"),), seen, seen.manifest, devices)
    return write


@pytest.mark.parametrize(
    ("meant", "completed", "failed", "left"),
    [
        pytest.param(("w4",), "", "", 4, id="the last one"),
        pytest.param(("w0", "w3"), "", "", 3, id="as many as are meant, from the end"),
        pytest.param(("w0",), "", "3,4", 2, id="dead ones at the end don't count"),
        pytest.param(("w0", "w1"), "2", "4", 1, id="nor those between the living"),
        pytest.param(("w2", "w3"), "0", "1,4", 2, id="all living ones, after dead ones"),
    ],
)
def test_a_job_shrinks_until_as_many_living_workers_are_gone_as_are_meant(
    meant: tuple[str, ...], completed: str, failed: str, left: int
) -> None:
    write = stop(*meant, completed=completed, failed=failed)
    assert isinstance(write, Change)
    assert write.fields == {"spec": {"completions": left, "parallelism": left}}


def test_a_job_of_which_every_worker_is_meant_is_deleted() -> None:
    assert isinstance(stop(*(f"w{i}" for i in range(5))), Delete)
    assert isinstance(stop("w0", "w1", failed="2-4"), Delete)

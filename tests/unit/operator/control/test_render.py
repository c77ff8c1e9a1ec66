"""What takes workers away: a Job shrinks at its end, so that as many of its living workers go as are meant."""

from dataclasses import replace

import pytest

from dueby_api.capacity import NodePool
from dueby_api.inference_job import InferenceJob
from dueby_api.schema import validate
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.control.render import render
from dueby_operator.jobs import names
from dueby_operator.model.actions import StartWorkers, StopWorkers
from dueby_operator.model.job_snapshot import WorkerJob
from dueby_operator.model.writes import Change, Create, Delete, Write
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import parse
from dueby_planner.model.capacity import Provision
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


def test_a_worker_that_asks_for_a_node_has_the_pool_s_labels_and_no_other_job() -> None:
    """One revision with workers on nodes that are there and workers that ask: two Jobs, and the pods of each alike."""
    pool = {"name": "burst", "class": "cpu-1", "devicesPerNode": 4, "maxNodes": 2, "timeToProvision": "10m"}
    settings = replace(SETTINGS, node_pools=(validate(NodePool, {**pool, "nodeSelector": {"pool": "burst"}}),))
    there, asks = (worker(f"w{i}", first=i, end=i + 1).assignment for i in range(2))
    start = StartWorkers(
        assignments=(
            there,
            replace(asks, pool="burst", provision=Provision(expected_us=600_000_000, late_us=600_000_000)),
        ),
        revision=1,
        images=20,
        part_size=10,
        fingerprint="f",
        reason="Started",
    )
    seen = job(infj(worker={"nodeSelector": {"zone": "a"}}))
    assert isinstance(seen.manifest, InferenceJob)
    devices = ClusterDevices(settings=settings, now_us=NOW, nodes={})
    creates = [write for write in render((start,), seen, seen.manifest, devices) if isinstance(write, Create)]
    assert len({create.job["metadata"]["name"] for create in creates}) == 2
    selectors = [create.job["spec"]["template"]["spec"]["nodeSelector"] for create in creates]
    assert selectors == [{"zone": "a"}, {"zone": "a", "pool": "burst"}]

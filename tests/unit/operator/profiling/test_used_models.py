"""Whose models are measured on a schedule: jobs under way, then complete ones, and no namespace all night long."""

import json
from typing import Any

import pytest

from dueby_api.units import format_time
from dueby_operator.control.decide import decide
from dueby_operator.jobs import names
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.writes import Add
from dueby_operator.profiling.upkeep import MAX_SUBJECTS, ProfilingSnapshot
from support.decisions import MADE, NOW, SECOND, SETTINGS, cluster, infj, job
from support.node_profiles import PROFILER
from support.profiling import gpu_node, nodes


def used(number: int, *, namespace: str = "team", ended: str = "", age_s: int = 0, **spec: Any) -> JobSnapshot:
    """Return a job with a model of its own, that many seconds old, under way or `ended` so."""
    metadata = {"name": f"job-{number}", "namespace": namespace, "uid": f"{namespace}-{number}"}
    metadata["creationTimestamp"] = format_time(NOW - age_s * SECOND)
    said = {"type": ended, "status": "True", "reason": ended, "message": "", "lastTransitionTime": MADE}
    status = {"conditions": [said]} if ended else None
    model = {"name": "efficientnet_lite0", "imageSize": 100 + number}
    return job(infj(metadata=metadata, status=status, **{"model": model, **spec}))


def measured_sizes(*jobs: JobSnapshot) -> set[int]:
    """Return the image sizes less 100 that the CronJob of the only node is to measure for these jobs."""
    profiler = PROFILER.replace(models=())
    profiling = ProfilingSnapshot(settings=SETTINGS, profiler=profiler)
    seen = cluster(*jobs, nodes=nodes(gpu_node()), profiles=(), profiling=profiling, keeps_profiles=True)
    crons = [write.document for write in decide(seen).upkeep if isinstance(write, Add)]
    pods = [cron["spec"]["jobTemplate"]["spec"]["template"] for cron in crons]
    configs = [json.loads(pod["metadata"]["annotations"][names.CONFIG]) for pod in pods]
    return {worker["model"]["imageSize"] - 100 for config in configs for worker in config["workers"]}


@pytest.mark.parametrize(
    ("jobs", "numbers"),
    [
        pytest.param([used(1), used(2)], {1, 2}, id="jobs that are under way"),
        pytest.param([used(1, ended="Complete")], {1}, id="a job that is complete, as one of each day is at night"),
        pytest.param([used(1, ended="Failed")], set(), id="no job that failed"),
        pytest.param([used(1, deadline="never")], set(), id="no job that makes no sense"),
        pytest.param([used(n, age_s=n) for n in range(20)], set(range(12, 20)), id="of many, the oldest"),
        pytest.param(
            [used(n, age_s=n, ended="Complete") for n in range(20)],
            set(range(8)),
            id="of many complete ones, the latest",
        ),
        pytest.param(
            [*(used(n, age_s=100, ended="Complete") for n in range(10)), *(used(n) for n in range(20, 28))],
            set(range(20, 28)),
            id="those that are under way before those that are complete",
        ),
    ],
)
def test_what_jobs_use_is_measured_and_so_much_for_each_namespace(jobs: list[JobSnapshot], numbers: set[int]) -> None:
    assert measured_sizes(*jobs) == numbers


def test_one_namespace_with_hundreds_of_models_takes_nothing_from_another() -> None:
    flood = [used(number, namespace="flood", age_s=100) for number in range(300)]
    found = measured_sizes(*flood, used(1000))
    assert 1000 in found
    assert len(found) == MAX_SUBJECTS + 1

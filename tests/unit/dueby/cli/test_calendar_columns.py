"""`dueby calendar` says what the columns of `kubectl get infj` say, of jobs as the operator leaves them."""

import asyncio
import json
from typing import Any

import pytest

from dueby.cluster.job_list import read_jobs
from dueby_api.units import format_duration, format_time
from dueby_operator import paths
from dueby_operator.resources.crds import JOB_COLUMNS
from dueby_pages.calendar import ShownCalendar, ShownJob
from dueby_pages.cluster_calendar import shown_cluster
from support.control_loop import Clock, Store, reconciler, synthetic
from support.decisions import SECOND

Document = dict[str, Any]
PATHS = {title: path for title, _, path, _ in JOB_COLUMNS}
# A pass of the cluster of eight cores takes so long that no time is a whole second.
PASS_US = 10 * SECOND + 123_456
FIRST: dict[str, Document] = {
    "late": {"images": 100_000, "deadline": "60s", "gpus": {"max": 1}},
    "busy": {"images": 100_000, "deadline": "120s", "deadlineClass": "Hard"},
    "small": {"images": 10_000, "deadline": "120s", "gpus": {"max": 1}},
    "refused": {"images": 20_000_000, "deadline": "100s", "deadlineClass": "Hard"},
}
LATER: dict[str, Document] = {
    "reserved": {"images": 64_000, "deadline": "400s", "deadlineClass": "Hard"},
    "soft": {"images": 64_000, "deadline": "100s"},
    "waiting": {"images": 64_000, "deadline": "100s", "deadlineClass": "BestEffort"},
    "suspended": {"images": 64_000, "deadline": "100s", "suspend": True},
}


def column(job: Document, title: str) -> Any:
    """What kubectl shows of the job; None if there is nothing."""
    found: Any = job
    for name in PATHS[title].removeprefix(".").split("."):
        found = (found or {}).get(name)
    return found


def add(store: Store, jobs: dict[str, Document]) -> None:
    for name, spec in jobs.items():
        document = synthetic(name)
        document["spec"] |= spec
        store.add(paths.jobs_path("team", name), document)


def start_pods(store: Store) -> None:
    """Those of the Jobs, on the node, with what they ask for."""
    store.start_pods()
    for path, found in store.objects.items():
        if "/pods/" in path:
            found["spec"]["containers"] = [{"name": "dueby", "resources": {"requests": {"cpu": "1"}}}]


@pytest.fixture(scope="module")
def jobs_and_time() -> tuple[list[Document], int]:
    """Jobs in all states, and when it is."""
    store, clock = Store(), Clock()

    async def run() -> None:
        for number in range(4):
            batches = 30 * max(0, number - 1)
            said = {"batches": batches, "imagesDone": 16 * batches, "secondsSinceBatch": 0.0, "stepMicros": 100_000}
            add(store, {0: FIRST, 2: LATER}.get(number, {}))
            async with reconciler(store, clock, said if batches else {}) as loop:
                for _ in range(2):
                    await loop.reconcile()
                    clock.now_us += PASS_US
            start_pods(store)

    asyncio.run(run())
    jobs = [{"kind": "InferenceJob", **job} for path, job in store.objects.items() if "/inferencejobs/" in path]
    return jobs, clock.now_us - PASS_US


@pytest.fixture(scope="module")
def shown(jobs_and_time: tuple[list[Document], int]) -> ShownCalendar:
    jobs, now_us = jobs_and_time
    found = read_jobs(json.dumps({"items": jobs}), origin="kubectl", namespace="team")
    return shown_cluster(found, now_us=now_us, with_namespaces=False)


def moment(shown: ShownCalendar, seconds: float | None) -> str | None:
    return None if seconds is None else format_time(shown.now_us + round(seconds * SECOND))


def test_calendar_and_columns_agree(jobs_and_time: tuple[list[Document], int], shown: ShownCalendar) -> None:
    jobs, _ = jobs_and_time
    assert {column(job, "Phase") for job in jobs} == {"Running", "Scheduled", "Queued", "Failed"}
    by_name: dict[str, ShownJob] = {job.name: job for job in shown.jobs}
    for job in jobs:
        name = job["metadata"]["name"]
        if column(job, "Phase") == "Failed":
            assert shown.notes[-1] == "1 job is over: 1 Failed."
            continue
        there = by_name.pop(name)
        assert there.state == column(job, "Phase")
        assert moment(shown, there.expected_s) == column(job, "Ends")
        assert moment(shown, there.deadline_s) == column(job, "Deadline")
        if (gpus := column(job, "GPUs")) is not None:
            assert there.gpus == gpus
        if there.state in ("Running", "Scheduled"):
            assert there.slack_s is not None
            assert format_duration(round(there.slack_s * SECOND)) == column(job, "Slack")
    assert not by_name

"""Jobs that read of one store share what it serves, whatever their namespaces are.

A core classifies 160 photos a second, each of which costs a request of S3: a store of 320 requests a second feeds two.
"""

import json
from typing import Any

import pytest

from dueby_api.store_limits import StoreLimits
from dueby_operator.settings import read_stores
from support.shared_cluster import SharedCluster

TWO_CORES = 320
CORES = 6
HARD: dict[str, Any] = {"images": 160 * 2 * 50, "deadline_s": 70}
"""A job that takes both for 50 s, and is in time only so."""


def photos(store: str, **spec: Any) -> dict[str, Any]:
    return {"source": {"uri": f"{store}/in/*.jpg"}, **spec}


def cluster(requests: int | None = TWO_CORES, *, prefix: str = "s3://photos/") -> SharedCluster:
    return SharedCluster({"n": CORES}, stores=(StoreLimits(prefix=prefix, requests_per_second=requests),))


def workers(shared: SharedCluster, name: str) -> int:
    return len(shared.jobs[name].alive)


@pytest.mark.parametrize("deadline_class", ["Hard", "Soft", "Relaxed", "BestEffort"])
def test_a_job_waits_for_its_store_although_devices_are_idle(deadline_class: str) -> None:
    shared = cluster()
    shared.add("promised", **HARD, **photos("s3://photos"))
    shared.run(2)
    assert workers(shared, "promised") == 2
    shared.add("second", images=160 * 20, deadline_s=600, deadline_class=deadline_class, **photos("s3://photos"))
    shared.run(3)
    assert workers(shared, "second") == 0
    assert "320 requests/s of s3://photos/" in shared.said("second", "Feasible")[1]
    shared.run(300, until=lambda: all(running.is_done for running in shared.jobs.values()))
    assert shared.ended_s("promised") <= 70
    assert shared.ended_s("second") <= 150


@pytest.mark.parametrize(
    ("stores", "source"),
    [
        pytest.param(cluster(None), "s3://photos", id="no limit"),
        pytest.param(cluster(TWO_CORES * 3), "s3://photos", id="enough for all cores"),
        pytest.param(cluster(), "s3://others", id="another store"),
        pytest.param(cluster(prefix="s3://photos/archive/"), "s3://photos", id="a limit on another prefix"),
    ],
)
def test_both_run_at_once_where_no_store_is_short(stores: SharedCluster, source: str) -> None:
    stores.add("promised", **HARD, **photos("s3://photos"))
    stores.run(2)
    stores.add("second", images=160 * 20, deadline_s=600, **photos(source))
    stores.run(2)
    assert workers(stores, "promised") == 2
    assert workers(stores, "second") >= 1


def test_what_a_job_leaves_of_a_store_is_another_ones() -> None:
    shared = cluster(TWO_CORES + 160)
    shared.add("promised", **HARD, **photos("s3://photos"))
    shared.add("greedy", images=160 * 100, deadline_s=600, deadline_class="BestEffort", **photos("s3://photos"))
    shared.run(3)
    assert (workers(shared, "promised"), workers(shared, "greedy")) == (2, 1)


def test_an_entry_of_the_chart_binds_jobs_of_two_namespaces() -> None:
    option = {"stores": [{"prefix": "s3://photos/", "requestsPerSecond": TWO_CORES}]}
    shared = SharedCluster({"n": CORES}, stores=read_stores(json.dumps(option)))
    for number, namespace in enumerate(("one", "other")):
        shared.add(f"job-{number}", **HARD, namespace=namespace, **photos("s3://photos"))
    shared.run(3)
    assert sorted(workers(shared, name) for name in shared.jobs) == [0, 2]


def test_workers_give_way_for_what_they_take_of_a_store() -> None:
    shared = cluster()
    shared.add("any", images=160 * 2 * 400, deadline_s=430, deadline_class="BestEffort", **photos("s3://photos"))
    shared.run(40)
    assert workers(shared, "any") == 2
    shared.add("promised", images=160 * 2 * 50, deadline_s=90, **photos("s3://photos"))
    shared.run(200, until=lambda: shared.jobs["promised"].is_done)
    assert shared.ended_s("promised") <= 40 + 90


def test_one_device_that_takes_more_than_the_store_gives_starts_all_the_same() -> None:
    shared = cluster(40)
    for name in ("first", "second"):
        shared.add(name, images=40 * 60, deadline_s=900, deadline_class="Soft", **photos("s3://photos"))
    shared.run(3)
    assert sorted(workers(shared, name) for name in shared.jobs) == [0, 1]


def test_a_job_that_will_be_late_gets_no_device_that_its_store_does_not_feed() -> None:
    shared = SharedCluster({"n": 3}, stores=(StoreLimits(prefix="s3://photos/", requests_per_second=TWO_CORES),))
    shared.add("job", **HARD, **photos("s3://photos"))
    shared.run(5)
    shared.edit("job", deadline="40s")
    shared.run(15)
    assert workers(shared, "job") == 2

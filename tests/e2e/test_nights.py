"""Four nights of a bucket that grows, by the CronJob of the documentation, with kills: each photo has one row.

Workers, an index step and the operator are killed. Photos are put by way of S3, so that their ETags say which of them
have changed.
"""

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dueby
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from support.kind.cluster import Cluster
from support.kind.cluster_job import SLOW, wait_until_told, workers_of
from support.kind.cron_nights import CronNights
from support.kind.model import MODEL, profile_document
from support.kind.s3_in_cluster import s3_credentials, s3_from_here, start_s3
from support.run import SMALL_PARTS_US

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
SIDE, FIRST = 208, 400
# As the manifest has them.
PHOTOS, ROWS = "s3://bucket/photos/", "s3://bucket/rows/"


@pytest.fixture
def photos(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The photos in a bucket of the cluster, reached from here; a profile by which a part has eight."""
    (cluster.shared / "s3" / "bucket").mkdir(parents=True)
    cluster.apply(s3_credentials(cluster.namespace))
    start_s3(cluster, nodes=cluster.nodes, nodeSelector=cluster.node_selector)
    profile = profile_document(latency_us=SMALL_PARTS_US)
    profile["metadata"]["name"], profile["spec"]["model"]["imageSize"] = "nights", SIDE
    cluster.apply(profile)
    with s3_from_here(cluster) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield open_store(PHOTOS)
    cluster.kubectl("delete", "pod/s3", "service/s3", "secret/s3-credentials", "gprof/nights", "--wait=false")


def name_of(number: int) -> str:
    return f"{number:05}.jpg"


def put(photos: Store, *numbers: int, content: int | None = None) -> None:
    """Put photos, each with content of its own or that of another number."""

    def put_one(number: int) -> None:
        noise, picture = np.random.default_rng(number if content is None else content), io.BytesIO()
        Image.fromarray(noise.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(picture, "JPEG")
        photos.replace(name_of(number), picture.getvalue())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put_one, numbers))


def kill(cluster: Cluster, job: str, step: str, *phases: str) -> set[str]:
    """Kill the pod of this step once it is in one of the phases, and return which it was. Its Job starts another."""
    selector = f"dueby.dev/job={job},dueby.dev/step={step}"

    def there() -> set[str]:
        pods = cluster.items("pods", selector)
        return {pod["metadata"]["uid"] for pod in pods if pod["status"]["phase"] in phases}

    killed: set[str] = cluster.wait(there, f"{job}: {step} is {' or '.join(phases)}")
    cluster.kubectl("delete", "pod", "-l", selector, "--force", "--grace-period=0")
    return killed


@dataclass(kw_only=True)
class Week:
    """The nights, and how many images the job of each of them has counted."""

    cluster: Cluster
    photos: Store
    cron: CronNights
    rows: Store = field(default_factory=lambda: open_store(ROWS))
    counts: list[int] = field(default_factory=list)

    @property
    def worker(self) -> dict[str, Any]:
        """What the jobs say of their workers."""
        return {"nodeSelector": self.cluster.node_selector, "envFrom": [{"secretRef": {"name": "s3-credentials"}}]}

    def end(self, job: str) -> dict[str, Any]:
        """Return the InferenceJob once it has succeeded."""
        document = self.cluster.wait_for_phase(job, "Succeeded", "Failed")
        assert document["status"]["phase"] == "Succeeded", document["status"]
        self.counts.append(document["status"]["images"])
        return document


def a_worker_is_killed_once_a_part_is_there(week: Week) -> None:
    week.cron.change_job(worker={**week.worker, "resources": SLOW})
    put(week.photos, *range(FIRST))
    job = week.cron.start(1)
    # Its pod comes once more, and makes no second job.
    before = week.cluster.get("infj", job)["metadata"]
    week.cron.start(1, attempt=2)
    week.cluster.wait(lambda: any(name.startswith("part-") for name in week.rows.list_names()), "a part is there")
    killed = kill(week.cluster, job, "work", "Running")
    after = week.end(job)["metadata"]
    assert (after["uid"], after["generation"]) == (before["uid"], 1)
    assert workers_of(week.cluster, job) - killed
    week.cron.change_job(worker=week.worker)


def two_nights_come_together_and_worker_and_operator_are_killed(week: Week) -> None:
    """From now on, what has changed is asked for: a photo that was put again is the same."""
    sink = {"uri": ROWS, "ifExists": "Append", "changed": True}
    week.cron.change_job(sink=sink, worker={**week.worker, "resources": SLOW})
    put(week.photos, *range(FIRST, FIRST + 6))
    put(week.photos, 3, content=21)
    put(week.photos, 30, content=22)
    put(week.photos, 5)
    job = week.cron.start(2)
    killed = kill(week.cluster, job, "work", "Running")
    assert not week.rows.exists("_SUCCESS")
    put(week.photos, FIRST + 6, FIRST + 7)
    week.cron.change_job(worker=week.worker)
    other = week.cron.start(3)
    wait_until_told(week.cluster, other, "Admitted", reason="SinkInUse")
    week.cluster.kill_operator()
    killed |= kill(week.cluster, job, "work", "Running")
    week.end(job)
    week.end(other)
    assert len(killed) == 2
    assert workers_of(week.cluster, job) - killed


def a_photo_is_gone_and_the_index_step_is_killed(week: Week) -> None:
    week.photos.delete(name_of(7))
    put(week.photos, *range(FIRST + 8, FIRST + 12))
    job = week.cron.start(4)
    # It may be done half a second after it runs.
    kill(week.cluster, job, "index", "Pending", "Running")
    week.end(job)


def test_each_photo_has_one_row_after_four_nights_with_kills(cluster: Cluster, photos: Store) -> None:
    cron = CronNights(cluster, model={**MODEL, "imageSize": SIDE})
    week = Week(cluster=cluster, photos=photos, cron=cron)
    a_worker_is_killed_once_a_part_is_there(week)
    two_nights_come_together_and_worker_and_operator_are_killed(week)
    a_photo_is_gone_and_the_index_step_is_killed(week)

    assert week.counts == [FIRST, 8, 2, 4]
    success = json.loads(week.rows.read("_SUCCESS"))
    generations = [*success["earlier"], success]
    assert [entry["generation"] for entry in generations] == [1, 2, 3, 4]
    assert [entry["rows"] for entry in generations] == week.counts
    assert [entry["replaced"] for entry in generations] == [0, 2, 0, 0]
    results = dueby.read(ROWS)
    table = {row["uri"].rpartition("/")[2]: row for row in results.rows.to_pylist()}
    assert (results.is_complete, len(results.errors), len(results)) == (True, 0, FIRST + 12)
    # By the first photo of each generation; those that have changed are in a later one.
    firsts = [0, *(FIRST + more for more in (0, 6, 8, 12))]
    expected = {
        name_of(number): generation
        for generation, (first, after) in enumerate(pairwise(firsts), 1)
        for number in range(first, after)
    }
    assert {name: row["generation"] for name, row in table.items()} == expected | {name_of(3): 2, name_of(30): 2}
    # The row that a changed photo has is that of its new content.
    for number, content in ((3, 21), (30, 22)):
        changed, same = table[name_of(number)], table[name_of(content)]
        assert changed["classes"] == same["classes"]
        assert changed["scores"] == pytest.approx(same["scores"], abs=1e-4)

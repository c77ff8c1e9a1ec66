"""Seven nights of a bucket that grows, by the CronJob of the documentation, with kills: each photo has one row.

Workers and the operator are killed, whom all others' jobs would miss. Photos are put by way of S3, so that their ETags
say which of them have changed.
"""

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dueby
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from support.cluster import Cluster
from support.cluster_job import condition, wait_until_told, workers_of
from support.cron_nights import CronNights
from support.run import MODEL, SMALL_PARTS_US, profile_document
from support.s3_in_cluster import s3_credentials, s3_from_here, start_s3

pytestmark = [pytest.mark.cluster, pytest.mark.s3, pytest.mark.timeout(900, func_only=True)]
SIDE, FIRST = 208, 120
# Of a core. With all of it, workers are done with a few photos before they are killed.
SLOW = {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "250m"}}
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


def kill(cluster: Cluster, job: str, step: str) -> set[str]:
    """Kill the pod of this step once it runs, and return which it was. Its Job starts another."""
    selector = f"dueby.dev/job={job},dueby.dev/step={step}"

    def running() -> set[str]:
        pods = cluster.items("pods", selector)
        return {pod["metadata"]["uid"] for pod in pods if pod["status"]["phase"] == "Running"}

    killed: set[str] = cluster.wait(running, f"{job}: {step} runs")
    cluster.kubectl("delete", "pod", "-l", selector, "--force", "--grace-period=0")
    return killed


def end(cluster: Cluster, job: str) -> dict[str, Any]:
    """Return the InferenceJob once it has succeeded."""
    document = cluster.wait_for_phase(job, "Succeeded", "Failed")
    assert document["status"]["phase"] == "Succeeded", document["status"]
    return document


def test_each_photo_has_one_row_after_seven_nights_with_kills(cluster: Cluster, photos: Store) -> None:
    rows = open_store(ROWS)
    worker = {"nodeSelector": cluster.node_selector, "envFrom": [{"secretRef": {"name": "s3-credentials"}}]}
    nights = CronNights(cluster, model={**MODEL, "imageSize": SIDE}, worker={**worker, "resources": SLOW})
    # Of the first one, which has fifteen parts, the worker is killed once a part is there.
    put(photos, *range(FIRST))
    job = nights.start(1)
    cluster.wait(lambda: any(name.startswith("part-") for name in rows.list_names()), "a part is there")
    killed = kill(cluster, job, "work")
    counts = [end(cluster, job)["status"]["images"]]
    assert workers_of(cluster, job) - killed

    # What has changed isn't asked for yet. The operator is killed once the step is there that lists the bucket.
    put(photos, *range(FIRST, FIRST + 5))
    put(photos, 3, content=20)
    job = nights.start(2)
    cluster.wait(partial(cluster.items, "jobs", f"dueby.dev/job={job},dueby.dev/step=index"), "the index step")
    cluster.kill_operator()
    counts.append(end(cluster, job)["status"]["images"])

    # It is from now on. A pod of the CronJob that comes twice makes no second job.
    nights.change_job(sink={"uri": ROWS, "ifExists": "Append", "changed": True}, worker=worker)
    put(photos, *range(FIRST + 5, FIRST + 8))
    job = nights.start(3)
    uid = cluster.get("infj", job)["metadata"]["uid"]
    nights.start(3, attempt=2)
    document = end(cluster, job)
    assert (document["metadata"]["uid"], document["metadata"]["generation"]) == (uid, 1)
    counts.append(document["status"]["images"])

    # Nothing is new: a photo that was put again is the same.
    put(photos, 5)
    job = nights.start(4)
    assert "Nothing is new or changed" in condition(end(cluster, job), "Indexed")["message"]
    assert not workers_of(cluster, job)

    # A second one comes while a long one lasts, and waits for it. Both worker and operator are killed.
    nights.change_job(worker={**worker, "resources": SLOW})
    put(photos, *range(FIRST + 8, FIRST + 14))
    put(photos, 3, content=21)
    put(photos, 30, content=22)
    job = nights.start(5)
    killed = kill(cluster, job, "work")
    assert not rows.exists("_SUCCESS")
    put(photos, FIRST + 14, FIRST + 15)
    nights.change_job(worker=worker)
    other = nights.start(6)
    wait_until_told(cluster, other, "Admitted", reason="SinkInUse")
    cluster.kill_operator()
    killed |= kill(cluster, job, "work")
    counts += [end(cluster, name)["status"]["images"] for name in (job, other)]
    assert len(killed) == 2
    assert workers_of(cluster, job) - killed

    # A photo that is gone keeps its row.
    photos.delete(name_of(7))
    put(photos, *range(FIRST + 16, FIRST + 20))
    job = nights.start(7)
    kill(cluster, job, "index")
    counts.append(end(cluster, job)["status"]["images"])

    assert counts == [FIRST, 5, 4, 8, 2, 4]
    success = json.loads(rows.read("_SUCCESS"))
    generations = [*success["earlier"], success]
    assert [entry["generation"] for entry in generations] == [1, 2, 3, 4, 5, 6]
    assert [entry["rows"] for entry in generations] == counts
    assert [entry["replaced"] for entry in generations] == [0, 0, 1, 2, 0, 0]
    results = dueby.read(ROWS)
    table = {row["uri"].rpartition("/")[2]: row for row in results.rows.to_pylist()}
    assert (results.is_complete, len(results.errors), len(results)) == (True, 0, FIRST + 20)
    # By the first photo of each generation; those that have changed are in a later one.
    firsts = [0, *(FIRST + more for more in (0, 5, 8, 14, 16, 20))]
    expected = {
        name_of(number): generation
        for generation, (first, after) in enumerate(pairwise(firsts), 1)
        for number in range(first, after)
    }
    assert {name: row["generation"] for name, row in table.items()} == expected | {name_of(3): 4, name_of(30): 4}
    # The row that a changed photo has is that of its new content.
    for number, content in ((3, 21), (30, 22)):
        changed, same = table[name_of(number)], table[name_of(content)]
        assert changed["classes"] == same["classes"]
        assert changed["scores"] == pytest.approx(same["scores"], abs=1e-4)

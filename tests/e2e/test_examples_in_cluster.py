"""Every manifest of examples/cluster is applied and does what its first lines say: on claims, on S3, in a queue.

As they are, but for the model, since its weights can't be fetched here; and for what says how large a worker is.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from support.kind.cluster import Cluster
from support.kind.cluster_job import indices_of, parts_in, wait_until_told
from support.kind.example_jobs import EXAMPLES, PHOTOS, claimed, example, example_documents, for_tests, run_example
from support.run import write_photos

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]


@pytest.fixture(scope="module")
def photos(cluster: Cluster) -> Iterator[Path]:
    """The claim `photos`, with some in it."""
    with claimed(cluster, "photos") as folder:
        write_photos(folder / "photos", PHOTOS)
        yield folder


@pytest.fixture(scope="module")
def rows(cluster: Cluster) -> Iterator[Path]:
    """The claim `rows`, empty."""
    with claimed(cluster, "rows") as folder:
        yield folder


def test_minimal(cluster: Cluster, photos: Path) -> None:
    run_example(cluster, example(cluster, "minimal"))
    assert indices_of(photos / "photos-classified") == list(range(PHOTOS))


@pytest.mark.deep
def test_synthetic(cluster: Cluster, rows: Path) -> None:
    status = run_example(cluster, example(cluster, "synthetic"))
    assert status["progress"]["imagesDone"] == example(cluster, "synthetic")["spec"]["images"]
    assert indices_of(rows) == list(range(20_000))


def test_pvc(cluster: Cluster, photos: Path, rows: Path) -> None:
    listed = ["uri", *(f"/photos/photos/{number:05d}.jpg" for number in range(0, PHOTOS, 2))]
    (photos / "list.csv").write_text("\n".join(listed) + "\n")
    run_example(cluster, example(cluster, "pvc"))
    parts = [str(part) for part in parts_in(rows / "listed")]
    found = ds.dataset(parts).to_table(columns=["uri", "error"]).to_pylist()
    assert sorted(row["uri"] for row in found) == [f"file://{path}" for path in listed[1:]]
    assert not any(row["error"] for row in found)


@pytest.mark.deep
def test_deadline_classes(cluster: Cluster, rows: Path) -> None:
    jobs = [for_tests(cluster, document) for document in example_documents("deadline-classes")]
    cluster.apply(*jobs)
    for job in jobs:
        status = cluster.wait_for_phase(job["metadata"]["name"], "Succeeded", "Failed")["status"]
        assert status["phase"] == "Succeeded", status
        assert indices_of(rows / job["metadata"]["name"]) == list(range(job["spec"]["images"]))
    cluster.kubectl("delete", "infj", *(job["metadata"]["name"] for job in jobs))


@pytest.mark.usefixtures("photos")
def test_a_queue_that_is_not_there_is_said(cluster: Cluster) -> None:
    document = example(cluster, "kueue")
    document["metadata"]["name"] = "no-queue"
    cluster.apply(document)
    wait_until_told(cluster, "no-queue", "Admitted", "There is no LocalQueue night", reason="QueueNotFound")
    cluster.kubectl("delete", "infj", "no-queue")


def test_each_is_taken_as_it_is(cluster: Cluster) -> None:
    cluster.kubectl("apply", "--dry-run=server", "-f", str(EXAMPLES))


def test_there_is_a_test_for_each() -> None:
    tested = {"minimal", "synthetic", "pvc", "s3", "mixed-gpus", "kueue", "cpu", "deadline-classes"}
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == tested

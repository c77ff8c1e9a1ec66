"""The worker's steps as real processes: index, work, finish, what they serve, how they end."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dueby_api.errors import Invalid, Transient
from dueby_worker.storage.stores import open_store
from support.processes import MODEL, ProcessJob, make_photos, wait_for
from support.worker import rows_in

# A mini-batch of it takes about half a minute on one core.
SLOW_MODEL = {"name": "resnet152", "weights": "none", "imageSize": 224, "precision": "fp32", "engine": "eager"}
# It takes longer than AT_ONCE_S, which is much for a machine that does other things at the same time.
SLOW_MINI_BATCH = 256
AT_ONCE_S = 10.0
SYNTHETIC: dict[str, Any] = {"synthetic": {}}


@pytest.fixture
def new_job(tmp_path: Path) -> Iterator[Any]:
    """Make a job; its processes end with the test."""
    made: list[ProcessJob] = []

    def make(**changes: Any) -> ProcessJob:
        defaults = {
            "folder": tmp_path / f"job-{len(made)}",
            "source": SYNTHETIC,
            "sink": str(tmp_path / "sink"),
            "images": 100,
            "part_size": 16,
        }
        made.append(ProcessJob(**{**defaults, **changes}))
        return made[-1]

    yield make
    for job in made:
        job.stop_all()


def test_photos_become_rows_from_the_index_to_success(new_job: Any, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 50, damaged=(7,))
    padded = photos / "000009.jpg"
    padded.write_bytes(padded.read_bytes()[:-2] + bytes(12) + b"\xff\xd9")
    job = new_job(source={"uri": str(photos)}, images=50)

    indexed = job.index(images=None).result()
    assert indexed["images"] == 50
    assert indexed["inputCost"]["sampled"] + indexed["inputCost"]["unreadable"] == 50
    assert "partSize" not in indexed

    early = job.finish()
    assert early.wait() == 2
    assert "no worker has run into it yet" in early.last_words()["error"]

    worker = job.work(fingerprint=indexed["fingerprint"])
    summary = worker.result()
    assert summary == worker.last_words()
    assert {name: summary["progress"][name] for name in ("state", "imagesDone", "imagesFailed", "partsCommitted")} == {
        "state": "done",
        "imagesDone": 50,
        "imagesFailed": 1,
        "partsCommitted": 4,
    }
    assert summary["progress"]["parity"]["ok"]
    assert 0 < summary["progress"]["startupMicros"] < summary["seconds"] * 1e6
    parts = summary["progress"]["startParts"]
    assert (list(parts), sum(parts.values())) == (["import", "load", "images"], summary["progress"]["startupMicros"])
    assert min(parts["import"], parts["load"]) > 0

    finished = job.finish().result()
    assert abs(finished.pop("finishedUnixMicros") / 1e6 - time.time()) < 60
    assert finished == {
        "job": "catalog",
        "images": 50,
        "parts": 4,
        "rows": 50,
        "errors": 1,
        "warnings": 1,
        "fingerprint": indexed["fingerprint"],
        "partSize": 16,
        "mark": "",
        "generation": 1,
        "firstImage": 0,
        "replaced": 0,
        "uids": [],
    }
    rows = rows_in(open_store(job.sink))
    assert [uri for part in rows for uri in part.uris] == [f"file://{photos}/{n:06d}.jpg" for n in range(50)]
    assert [part.first + position for part in rows for position in part.errors] == [7]
    assert [part.first + position for part in rows for position in part.warnings] == [9]

    resumed = job.index_here(images=None)
    assert (resumed["partSize"], resumed["partsThere"]) == (16, "0-3")


def test_a_finished_job_is_seen_to_be_finished_without_loading_the_model(new_job: Any) -> None:
    job = new_job()
    fingerprint = job.index_here()["fingerprint"]
    job.work_here(fingerprint=fingerprint)
    again = job.work(fingerprint=fingerprint)
    assert again.result()["progress"]["batches"] == 0
    assert again.result()["peakMemoryMiB"] < 150  # torch alone takes more


def test_failed_rows_are_done_over_when_the_photos_are_there_again(new_job: Any, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 40, damaged=(3, 20))
    job = new_job(source={"uri": str(photos)}, images=40)
    fingerprint = job.index_here()["fingerprint"]
    job.work_here(fingerprint=fingerprint)
    assert job.finish_here()["errors"] == 2
    before = rows_in(open_store(job.sink))

    make_photos(photos, 40, damaged=(20,))
    progress = job.work_here(fingerprint=fingerprint, retryFailed=True)["progress"]
    assert (progress["batches"], progress["imagesDone"], progress["imagesFailed"]) == (1, 2, 1)
    assert job.finish_here()["errors"] == 1
    after = rows_in(open_store(job.sink))
    assert [part.first + position for part in after for position in part.errors] == [20]
    np.testing.assert_array_equal(before[2].columns["classes"], after[2].columns["classes"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            {"model": {**MODEL, "name": "mobilenet_v3_small", "weights": "none"}}, "its model was", id="model"
        ),
        pytest.param({"model": {**MODEL, "weights": "none"}}, "its weights were others", id="weights"),
        pytest.param({"model": {**MODEL, "imageSize": 96}}, "its image size was 64 (now 96)", id="image size"),
        pytest.param({"images": 31}, "are for 31 of them and for 1 other", id="images"),
    ],
)
def test_another_job_on_the_same_sink_is_refused(
    new_job: Any, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    photos = {"uri": str(make_photos(tmp_path / "photos", 32))}
    job = new_job(images=32, source=photos)
    job.work_here(fingerprint=job.index_here()["fingerprint"])
    with pytest.raises(Invalid) as refused:
        new_job(**{"images": 32, "source": photos, **change}).index_here()
    assert refused.value.field == "spec.sink.uri"
    assert words in refused.value.message


def test_a_worker_with_other_weights_than_were_indexed_refuses_to_run(new_job: Any) -> None:
    job = new_job(images=32)
    job.index_here()
    with pytest.raises(Invalid, match="have changed since the job was indexed"):
        job.work_here(fingerprint="0" * 64)


def test_a_worker_without_an_index_says_what_to_do(new_job: Any, tmp_path: Path) -> None:
    photos = {"uri": str(make_photos(tmp_path / "photos", 32))}
    with pytest.raises(Invalid, match="has no index: it was emptied while the job ran; delete what is left of it"):
        new_job(images=32, source=photos).work_here()


def test_synthetic_images_need_no_index_step(new_job: Any, tmp_path: Path) -> None:
    job = new_job(images=32)
    job.work_here()
    assert job.finish_here()["rows"] == 32
    assert not (tmp_path / "sink" / "_dueby" / "index").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"images": 31}, "its images were others", id="N"),
        pytest.param({"source": {"synthetic": {"width": 80}}}, "its images were others", id="their size"),
        pytest.param({"model": {**MODEL, "weights": "none"}}, "its weights were others", id="weights"),
        pytest.param({"part_size": 8}, "was begun in parts of 16 images, not of 8", id="the grid"),
    ],
)
def test_a_worker_that_was_told_no_fingerprint_takes_no_other_job_s_rows_for_its_own(
    new_job: Any, change: dict[str, Any], words: str
) -> None:
    new_job(images=32).work_here()
    with pytest.raises(Invalid) as refused:
        new_job(**{"images": 32, **change}).work_here()
    assert words in refused.value.message


def test_a_sink_in_use_is_refused_with_fail_and_emptied_with_overwrite(new_job: Any) -> None:
    job = new_job(images=32, if_exists="Fail")
    job.work_here(fingerprint=job.index_here()["fingerprint"])
    with pytest.raises(Invalid, match=r"sink\.ifExists is Fail"):
        job.index_here()

    other = new_job(images=48, if_exists="Overwrite")
    other.work_here(fingerprint=other.index_here()["fingerprint"])
    assert other.finish_here()["rows"] == 48


def test_an_index_in_a_sink_without_a_manifest_binds_nobody(new_job: Any) -> None:
    assert new_job(images=32).index_here()["images"] == 32
    assert new_job(images=48).index_here()["images"] == 48


def test_finish_names_what_is_missing_and_what_is_another_job_s(new_job: Any, tmp_path: Path) -> None:
    job = new_job(images=48)
    job.work_here(fingerprint=job.index_here()["fingerprint"])
    sink = tmp_path / "sink"
    part = sink / "part-000000000016-000000000031.parquet"
    aside = part.rename(tmp_path / "aside")
    with pytest.raises(Transient, match="still lacks 1 of 3 parts"):
        job.finish_here()
    part.write_bytes((sink / "part-000000000032-000000000047.parquet").read_bytes())
    with pytest.raises(Invalid, match="covers the images 32 to 47, not 16 to 31"):
        job.finish_here()
    other = new_job(images=48, sink=str(tmp_path / "other"), model={**MODEL, "weights": "none"})
    other.work_here(fingerprint=other.index_here()["fingerprint"])
    part.write_bytes((tmp_path / "other" / part.name).read_bytes())
    with pytest.raises(Invalid, match="was made by another job"):
        job.finish_here()
    aside.rename(part)
    (sink / "part-000000000000-000000000099.parquet").write_bytes(b"")
    with pytest.raises(Invalid, match="are not parts of this job"):
        job.finish_here()


def test_a_worker_s_pages_from_its_start_to_its_end(new_job: Any) -> None:
    job = new_job(images=20_000, part_size=1000, mini_batch_size=16)
    worker = job.work(fingerprint=job.index_here()["fingerprint"])
    wait_for(lambda: worker.ask("/healthz"), "a server")
    if worker.progress()["state"] == "starting":
        assert worker.ask("/readyz") == (503, "starting")
    assert worker.ask("/healthz") == (200, "ok")
    worker.wait_for_state("running")
    assert worker.ask("/readyz") == (200, "ok")
    seen = wait_for(lambda: (found := worker.progress())["stepMicros"] and found, "steady steps")
    assert seen["share"] == [0, 20]
    assert seen["warmupMicros"] > 0
    assert 0 <= seen["secondsSinceBatch"] < 60
    assert "dueby_worker_images_total" in worker.ask("/metrics")[1]
    assert worker.is_running


def test_a_worker_that_has_run_its_last_mini_batch_ends_well_as_spent(new_job: Any) -> None:
    job = new_job(images=96, part_size=8, workers=2)
    fingerprint = job.index_here()["fingerprint"]

    spent = job.work(0, fingerprint=fingerprint, maxIterations=8).result()["progress"]
    assert (spent["state"], spent["batches"], spent["partsCommitted"]) == ("spent", 9, 9)
    with pytest.raises(Transient, match="still lacks 3 of 12 parts"):
        job.finish_here()

    rest = job.work_here(1, fingerprint=fingerprint, maxIterations=8)["progress"]
    assert (rest["state"], rest["batches"], rest["partsCommitted"]) == ("done", 3, 3)
    assert job.finish_here()["rows"] == 96


def test_sigterm_ends_it_at_once_in_the_middle_of_a_long_mini_batch(new_job: Any) -> None:
    job = new_job(model=SLOW_MODEL, images=640, mini_batch_size=SLOW_MINI_BATCH)
    job.index_here()
    worker = job.work()
    worker.wait_for_state("warming")
    began = time.monotonic()
    worker.process.terminate()
    assert worker.wait() == 143
    assert time.monotonic() - began < AT_ONCE_S
    assert rows_in(open_store(job.sink)) == []


@pytest.mark.parametrize(
    ("sent", "code"),
    [pytest.param(signal.SIGTERM, 143, id="SIGTERM"), pytest.param(signal.SIGINT, 130, id="Ctrl-C")],
)
def test_a_signal_ends_it_at_once_while_a_worker_starts(new_job: Any, sent: signal.Signals, code: int) -> None:
    worker = new_job().work()
    wait_for(lambda: worker.ask("/healthz"), "a server")
    began = time.monotonic()
    worker.process.send_signal(sent)
    assert worker.wait() == code
    assert time.monotonic() - began < AT_ONCE_S


def test_what_is_wrong_with_a_configuration_is_said_everywhere_it_is_looked_for(new_job: Any) -> None:
    worker = new_job().work(miniBatchSize=0)
    assert worker.wait() == 2
    assert "miniBatchSize: must be an integer of at least 1" in worker.log
    assert worker.last_words()["field"].endswith("config.json: miniBatchSize")
    assert json.loads((worker.folder / "stdout").read_text()) == worker.last_words()


def test_a_worker_does_not_wait_for_images_that_another_has_classified_meanwhile(new_job: Any, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 32)
    job = new_job(source={"uri": str(photos)}, images=32)
    fingerprint = job.index_here(images=None)["fingerprint"]
    shares = {"shares": [[0, 2], [2, 2]], "fingerprint": fingerprint}
    # A request in a quarter of an hour, and nothing to do but to help.
    job.workers = 2
    helper = job.work(1, share=[2, 2], rank=1, requestsPerSecond=0.001, **shares)
    helper.wait_for_state("tails")

    job.work_here(0, share=[0, 2], rank=0, **shares)

    progress = helper.result()["progress"]
    assert (progress["state"], progress["partsCommitted"]) == ("done", 0)

"""`dueby run` as a person uses it: from photos to rows, killed, interrupted, edited, and started again."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from support.run import SIDE, SMALL_PARTS_US, Job, kill, profile_document, wait_until, write_photos

PHOTOS = 240


class MakeJob(Protocol):
    def __call__(self, *, photos: int = ..., profile: dict[str, Any] | None = ..., **spec: Any) -> Job: ...


@pytest.fixture
def make_job(tmp_path: Path) -> Iterator[MakeJob]:
    made: list[Job] = []

    def make(*, photos: int = PHOTOS, profile: dict[str, Any] | None = None, **spec: Any) -> Job:
        write_photos(tmp_path / "photos", photos)
        job = Job(folder=tmp_path, spec=spec, profile=profile or profile_document())
        made.append(job)
        return job

    yield make
    for job in made:
        job.clean_up()


def has_parts(job: Job, count: int) -> bool:
    return len(job.parts()) >= count


def assert_each_image_once(job: Job, images: int) -> None:
    rows = job.rows()
    assert [row["index"] for row in rows] == list(range(images))
    assert len({row["uri"] for row in rows}) == images
    assert (job.sink / "_SUCCESS").exists()


def test_a_job_runs_to_its_rows_and_a_second_run_has_nothing_to_do(make_job: MakeJob) -> None:
    job = make_job(worker={"env": [{"name": "TOKEN", "value": "a-secret"}]})
    (job.folder / "photos" / "zz-damaged.jpg").write_bytes(b"not a photo")

    assert job.run() == 0, job.said()
    assert_each_image_once(job, PHOTOS + 1)
    failed = [row for row in job.rows() if row["error"]]
    assert [row["uri"].rpartition("/")[2] for row in failed] == ["zz-damaged.jpg"]
    plan, summary = job.record("plan.json"), job.record("summary.json")
    assert plan["revisions"][0]["plan"]["feasible"] is True
    assert not [path for path in job.sink.rglob("*") if path.is_file() and b"a-secret" in path.read_bytes()]
    assert plan["revisions"][0]["inputCost"]["decodeMicros"] > 0
    assert (summary["verdict"], summary["imagesDone"], summary["imagesFailed"]) == ("Succeeded", PHOTOS + 1, 1)
    progress = job.record("progress.json")
    assert progress["samples"][-1][1] == PHOTOS + 1
    assert sum(worker["samples"][-1][1] for worker in progress["workers"].values()) == PHOTOS + 1

    before = [path.stat().st_mtime_ns for path in job.parts()]
    assert job.run() == 0, job.said()
    assert "nothing to do" in job.said()
    assert [path.stat().st_mtime_ns for path in job.parts()] == before


def test_a_full_sink_needs_neither_time_nor_a_profile_and_another_models_rows_are_still_refused(
    make_job: MakeJob,
) -> None:
    job = make_job(photos=24)
    assert job.run() == 0, job.said()
    runs = sorted((job.sink / "_dueby" / "runs").iterdir())

    (job.folder / "profiles" / "cpu-1.yaml").unlink()
    job.spec.pop("deadline")
    job.write(deadlineTime="2020-01-01T00:00:00Z")
    assert job.run() == 0, job.said()
    assert "nothing to do. 24 rows" in job.said()
    assert sorted((job.sink / "_dueby" / "runs").iterdir()) == runs
    job.write(model=job.spec["model"] | {"imageSize": 96})
    assert job.run() == 2, job.said()
    assert f"its image size was {SIDE} (now 96)" in job.said()


@pytest.mark.parametrize(
    "source",
    [
        pytest.param({}, id="files"),
        pytest.param({"source": {"synthetic": {}}, "images": 2 * PHOTOS}, id="made", marks=pytest.mark.deep),
    ],
)
def test_with_another_deadline_the_job_goes_on_with_the_parts_of_its_sink(
    make_job: MakeJob, source: dict[str, Any]
) -> None:
    # Of 480 images, the part size is 8 by the long deadline, and less by the short one.
    job = make_job(photos=2 * PHOTOS, profile=profile_document(latency_us=SMALL_PARTS_US), **source)
    process = job.start()
    wait_until(lambda: has_parts(job, 3), "parts are there")
    process.kill()
    process.wait()
    wait_until(lambda: not job.worker_pids(), "the workers are gone with their parent")
    kept = {path: path.stat().st_mtime_ns for path in job.parts()}
    begun = job.part_size()
    job.write(deadline="40s", deadlineClass="Soft")
    assert job.run() in (0, 4), job.said()  # in time or late: this machine may be busy
    assert job.part_size() == begun
    assert job.record("plan.json")["revisions"][0]["plan"]["partSize"] == begun
    assert_each_image_once(job, 2 * PHOTOS)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, id="Ctrl-C"), pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.deep)],
)
def test_interrupted_it_says_how_far_it_was_and_can_be_resumed(make_job: MakeJob, number: signal.Signals) -> None:
    job = make_job(photos=2 * PHOTOS, profile=profile_document(latency_us=SMALL_PARTS_US))
    process = job.start()
    wait_until(job.parts, "a part is there")
    process.send_signal(number)

    assert process.wait(30) == 130, job.said()
    assert not job.worker_pids()
    assert job.record("summary.json")["verdict"] == "Interrupted"
    assert job.run() == 0, job.said()
    assert_each_image_once(job, 2 * PHOTOS)


def test_interrupted_with_a_sink_that_is_not_gone_on_with_it_says_what_to_set(make_job: MakeJob) -> None:
    job = make_job(photos=2 * PHOTOS, profile=profile_document(latency_us=SMALL_PARTS_US))
    job.write(sink={"uri": str(job.sink), "ifExists": "Fail"})
    process = job.start()
    wait_until(job.parts, "a part is there")
    process.send_signal(signal.SIGINT)

    assert process.wait(30) == 130, job.said()
    assert "To go on with these rows, set sink.ifExists to Resume first; it is Fail." in job.said()


def test_killed_workers_are_noticed_and_their_images_are_done_by_others(make_job: MakeJob) -> None:
    # The profile says 30 images a second, so that both slices are planned: 480 images within 12 s of work.
    job = make_job(photos=2 * PHOTOS, deadline="40s", profile=profile_document(latency_us=500_000))
    process = job.start()
    wait_until(lambda: job.worker_pids() and job.parts(), "workers have committed a part")
    # Not one alone: this machine is faster than the profile says, so that one may be on its way out already.
    for pid in job.worker_pids():
        kill(pid)

    assert process.wait(120) in (0, 4), job.said()  # in time or late: this machine may be busy
    assert "was lost" in job.said()
    assert_each_image_once(job, 2 * PHOTOS)
    states = [state for worker in job.record("progress.json")["workers"].values() for _, state in worker["states"]]
    assert "lost" in states


def test_an_edit_of_the_deadline_is_taken_and_one_of_the_model_refused(make_job: MakeJob) -> None:
    job = make_job(photos=2 * PHOTOS)
    process = job.start()
    wait_until(job.parts, "a part is there")
    model = job.spec["model"]
    job.write(model=model | {"imageSize": 96})
    wait_until(lambda: "spec.model can't change" in job.said(), "the edit of the model is refused")
    job.write(model=model, deadline="20m")

    assert process.wait(120) == 0, job.said()
    assert job.record("summary.json")["deadlineSeconds"] == pytest.approx(1200)
    assert_each_image_once(job, 2 * PHOTOS)


def test_an_edit_of_the_images_that_may_fail_decides_how_the_job_ends(make_job: MakeJob) -> None:
    job = make_job(photos=2 * PHOTOS, maxFailedImages=0)
    (job.folder / "photos" / "zz-damaged.jpg").write_bytes(b"not a photo")
    process = job.start()
    wait_until(job.parts, "a part is there")
    job.write(maxFailedImages="1%")

    assert process.wait(120) == 0, job.said()
    assert job.record("summary.json")["verdict"] == "Succeeded"
    newest = max((job.sink / "_dueby" / "runs").iterdir())
    assert yaml.safe_load((newest / "job.yaml").read_text())["spec"]["maxFailedImages"] == "1%"


def test_a_hard_deadline_out_of_reach_is_refused_before_anything_starts(make_job: MakeJob) -> None:
    job = make_job(deadline="60s", deadlineClass="Hard", profile=profile_document(latency_us=300_000_000))

    assert job.run() == 3, job.said()
    assert "Infeasible" in job.said()
    assert not job.parts()
    assert not (job.sink / "_dueby" / "runs").exists()


def test_a_soft_deadline_out_of_reach_is_run_late_and_says_so(make_job: MakeJob) -> None:
    # It has passed before the images are counted, on however fast a machine.
    job = make_job(photos=40, deadline="1ms")

    assert job.run_in_terminal(columns=80) == 4, job.said()
    assert_each_image_once(job, 40)
    assert job.record("summary.json")["verdict"] == "Late"
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", job.said()))
    last_view = lines[len(lines) - 1 - lines[::-1].index("40/40 images") :]
    assert re.fullmatch(r"all images are done, \S+ after the deadline", last_view[2])
    headings = ["WORKER", "CLASS", "ENGINE", "STATE", "SHARE", "IMAGES", "IMAGES/S", "STEP"]
    assert headings in [line.split() for line in last_view]
    assert [line for line in last_view if line.startswith("Late: 40 of 40 images")]
    assert max(len(line) for line in last_view if str(job.folder) not in line) <= 80
    assert "…" not in job.said()
    # What the steps log is no raw log line.
    assert "Warning: spec.model.weights" in job.said()
    assert " WARNING " not in job.said()
    assert "the deadline passed" in job.said()
    assert "images in -" not in job.said()


def test_on_deadline_stop_ends_with_what_there_is_and_a_later_run_does_the_rest(make_job: MakeJob) -> None:
    job = make_job(photos=40, deadline="1s", onDeadline="Stop")

    assert job.run() == 4, job.said()
    assert not (job.sink / "_SUCCESS").exists()
    job.write(deadline="10m")
    assert job.run() == 0, job.said()
    assert_each_image_once(job, 40)


def test_more_failed_images_than_allowed_fail_the_job_and_retry_failed_fixes_them(make_job: MakeJob) -> None:
    job = make_job(photos=40, maxFailedImages=1)
    broken = [job.folder / "photos" / f"{number:05d}.jpg" for number in (3, 17)]
    whole = [path.read_bytes() for path in broken]
    for path in broken:
        path.write_bytes(b"")
    assert job.run() == 4, job.said()
    assert job.record("summary.json")["verdict"] == "Failed"
    told = ("2 of 40 images (5 %) have an error", "raise spec.max", *(f"{path.name}: The file is" for path in broken))
    assert all(words in job.said() for words in told)
    for path, data in zip(broken, whole, strict=True):
        path.write_bytes(data)
    assert job.run("--retry-failed") == 0, job.said()
    assert_each_image_once(job, 40)
    summary = job.record("summary.json")
    ended_s = summary["startUnixMicros"] / 1e6 + summary["actualSeconds"]
    assert ended_s >= max(path.stat().st_mtime for path in job.parts())
    assert not [row for row in job.rows() if row["error"]]


def test_synthetic_images_are_not_indexed_and_another_job_s_rows_are_not_theirs(make_job: MakeJob) -> None:
    job = make_job(photos=1, images=40, source={"synthetic": {}})
    assert job.run() == 0, job.said()
    assert "freezing" not in job.said()
    assert_each_image_once(job, 40)
    assert not (job.sink / "_dueby" / "index").exists()

    before = [path.stat().st_mtime_ns for path in job.parts()]
    assert job.run() == 0, job.said()
    assert "nothing to do" in job.said()
    job.write(images=80)
    assert job.run() == 2, job.said()
    assert "holds the results of another job: its images were others" in job.said()
    assert [path.stat().st_mtime_ns for path in job.parts()] == before


def test_what_is_wrong_with_the_job_is_one_sentence_and_code_2(make_job: MakeJob) -> None:
    job = make_job(photos=8)
    assert job.run() == 0, job.said()
    elsewhere = {"sink": {"uri": str(job.folder / "elsewhere")}}
    cases = {
        "holds the results of another job": {"model": job.spec["model"] | {"imageSize": 96}},
        "spec.source.uri": elsewhere | {"source": {"uri": str(job.folder / "nowhere")}},
        "spec.model.weights": elsewhere | {"model": job.spec["model"] | {"weights": str(job.folder / "none.pt")}},
    }
    document = profile_document()
    document["metadata"]["name"] = "cpu-1-96"
    document["spec"]["model"]["imageSize"] = 96
    (job.folder / "profiles" / "cpu-1-96.yaml").write_text(yaml.safe_dump(document))
    for sentence, change in cases.items():
        before = dict(job.spec)
        job.write(**change)
        assert job.run() == 2, job.said()
        last = job.said().strip().splitlines()[-1]
        assert sentence in last
        assert "Traceback" not in job.said()
        job.spec = before


def test_a_job_of_an_image_size_that_was_not_measured_runs_on_what_another_predicts(make_job: MakeJob) -> None:
    larger = profile_document()
    larger["spec"]["model"]["imageSize"] = 256
    job = make_job(profile=larger)

    assert job.run() == 0, job.said()
    assert_each_image_once(job, PHOTOS)
    assert "is predicted from cpu-1, at 256 px, and was not measured" in " ".join(job.said().split())

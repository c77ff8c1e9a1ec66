"""`import dueby` as a script uses it: a job run to its rows, a job that is refused, rows in an object store."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import dueby
from support.report import small_run, write_sink
from support.report_page import framed_page, words_of
from support.run import Job, write_photos
from support.s3 import versitygw_server

PHOTOS = 24


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    write_photos(tmp_path / "photos", PHOTOS)
    (tmp_path / "photos" / "zz-damaged.jpg").write_bytes(b"not a photo")
    made = Job(folder=tmp_path, spec={"maxFailedImages": "10%"})
    yield made
    made.clean_up()


def test_a_job_runs_to_its_rows_and_shows_the_report(job: Job, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    document = yaml.safe_load(job.manifest.read_text())
    done = dueby.run(document, profiles=job.folder / "profiles", tell=told.append)
    assert (done.verdict, done.images_done, done.images_failed) == ("Succeeded", PHOTOS + 1, 1)
    assert [line for line in told if line.startswith(f"Succeeded: {PHOTOS + 1} of {PHOTOS + 1} images")]
    assert "Plan and proof" in words_of(framed_page(done))
    found = dueby.read(job.sink)
    assert (found.is_complete, found.images, len(found.errors)) == (True, PHOTOS + 1, 1)

    # Once more, without a manifest: every row is there, so there is no run to report on.
    spec = {name: value for name, value in document["spec"].items() if name not in ("source", "sink")}
    again = dueby.run(document["spec"]["source"], job.sink, profiles=job.folder / "profiles", **spec)
    assert (again.verdict, again.images_done, again.images_failed) == ("Succeeded", PHOTOS + 1, 1)
    assert again._repr_html_() is None
    assert capfd.readouterr() == ("", "")


def test_jobs_run_together_and_what_is_wrong_with_one_is_raised_when_the_other_is_done(job: Job) -> None:
    one = yaml.safe_load(job.manifest.read_text())
    other = {**one, "metadata": {"name": "other"}}
    other["spec"] = {**one["spec"], "source": {"uri": str(job.folder / "none")}, "sink": {"uri": f"{job.sink}-2"}}
    with pytest.raises(dueby.DueByError, match=r"^other: .*none.*: there is no such folder"):
        dueby.run_all([one, other], profiles=job.folder / "profiles")
    assert dueby.read(job.sink).is_complete


def test_a_job_that_cannot_be_done_in_time_is_an_error_with_the_command_s_words(job: Job) -> None:
    # Nothing is listed, so that the plan doesn't depend on how long that takes.
    job.write(deadline="5m", deadlineClass="Hard", source={"synthetic": {}}, images=10**9)
    assert job.run() == 3, job.said()
    with pytest.raises(dueby.DueByError, match=r"^Infeasible: 2 CPU slices can do at most") as refused:
        dueby.run(job.manifest, profiles=job.folder / "profiles")
    # To the millisecond the time that is left isn't the same.
    is_same = [line for line in str(refused.value).splitlines() if line.rstrip() in job.said()]
    assert [line for line in is_same if "a confidence of" in line]
    assert "Any one of these would be enough:" in str(refused.value)
    assert not job.parts()


@pytest.mark.s3
def test_the_rows_of_a_remote_sink_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with versitygw_server(tmp_path) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        write_sink(server.folder / "results", replace(small_run(), failed={7: "It is empty."}))
        found = dueby.read(server.uri("results/"))
        assert (found.done, found.errors["index"].to_pylist()) == (4000, [7])
        with pytest.raises(dueby.Invalid, match="has no results"):
            dueby.read(server.uri("elsewhere"))

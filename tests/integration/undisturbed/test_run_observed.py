"""`dueby run` notes in this machine's profile how long its steps took, and the next plans know it.

On a busy machine one worker may have done everything before the other has started, and then nothing is noted.
"""

from collections.abc import Iterator
from pathlib import Path
from socket import gethostname

import pytest

from dueby.cli.main import main
from dueby.inputs.files import read_profiles, write_profile
from dueby_api.gpu_profile import ObservedJob, parse_profile
from support.run import MODEL, Job, profile_document, write_photos

# 200 mini-batches of 4 for two workers, and more of them than a worker needs to say something about its device.
BATCH = 4
PHOTOS, FOR_ONE = 800, 120


EARLIER = [
    {"job": f"run-{number}", "time": "2026-11-25T02:00:00Z", "workers": 2, "steps": 500, "stepRatio": 1.0}
    for number in range(2)
]


@pytest.fixture
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Job]:
    """A job over so many photos, with a profile that was made here.

    It needs both slices, as its deadline has passed at once.
    """
    write_photos(tmp_path / "photos", request.param)
    # By this L a step is little but decoding. So every run is slower than the largest ratio that counts, and whatever
    # share of its steps the model takes, as on a busy machine, is more than was planned. Starts take longer than the
    # deadline, and so little that two workers end much earlier than one.
    document = profile_document(latency_us=1, startup_us=100_000)
    # Slow enough for both workers to be at work together, however much later the one starts.
    document["spec"]["model"]["name"] = "resnet18"
    document["spec"]["steps"][0]["miniBatchSize"] = BATCH
    document["spec"] |= {"device": {"node": gethostname(), "threads": 1, "slices": 2}, "observed": EARLIER}
    found = Job(folder=tmp_path, spec={"deadline": "50ms", "model": MODEL | {"name": "resnet18"}}, profile=document)
    write_profile(parse_profile(document), tmp_path / "profiles")
    yield found
    found.clean_up()


def rows(job: Job) -> tuple[ObservedJob, ...]:
    (profile,) = read_profiles([str(job.folder / "profiles")])
    return profile.spec.observed


@pytest.mark.parametrize("job", [PHOTOS], indirect=True)
def test_a_run_leaves_its_steps_in_the_profile_and_the_next_is_planned_with_them(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job.run() == 4, job.said()
    assert "earlier job" not in job.said()
    *earlier, row = rows(job)
    assert [found.job for found in earlier] == ["run-0", "run-1"]
    assert (row.workers, row.step_ratio, row.startup_micros) == (2, 1.3, ())
    assert row.steps > 0.9 * PHOTOS / BATCH
    assert f"in {job.folder / 'profiles' / 'cpu-1.yaml'}: {row.steps} steps took " in job.said()

    job.write(images=PHOTOS)
    assert main(["plan", "-v", "-f", str(job.manifest), "--profiles", str(job.folder / "profiles")]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "steps are planned at 1.100 times the measured latency, as in 3 earlier jobs" in said

    assert job.run() == 0, job.said()
    assert "nothing to do" in job.said()
    assert rows(job) == (*earlier, row)


@pytest.mark.parametrize("job", [FOR_ONE], indirect=True)
def test_a_run_that_leaves_a_slice_idle_says_nothing_about_how_fast_busy_slices_are(job: Job) -> None:
    job.write(gpus={"max": 1})
    assert job.run() == 4, job.said()
    assert len(rows(job)) == len(EARLIER)
    assert "Noted" not in job.said()

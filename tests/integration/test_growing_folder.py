"""A folder that grows: what was classified stays as it is, and what is new is reported."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import dueby
from dueby_api.errors import Invalid, Transient
from dueby_worker.output.quantized import quantized_path
from dueby_worker.storage.uris import file_uri
from support.decisions import MADE, infj, job, look, pod_of
from support.models import SMALL, trained, written
from support.nights import Nights
from support.pictures import write_photos
from support.processes import ProcessJob
from support.run import Job
from support.worker import a_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos", 30)
    return tmp_path


def test_a_local_run_over_a_folder_that_has_grown_is_refused_with_what_it_found(folder: Path) -> None:
    run = Job(folder=folder)
    assert run.run() == 0, run.said()
    write_photos(folder / "photos", 40)
    assert run.run() == 2
    assert "the source has 40 images, the results in" in run.said()
    assert "are for 30 of them" in run.said()


def test_a_job_in_a_cluster_over_a_folder_that_has_grown_fails_with_what_it_found(folder: Path) -> None:
    source = {"uri": str(folder / "photos")}
    steps = ProcessJob(folder=folder, source=source, sink=str(folder / "rows"), images=30, part_size=10)
    begun = steps.index_here(uid="u-1")
    steps.work_here(uid="u-1", fingerprint=begun["fingerprint"])
    steps.finish_here()
    write_photos(folder / "photos", 40)
    step = steps.index(uid="u-2", images=None)
    assert step.wait() == 2
    said = f"the source has 40 images, the results in {file_uri(steps.sink)} are for 30 of them: sink.ifExists: Append"
    (created,) = look(infj(source=source)).created
    ended = {"exitCode": 2, "message": json.dumps(step.last_words()), "finishedAt": MADE}
    pod = pod_of(created, phase="Failed", containerStatuses=[{"name": "dueby", "state": {"terminated": ended}}])
    seen = look(job(infj(source=source), steps={"index": created.job}, pods=[pod]))
    assert seen.said("Failed") == ("True", "IndexFailed")
    assert said in seen.message("Failed")
    assert said in seen.message("Indexed")
    # The job whose status was lost is the same job, of the images that there were.
    assert steps.index_here(uid="u-1")["partsThere"] == "0-2"


@pytest.fixture
def nights(folder: Path) -> Nights:
    return Nights(folder)


def test_each_night_adds_what_is_new_as_a_generation(nights: Nights) -> None:
    assert nights.run()["images"] == 30
    # New names come before, between and after those that there are.
    for name in ("00000-a", "00017-a", "99999"):
        (nights.photos / f"{name}.jpg").write_bytes((nights.photos / "00003.jpg").read_bytes())
    (nights.photos / "00005.jpg").unlink()
    found = nights.run()
    assert found["images"] == 3
    assert "generation 2 of a sink of 30 images" in found["note"]
    write_photos(nights.photos, 45)
    assert nights.run()["images"] == 15
    first = [(number, f"{number:05}.jpg", 1) for number in range(30)]
    second = [(30, "00000-a.jpg", 2), (31, "00017-a.jpg", 2), (32, "99999.jpg", 2)]
    assert nights.rows() == [*first, *second, *((33 + n, f"{30 + n:05}.jpg", 3) for n in range(15))]
    success = json.loads(nights.store.read("_SUCCESS"))
    told = [(each["generation"], each["images"], each["firstImage"]) for each in (*success["earlier"], success)]
    assert told == [(1, 30, 0), (2, 3, 30), (3, 15, 33)]
    names = nights.store.list_names()
    mark = a_manifest(uid="u-2").grid.mark
    assert f"part-000000000030-000000000032.g0002.{mark}.parquet" in names


def test_where_nothing_is_new_the_job_ends_with_what_is_there(nights: Nights) -> None:
    nights.run()
    before = nights.store.list_names()
    found = nights.index()
    assert (found["images"], found["partsThere"]) == (30, "0-2")
    assert "Nothing is new" in found["note"]
    nights.steps.finish_here()
    assert nights.store.list_names() == before
    assert "_SUCCESS" in before


def test_success_is_away_from_when_images_without_a_row_are_known_until_they_have_one(nights: Nights) -> None:
    nights.run()
    write_photos(nights.photos, 41)
    found = nights.index()
    assert not nights.store.exists("_SUCCESS")
    assert len(nights.rows()) == 30
    assert dueby.read(nights.steps.sink).images == 30
    nights.work_partly(found)
    assert (dueby.read(nights.steps.sink).images, len(nights.rows())) == (41, 40)
    with pytest.raises(Transient, match="still lacks 1 of 2 parts"):
        nights.steps.finish_here()
    nights.work(found)
    nights.steps.finish_here()
    assert nights.store.exists("_SUCCESS")
    assert [index for index, *_ in nights.rows()] == list(range(41))


def test_a_night_that_was_not_finished_is_finished_by_the_next_one(nights: Nights) -> None:
    nights.run()
    write_photos(nights.photos, 41)
    nights.work_partly(nights.index())
    write_photos(nights.photos, 50)
    found = nights.run()
    assert (found["images"], found["partsThere"]) == (11, "0")
    assert "is for the next job with sink.ifExists: Append" in found["note"]
    assert nights.run()["images"] == 9
    assert [index for index, *_ in nights.rows()] == list(range(50))


@pytest.mark.parametrize("lost", ["finish", "index"])
def test_a_step_that_was_killed_is_made_up_for(nights: Nights, lost: str) -> None:
    nights.work(nights.index())
    if lost == "index":
        nights.steps.finish_here()
        write_photos(nights.photos, 35)
        nights.index()
        nights.store.delete("_dueby/index/index.g0002.json")
    write_photos(nights.photos, 40)
    assert nights.run()["images"] == 10
    assert [index for index, *_ in nights.rows()] == list(range(40))


def test_the_same_job_goes_on_with_the_generation_that_it_began(nights: Nights) -> None:
    nights.run()
    write_photos(nights.photos, 40)
    nights.run()
    write_photos(nights.photos, 50)
    found = nights.steps.index_here(uid="u-2", images=None)
    assert (found["images"], found["partsThere"], found["note"]) == (10, "0", "")


def test_another_model_adds_nothing_and_takes_nothing_away(nights: Nights) -> None:
    nights.run()
    write_photos(nights.photos, 40)
    with pytest.raises(Invalid, match="its weights were others"):
        nights.index(model={**nights.steps.model, "weights": "none"})
    assert nights.store.exists("_SUCCESS")
    assert nights.store.list_names("_dueby/index") == ["index.json"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"precision": "bf16"}, r"its precision was fp32 \(now bf16\)", id="precision"),
        pytest.param({"imageSize": 96}, r"its image size was 64 \(now 96\)", id="image size"),
    ],
)
def test_rows_that_are_made_otherwise_are_not_added(nights: Nights, changes: dict[str, Any], said: str) -> None:
    nights.run()
    write_photos(nights.photos, 40)
    with pytest.raises(Invalid, match=said):
        nights.index(model={**nights.steps.model, **changes})
    assert nights.store.exists("_SUCCESS")


def test_another_engine_adds_rows_of_the_same_model(nights: Nights) -> None:
    nights.run()
    write_photos(nights.photos, 40)
    nights.steps.model = {**nights.steps.model, "engine": "eager"}
    assert nights.run()["images"] == 10
    engines = [
        pq.read_schema(path).metadata[b"dueby.engine"]
        for path in sorted(Path(nights.steps.sink).glob("part-*.parquet"))
    ]
    assert engines == [b"openvino"] * 3 + [b"eager"]


@pytest.mark.skipif(find_spec("nncf") is None, reason="needs NNCF: pip install 'dueby[int8]'")
def test_at_int8_all_generations_have_the_network_of_the_first_one(folder: Path) -> None:
    weights = written(folder / "weights.pt", trained().state_dict())
    model = {"name": SMALL, "weights": weights, "imageSize": 64, "precision": "int8", "engine": "openvino"}
    nights = Nights(folder, model=model)
    first = nights.run()
    write_photos(nights.photos, 40)
    with pytest.raises(Invalid, match=r"its precision was int8 \(now fp32\)"):
        nights.index(model={**model, "precision": "fp32"})
    second = nights.run()
    assert first["fingerprint"] != second["fingerprint"]
    networks = [nights.store.read(quantized_path(found["fingerprint"])) for found in (first, second)]
    assert networks[0] == networks[1]


def test_a_limit_is_one_of_what_is_new(nights: Nights) -> None:
    nights.run()
    write_photos(nights.photos, 40)
    assert nights.index(images=4)["images"] == 4


def test_resume_goes_on_with_a_sink_that_was_added_to_and_overwrite_empties_it(nights: Nights) -> None:
    nights.run()
    write_photos(nights.photos, 40)
    nights.run()
    nights.sink["ifExists"] = "Resume"
    assert nights.index()["partsThere"] == "0"
    write_photos(nights.photos, 45)
    with pytest.raises(
        Invalid, match=r"the source has 45 images, the results in .* are for 40 of them: sink\.ifExists"
    ):
        nights.index()
    nights.sink["ifExists"] = "Overwrite"
    nights.index()
    assert nights.store.list_names() == []
    assert nights.store.list_names("_dueby/index") == ["index.json"]
    assert not [name for name in nights.store.list_names("_dueby") if name.startswith("job")]


def test_a_local_run_adds_what_is_new_and_says_so(folder: Path) -> None:
    run = Job(folder=folder, spec={"sink": {"uri": str(folder / "rows"), "ifExists": "Append"}})
    assert run.run() == 0, run.said()
    write_photos(folder / "photos", 37)
    assert run.run() == 0, run.said()
    assert "generation 2 of a sink of 30 images" in run.said()
    assert run.record("summary.json")["images"] == 7
    assert [row["index"] for row in run.rows()] == list(range(37))
    assert run.run() == 0, run.said()
    assert "Nothing is new" in run.said()

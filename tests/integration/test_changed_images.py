"""Images that are written again under their names are classified again, where a job asks for that."""

import json
from pathlib import Path

import pytest

import dueby
from dueby_api.errors import Invalid
from support.nights import Nights
from support.pictures import write_photos
from support.tars import write_shards


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    write_photos(tmp_path / "photos", 30)
    found = Nights(tmp_path)
    found.sink["changed"] = True
    return found


def change(nights: Nights, *names: str) -> None:
    """Write files again, each as the photo of another number."""
    for name in names:
        data = (nights.photos / "00029.jpg").read_bytes()
        (nights.photos / f"{name}.jpg").write_bytes(data + b"\0" * int(name))


def names_of(table: object) -> list[str]:
    return [uri.rpartition("/")[2] for uri in table["uri"].to_pylist()]  # type: ignore[index]


def test_an_image_that_has_changed_has_the_row_of_its_newest_file(nights: Nights) -> None:
    (nights.photos / "00007.jpg").write_bytes(b"no photo")
    assert nights.run()["images"] == 30
    assert names_of(dueby.read(nights.steps.sink).errors) == ["00007.jpg"]
    change(nights, "00003", "00007")
    (nights.photos / "00005-a.jpg").write_bytes((nights.photos / "00005.jpg").read_bytes())
    found = nights.run()
    assert found["images"] == 3
    assert found["note"].startswith("Only images that are new or changed are counted: they become generation 2")
    first = [(number, f"{number:05}.jpg", 1) for number in range(30) if number not in (3, 7)]
    second = [(30, "00003.jpg", 2), (31, "00005-a.jpg", 2), (32, "00007.jpg", 2)]
    assert nights.rows() == [*first, *second]
    results = dueby.read(nights.steps.sink)
    assert results.rows["replaces"].to_pylist() == [*[None] * 28, 3, None, 7]
    assert (len(results.errors), len(results), results.done, results.images) == (0, 31, 31, 31)
    assert results.is_complete
    assert repr(results).startswith("31 rows of 31 images, in ")
    assert results.dataset.count_rows() == 33
    success = json.loads(nights.store.read("_SUCCESS"))
    assert (success["rows"], success["replaced"], success["earlier"][0].get("replaced", 0)) == (3, 2, 0)


def test_a_row_is_replaced_by_the_next_one_each_time(nights: Nights) -> None:
    nights.run()
    for row in (3, 30, 31):
        change(nights, "00003") if row == 3 else (nights.photos / "00003.jpg").write_bytes(bytes(row))
        assert nights.run()["images"] == 1
        assert dueby.read(nights.steps.sink).dataset.to_table()["replaces"].to_pylist()[-1] == row
    results = dueby.read(nights.steps.sink)
    assert (results.done, results.images, results.errors["index"].to_pylist()) == (30, 30, [32])
    assert nights.index()["note"].startswith("Nothing is new or changed: ")


def test_the_row_that_there_is_counts_until_the_new_one_is_there(nights: Nights) -> None:
    nights.run()
    change(nights, *(f"{number:05}" for number in range(12)))
    found = nights.index()
    assert [index for index, *_ in nights.rows()] == list(range(30))
    nights.work_partly(found)
    assert [index for index, *_ in nights.rows()] == [10, 11, *range(12, 30), *range(30, 40)]
    results = dueby.read(nights.steps.sink)
    assert (results.done, results.images, results.is_complete) == (28, 30, False)
    nights.work(found)
    nights.steps.finish_here()
    assert [index for index, *_ in nights.rows()] == list(range(12, 42))
    assert dueby.read(nights.steps.sink).is_complete


def test_changes_are_seen_later_in_a_sink_whose_jobs_have_not_asked_for_them(nights: Nights) -> None:
    nights.sink["changed"] = False
    nights.run()
    change(nights, "00003")
    assert nights.index()["note"].startswith("Nothing is new: ")
    nights.sink["changed"] = True
    assert nights.run()["images"] == 1
    # A job that goes on with it, or begins it again, sees the same images.
    assert nights.steps.index_here(uid="u-3", images=None, sink={**nights.sink, "ifExists": "Append"})["images"] == 1


def test_a_limit_leaves_changed_images_for_the_next_night(nights: Nights) -> None:
    nights.run()
    change(nights, "00003", "00008", "00009")
    nights.work(nights.index(images=2))
    nights.steps.finish_here()
    assert nights.run()["images"] == 1
    assert [index for index, *_ in nights.rows()] == [*(n for n in range(30) if n not in (3, 8, 9)), 30, 31, 32]


def test_a_sink_that_does_not_say_what_its_files_were_is_refused(nights: Nights) -> None:
    nights.sink = {**nights.sink, "ifExists": "Resume", "changed": False}
    nights.run()
    nights.sink = {**nights.sink, "ifExists": "Append", "changed": True}
    with pytest.raises(
        Invalid, match=r"spec\.sink\.changed: .* doesn't say what its images' files were in generation 1,"
    ):
        nights.index()
    assert nights.store.exists("_SUCCESS")


def test_images_within_a_tar_can_not_be_compared(tmp_path: Path) -> None:
    write_shards(tmp_path, 1, images=4)
    nights = Nights(tmp_path)
    nights.steps.source = {"uri": f"{tmp_path}/*.tar"}
    nights.sink["changed"] = True
    with pytest.raises(Invalid, match=r"spec\.sink\.changed: .*give a folder or a glob as source\.uri"):
        nights.index()

"""`dueby.read`: a sink's rows, with the errors apart, of a job that is done or not."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import dueby
from dueby_api.errors import Invalid
from dueby_worker.output.sink_manifest import SINK_MANIFEST, SinkManifest, encode_sink_manifest
from support.report import small_run, write_sink
from support.report_page import framed_page, words_of
from support.worker import COMPONENTS, as_older

COLUMNS = ["index", "uri", "classes", "labels", "scores", "warning"]


def test_rows_are_in_the_order_of_the_index_and_errors_apart(tmp_path: Path) -> None:
    found = dueby.read(write_sink(tmp_path / "sink", replace(small_run(), failed={7: "It is empty."})))
    assert found.rows.column_names == COLUMNS
    assert found.rows["index"].to_pylist() == [index for index in range(4000) if index != 7]
    assert found.errors.column_names == ["index", "uri", "error"]
    assert [(row["index"], row["error"]) for row in found.errors.to_pylist()] == [(7, "It is empty.")]
    assert found.to_pandas()["index"].tolist() == found.rows["index"].to_pylist()
    # A folder of parts alone doesn't say how many images there are.
    assert (found.done, found.images, found.is_complete) == (4000, None, False)
    assert repr(found) == f"4,000 rows, 1 of them with an error, in file://{tmp_path}/sink"


def manifest(images: int, part_size: int) -> bytes:
    """Of a sink that was begun for so many images."""
    return encode_sink_manifest(
        SinkManifest(job="small", fingerprint="f" * 64, components=COMPONENTS, images=images, part_size=part_size)
    )


def test_of_a_job_that_is_not_done_it_says_how_many_images_there_are(tmp_path: Path) -> None:
    sample = replace(small_run(), done=1000)
    sink = write_sink(tmp_path, sample)
    (sink / SINK_MANIFEST).write_bytes(manifest(sample.images, sample.part_size))
    # What a worker is just writing, and what another job has left, are no parts of it.
    (sink / ".part-000000000000-000000000001.parquet.tmp").write_bytes(b"half")
    (sink / "part-000000003000-000000003002.parquet").write_bytes(b"of another grid")
    found = dueby.read(sink)
    assert 0 < found.done <= 1000
    assert (found.images, found.is_complete) == (4000, False)
    assert repr(found).startswith(f"{found.done:,} rows of 4,000 images, in ")
    (sink / "part-000000003000-000000003002.parquet").unlink()
    write_sink(tmp_path / "whole", small_run())
    for part in (tmp_path / "whole").glob("part-*"):
        (sink / part.name).write_bytes(part.read_bytes())
    assert dueby.read(sink).is_complete


@pytest.mark.parametrize("older", ["part-000000000000", "part-", "none"], ids=["the first", "all", "none"])
def test_a_sink_that_an_older_dueby_began_has_the_same_columns(tmp_path: Path, older: str) -> None:
    sink = write_sink(tmp_path, small_run())
    before = dueby.read(sink)
    for part in sink.glob(f"{older}*.parquet"):
        part.write_bytes(as_older(part.read_bytes()))
    found = dueby.read(sink)
    assert found.rows.schema.equals(before.rows.schema)
    assert found.rows.equals(before.rows)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"has no results \(yet\); give the job's sink\.uri"):
        dueby.read(tmp_path)


def test_a_notebook_shows_the_first_rows_and_errors_with_nothing_of_theirs_as_markup(tmp_path: Path) -> None:
    sample = replace(small_run(), failed={7: "It is empty."}, hostile="<script>alert(1)</script>")
    page = framed_page(dueby.read(write_sink(tmp_path, sample)))
    assert "the first 10 by index are shown" in words_of(page)
    assert "It is empty." in words_of(page)
    assert "<script>" not in page


def test_without_pandas_the_rows_are_still_there_and_it_says_what_to_install(tmp_path: Path) -> None:
    write_sink(tmp_path, small_run())
    program = f"""
import sys

class NoPandas:
    def find_spec(name, *_):
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)

sys.meta_path.insert(0, NoPandas)
import dueby
found = dueby.read({str(tmp_path)!r})
print(len(found.rows))
try:
    found.to_pandas()
except dueby.Invalid as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["4000", "to_pandas: needs pandas; install it with: pip install pandas"]


def test_a_part_that_is_damaged_is_named(tmp_path: Path) -> None:
    part = sorted(write_sink(tmp_path, small_run()).glob("part-*"))[1]
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(
        Invalid, match=rf"^sink: file://{part} is damaged \(.*\); delete it and run the job again; in a"
    ):
        dueby.read(tmp_path)


@pytest.mark.parametrize("sink", [3, None, b"rows"])
def test_what_is_no_path_is_refused(sink: object) -> None:
    with pytest.raises(Invalid, match=r"^sink: must be a path, but is of type (int|NoneType|bytes)$"):
        dueby.read(sink)  # type: ignore[arg-type]

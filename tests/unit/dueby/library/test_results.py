"""`dueby.read`: a sink's rows, with the errors apart, of a job that is done or not."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

import dueby
from dueby_api.errors import Invalid, Transient
from dueby_api.grid import Grid
from dueby_api.output import Output, Threshold
from dueby_api.source import Source
from dueby_worker.output.part_names import part_name
from dueby_worker.output.rows import Origin, Rows, encode_rows
from dueby_worker.output.sink_manifest import SINK_MANIFEST, encode_sink_manifest
from dueby_worker.storage.stores import open_store
from support.index import build, write_files
from support.report import small_run, write_sink
from support.report_page import framed_page, words_of
from support.worker import COMPONENTS, a_manifest, as_older

COLUMNS = ["index", "uri", "classes", "labels", "scores", "warning"]


def test_rows_are_in_the_order_of_the_index_and_errors_apart(tmp_path: Path) -> None:
    found = dueby.read(write_sink(tmp_path / "sink", replace(small_run(), failed={7: "It is empty."})))
    assert found.rows.column_names == COLUMNS
    assert found.rows["index"].to_pylist() == [index for index in range(4000) if index != 7]
    assert found.errors.column_names == ["index", "uri", "error"]
    assert [(row["index"], row["error"]) for row in found.errors.to_pylist()] == [(7, "It is empty.")]
    assert found.to_pandas()["index"].tolist() == found.rows["index"].to_pylist()
    # A folder of parts alone doesn't say how many images there are.
    assert (found.done, found.images, found.is_complete, len(found)) == (4000, None, False, 3999)
    assert repr(found) == f"4,000 rows, 1 of them with an error, in file://{tmp_path}/sink"


def manifest(images: int, part_size: int, output: Output | None = None) -> bytes:
    """Of a sink that was begun for so many images."""
    components = COMPONENTS.replace(output=output)
    return encode_sink_manifest(a_manifest(images=images, part_size=part_size, components=components))


def write_vectors(sink: Path, column: str, *, rows: int, values: int, parts: int) -> None:
    """Parts of random vectors."""
    origin = Origin(engine="eager", precision="fp32", device_class="cpu-1", fingerprint="f" * 64)
    grid = Grid(images=rows * parts, part_size=rows)
    vectors = np.random.default_rng(0).random((rows, values), dtype=np.float32)
    for part in range(parts):
        first, last = grid.bounds(part)
        uris = [f"file:///photos/{index}.jpg" for index in range(first, last + 1)]
        part_rows = Rows(first=first, uris=uris, columns={column: vectors}, errors={})
        labels = [f"class {number}" for number in range(values)]
        (sink / part_name(grid, part)).write_bytes(encode_rows(part_rows, labels=labels, origin=origin))


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


DAMAGES = {"end": lambda data: data[:100], "rows": lambda data: b"x" * 4000 + data[4000:]}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_part_that_is_damaged_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    part = sorted(write_sink(tmp_path, small_run()).glob("part-*"))[1]
    part.write_bytes(damage(part.read_bytes()))
    with pytest.raises(
        Invalid, match=rf"^sink: file://{part} is damaged \(.*\); delete it and run the job again; in a"
    ):
        _ = dueby.read(tmp_path).rows


@pytest.mark.parametrize("sink", [3, None, b"rows"])
def test_what_is_no_path_is_refused(sink: object) -> None:
    with pytest.raises(Invalid, match=r"^sink: must be a path, but is of type (int|NoneType|bytes)$"):
        dueby.read(sink)  # type: ignore[arg-type]


def test_columns_and_rows_are_those_that_are_asked_for_and_errors_are_all(tmp_path: Path) -> None:
    sink = write_sink(tmp_path, replace(small_run(), failed={7: "It is empty.", 3000: "It is empty."}))
    found = dueby.read(sink, columns=["index", "labels"], filter=pc.field("index") < 10)
    assert found.rows.column_names == ["index", "labels"]
    assert found.rows["index"].to_pylist() == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert [batch["index"].to_pylist() for batch in found.batches()] == [found.rows["index"].to_pylist()]
    assert (len(found), found.done, len(found.errors)) == (9, 4000, 2)
    assert f"2 of them with an error, in file://{sink}. 9 pass the filter" in words_of(framed_page(found))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"columns": ["label"]},
            "columns: 'label' is none of the rows' columns, which are index, uri, classes, labels",
        ),
        ({"columns": "uri"}, "columns: must be a list of names, but is of type str"),
        ({"filter": pc.field("score") > 0.5}, "filter: must be an expression of pyarrow.compute about these rows: No"),
        ({"filter": pc.field("uri") > 5}, "filter: must be an expression of pyarrow.compute about these rows: "),
        ({"filter": "index < 5"}, "filter: must be an expression of pyarrow.compute about these rows: "),
        ({"filter": [("index", "<", 5)]}, "filter: must be an expression of pyarrow.compute about these rows: "),
    ],
)
def test_what_the_rows_do_not_have_is_refused_before_any_is_read(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    sink = write_sink(tmp_path, small_run())
    with pytest.raises(Invalid) as refused:
        dueby.read(sink, **options)
    assert str(refused.value).startswith(said)


OUTPUTS = {
    "usual": (None, ["classes", "labels", "scores"]),
    "threshold": (Output(threshold=Threshold(label="cat", above=0.5)), ["classes", "labels", "scores", "flagged"]),
    "probabilities": (Output(kind="Probabilities"), ["probabilities"]),
    "embedding": (Output(kind="Embedding", dtype="float16"), ["embedding"]),
}


@pytest.mark.parametrize(("output", "columns"), OUTPUTS.values(), ids=OUTPUTS)
def test_a_job_without_a_part_has_no_rows_with_the_columns_that_they_will_have(
    tmp_path: Path, output: Output | None, columns: list[str]
) -> None:
    (tmp_path / "_dueby").mkdir()
    (tmp_path / SINK_MANIFEST).write_bytes(manifest(4000, 100, output=output))
    found = dueby.read(tmp_path)
    assert found.rows.column_names == ["index", "uri", *columns, "warning"]
    assert (len(found), len(found.errors), found.images, found.is_complete) == (0, 0, 4000, False)
    assert found.to_pandas().columns.tolist() == found.rows.column_names
    assert repr(found) == f"0 rows of 4,000 images, in file://{tmp_path}"
    assert list(found.batches()) == []


def test_a_job_without_a_worker_may_have_rows_later(tmp_path: Path) -> None:
    write_files(tmp_path / "photos", "a.jpg", "b.jpg")
    build(Source(uri=str(tmp_path / "photos")), open_store(str(tmp_path / "sink")))
    with pytest.raises(Transient, match=r"sink has no rows yet: the images are listed, and no worker has begun$"):
        dueby.read(tmp_path / "sink")


def test_labels_of_probabilities_and_vectors_come_with_the_rows(tmp_path: Path) -> None:
    write_vectors(tmp_path, "probabilities", rows=3, values=3, parts=2)
    found = dueby.read(tmp_path)
    labels = {b"dueby.labels": b'["class 0", "class 1", "class 2"]'}
    assert found.rows.schema.metadata == next(found.batches()).schema.metadata == labels
    assert len(found.rows["probabilities"].combine_chunks().flatten()) == 18


# Of 320 MB of vectors, which are more than twice as much when they are decoded beside their files.
MANY = {"rows": 4096, "values": 1024, "parts": 20}
ITERATES = "most = sum(len(batch) for batch in dueby.read({sink!r}).batches())"
TAKES_A_COLUMN = "most = len(dueby.read({sink!r}, columns=['uri']).rows)"


@pytest.mark.parametrize("program", [ITERATES, TAKES_A_COLUMN], ids=["batches", "a column"])
def test_rows_that_are_not_in_memory_together_need_no_memory_for_all(tmp_path: Path, program: str) -> None:
    write_vectors(tmp_path, "embedding", **MANY)
    rows = MANY["rows"] * MANY["parts"]
    lines = (
        "import resource, dueby",
        f"dueby.read({str(tmp_path)!r}, filter=None).classified.head(1)",
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss",
        program.format(sink=str(tmp_path)),
        f"assert most == {rows}",
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)",
    )
    grown = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True).stdout
    assert int(grown) < 128 * 1024

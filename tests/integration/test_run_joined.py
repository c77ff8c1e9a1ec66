"""`dueby run` over a list, whose rows are joined to that very list as the documentation does it."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import dueby
from support.run import Job, write_photos
from support.source_tree import REPOSITORY

PHOTOS = 40
BAD = 7


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    write_photos(tmp_path / "photos", PHOTOS)
    (tmp_path / "photos" / f"{BAD:05d}.jpg").write_bytes(b"not a photo")
    job = Job(folder=tmp_path, spec={"sink": {"uri": str(tmp_path / "results")}})
    yield job
    job.clean_up()


def write_list(path: Path) -> list[dict[str, Any]]:
    """Write a list in no order that names photos in several ways, and return what it says."""
    names = [f"photos/{number:05d}.jpg" for number in range(PHOTOS)]
    names[3], names[4] = f"./{names[3]}", str(path.parent / names[4])
    lines = [{"label": f"{number % 3}, é", "uri": name, "id": number} for number, name in enumerate(names)]
    lines = lines[1::2] + lines[::2]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["label", "uri", "id"])
        writer.writeheader()
        writer.writerows(lines)
    return lines


def documented_join() -> str:
    (block,) = re.findall(r"^```python\n(.*?)^```", (REPOSITORY / "docs/joining.md").read_text(), re.DOTALL | re.M)
    return str(block)


def test_rows_are_joined_to_the_very_list_that_was_the_source(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = write_list(job.folder / "photos.csv")
    source = {"manifest": {"uri": str(job.folder / "photos.csv")}}
    job.write(source=source | {"keep": ["id", "label"]})
    assert job.run() == 0, job.said()

    monkeypatch.chdir(job.folder)
    found: dict[str, Any] = {}
    exec(documented_join(), found)
    joined = found["joined"]
    assert joined[["label", "uri", "id"]].to_dict("records") == lines
    assert joined.loc[joined["error"].notna(), "id"].tolist() == [BAD]
    assert joined["labels"].notna().sum() == PHOTOS - 1

    rows = dueby.read(job.folder / "results")
    assert rows.rows.column_names[:5] == ["index", "uri", "name", "id", "label"]
    assert rows.errors.column_names == ["index", "uri", "name", "id", "label", "error"]
    listed = pa.Table.from_pylist(lines).rename_columns({"uri": "name"})
    own = rows.dataset.to_table(columns=["label", "name", "id"])
    assert own.sort_by("id").to_pylist() == listed.sort_by("id").to_pylist()

    # The failed row is computed again, and keeps what the source says of it.
    assert job.run("--retry-failed") == 0, job.said()
    assert dueby.read(job.folder / "results").errors.to_pylist() == rows.errors.to_pylist()

    for kept, words in (
        (["id"], r"keep id, label of the source, now id"),
        ([], "keep id, label of the source, now no"),
    ):
        job.write(source=source | {"keep": kept})
        assert job.run() == 2
        assert re.search(words, job.said())
    (job.folder / "photos.csv").write_text((job.folder / "photos.csv").read_text().replace("1, é", "1, e"))
    job.write(source=source | {"keep": ["id", "label"]})
    assert job.run() == 2
    assert "other names or other kept values" in job.said()

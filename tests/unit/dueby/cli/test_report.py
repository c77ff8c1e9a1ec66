"""`dueby report`: where the page is written, which run it takes, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest

from dueby.cli.main import main
from dueby.report.gather import load_photos
from dueby.report.parts import Classified
from dueby_api.source import Source
from dueby_worker.storage.stores import open_store
from support.index import index_of
from support.lances import source_of as lance_source
from support.lances import table_of, write_lance
from support.parquets import source_of, write_parquets
from support.report import RUN, write_sink
from support.report_page import words_of
from support.simulation import SampleRun
from support.tars import jpeg, write_shards


def test_the_page_lies_beside_the_newest_run(
    small: SampleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sink(tmp_path, small)
    newer = tmp_path / "_dueby" / "runs" / "20261126T000000Z"
    newer.mkdir()
    (newer / "summary.json").write_text(json.dumps({"job": "newer"}))
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(newer / "report.html")
    assert "newer" in (newer / "report.html").read_text()


def test_a_run_can_be_chosen_and_the_page_put_elsewhere(
    small: SampleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = write_sink(tmp_path / "sink", small)
    (sink / "_dueby" / "runs" / "20991126T000000Z").mkdir()
    assert main(["report", sink.as_uri(), "--run", RUN, "-o", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "page.html")
    assert "small" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("folders", "arguments", "said"),
    [
        pytest.param([], [], "is not a DueBy sink: it has no _dueby/runs", id="a folder of something else"),
        pytest.param(
            ["_dueby/index"],
            [],
            "has no _dueby/runs: no `dueby run` has started workers for it",
            id="a sink without a run",
        ),
        pytest.param(["_dueby/runs/a"], ["--run", "b"], "has no run 'b'; it has a", id="an unknown run"),
        pytest.param(["_dueby/runs/a"], ["-o", "/nowhere/x"], "-o: /nowhere/x can't be written", id="no such place"),
    ],
)
def test_what_cannot_be_reported_is_the_users_to_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folders: list[str], arguments: list[str], said: str
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    assert main(["report", str(tmp_path), *arguments]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert not told.out


def test_a_photo_that_is_gone_leaves_its_row_and_the_reason(
    small: SampleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(write_sink(tmp_path, small))]) == 0
    page = Path(capsys.readouterr().out.strip()).read_text()
    assert page.count("<figure") == 24
    gone = words_of(page).count("The photo can't be read now: there is no such file")
    assert gone > 0
    assert page.count("data:image/jpeg;base64,") == 24 - gone


def test_photos_in_parquet_files_are_shown(tmp_path: Path) -> None:
    write_parquets(tmp_path / "in", 2, images=2)
    sink = open_store(str(tmp_path / "sink"))
    index = index_of(source_of(f"{tmp_path}/in"), sink)
    rows = tuple(Classified(index=i, uri=uri, labels=("cat",), scores=(1.0,)) for i, uri in index.items(0, 3))
    assert len({photo.picture for photo in load_photos(rows, sink) if photo.picture}) == 4
    (tmp_path / "in" / "001.parquet").write_bytes(b"another")
    *_, last = load_photos(rows, sink)
    assert "001.parquet has changed since the job was indexed" in last.reason


def test_photos_in_a_lance_dataset_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "photos.lance"
    write_lance(path, table_of([jpeg(number) for number in range(4)]), rows=2)
    sink = open_store(str(tmp_path / "sink"))
    index = index_of(lance_source(path), sink)
    rows = tuple(Classified(index=i, uri=uri, labels=("cat",), scores=(1.0,)) for i, uri in index.items(0, 3))
    assert len({photo.picture for photo in load_photos(rows, sink) if photo.picture}) == 4
    shutil.rmtree(path)
    write_lance(path, table_of([jpeg(0)]))
    assert "photos.lance has changed since the job was indexed" in load_photos(rows, sink)[0].reason


def test_photos_in_tars_are_shown(tmp_path: Path) -> None:
    write_shards(tmp_path / "in", 2, images=2)
    sink = open_store(str(tmp_path / "sink"))
    index = index_of(Source(uri=f"{tmp_path}/in/*.tar"), sink)
    rows = tuple(Classified(index=i, uri=uri, labels=("cat",), scores=(1.0,)) for i, uri in index.items(0, 3))
    photos = load_photos(rows, sink)
    assert [photo.row for photo in photos] == list(rows)
    assert len({photo.picture for photo in photos if photo.picture}) == 4
    (tmp_path / "in" / "001.tar").unlink()
    reasons = [photo.reason for photo in load_photos(rows, sink)]
    assert reasons == ["", "", *["The photo can't be read now: there is no such file"] * 2]

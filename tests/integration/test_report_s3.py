"""The report of a sink in an object store, with photos from there too."""

from dataclasses import replace
from pathlib import Path

import pytest

from dueby.cli.main import main
from support.report import catalog_run, write_sink
from support.s3 import versitygw_server

pytestmark = pytest.mark.s3


def test_the_report_of_a_remote_sink_is_written_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = replace(catalog_run(), done=9_000)
    monkeypatch.chdir(tmp_path)
    with versitygw_server(tmp_path) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        write_sink(server.folder / "results", sample)
        assert main(["report", server.uri("results/")]) == 0
        page = (tmp_path / "report.html").read_text()
        assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
        assert page.count("<figure") == 24
        assert f"the first {sum(index < 8_960 for index in sample.failed)} by index" in page
        assert main(["report", server.uri("elsewhere")]) == 2
        assert f"{server.uri('elsewhere')} is not a DueBy sink" in capsys.readouterr().err

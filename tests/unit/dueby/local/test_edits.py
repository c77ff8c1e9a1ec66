"""Edits of a manifest: from when on they are seen, and what is no file that anybody edits."""

import os
from pathlib import Path
from typing import Any

import yaml

from dueby.inputs.manifests import read_job
from dueby.local.edits import ManifestWatch
from support.planner import job_document


def write(path: Path, **spec: Any) -> str:
    path.write_text(yaml.safe_dump(job_document(**spec)))
    return str(path)


def test_an_edit_while_the_source_was_indexed_is_taken_once(tmp_path: Path) -> None:
    file, said = write(tmp_path / "job.yaml", deadline="1h"), list[str]()
    job = read_job(file)
    write(tmp_path / "job.yaml", deadline="2h")
    watch = ManifestWatch(file, job, said.append)
    edited = watch.edited_job()
    assert edited is not None
    assert edited.spec.deadline == "2h"
    assert watch.edited_job() is None
    assert said == []


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    file, said = write(tmp_path / "job.yaml"), list[str]()
    job = read_job(file)
    os.mkfifo(tmp_path / "pipe")
    assert ManifestWatch(str(tmp_path / "pipe"), job, said.append).edited_job() is None
    assert said == []

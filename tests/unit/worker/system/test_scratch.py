"""Temporary folders: gone with the block, swept if their process was killed, and left alone while it lives."""

import os
from pathlib import Path

from dueby_worker.system.temporary_files import scratch_folder
from support.killed import process_that_holds

MAKE = """
import sys
from pathlib import Path
from dueby_worker.system.temporary_files import scratch_folder

with scratch_folder("run", parent=Path(sys.argv[1])) as folder:
    (folder / "inner").mkdir()
    (folder / "inner" / "file").write_text("kept")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_it_is_gone_with_the_block(tmp_path: Path) -> None:
    with scratch_folder("index", parent=tmp_path) as folder:
        (folder / "file").write_text("")
        assert folder.parent == tmp_path
        assert "index" in folder.name
    assert list(tmp_path.iterdir()) == []


def test_that_of_a_killed_process_is_swept_when_the_next_one_is_made(tmp_path: Path) -> None:
    with process_that_holds(MAKE, tmp_path) as (process, left):
        process.kill()
        process.wait()
        assert (left / "inner" / "file").exists()
        with scratch_folder("index", parent=tmp_path) as folder:
            assert list(tmp_path.iterdir()) == [folder]


def test_that_of_a_child_that_was_killed_meanwhile_is_swept_at_the_end(tmp_path: Path) -> None:
    with scratch_folder("run", parent=tmp_path), process_that_holds(MAKE, tmp_path) as (process, _):
        process.kill()
        process.wait()
    assert list(tmp_path.iterdir()) == []


def test_that_of_a_living_process_stays_however_old_it_is(tmp_path: Path) -> None:
    with process_that_holds(MAKE, tmp_path) as (_, held):
        os.utime(held, (0, 0))
        with scratch_folder("index", parent=tmp_path):
            assert (held / "inner" / "file").read_text() == "kept"


def test_what_somebody_else_has_put_there_stays(tmp_path: Path) -> None:
    (tmp_path / "dueby-results").mkdir()
    (tmp_path / "dueby-scratch-link").symlink_to(tmp_path / "dueby-results")
    with scratch_folder("index", parent=tmp_path):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dueby-results", "dueby-scratch-link"]

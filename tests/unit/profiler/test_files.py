"""Files that are written whole or not at all, and what of them a killed process leaves."""

import os
from pathlib import Path

import pytest

from dueby_profiler.files import replacing, write_text
from support.killed import process_that_holds

WRITE = """
import sys
from pathlib import Path
from dueby_profiler.files import replacing

with replacing(Path(sys.argv[1])) as part:
    part.write_text("half")
    print(part, flush=True)
    sys.stdin.read()
"""


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.json"
    with replacing(path) as part:
        part.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.json", "old")

    def fail() -> None:
        with replacing(path) as part:
            part.write_text("new")
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_half_a_file_is_not_taken_for_one_of_its_kind(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.yaml") as part:
        assert part.suffix not in (".yaml", ".json", ".parquet")
        assert part.name.startswith("."), "readers of Parquet take whatever is in their folder"


def test_half_a_file_of_a_killed_process_goes_when_the_next_one_is_written(tmp_path: Path) -> None:
    with process_that_holds(WRITE, tmp_path / "a.yaml") as (process, left):
        process.kill()
        process.wait()
        assert left.read_text() == "half"
        other = write_text(tmp_path / "b.yaml", "whole")
    assert list(tmp_path.iterdir()) == [other]


def test_half_a_file_of_a_living_process_stays_however_old_it_is(tmp_path: Path) -> None:
    with process_that_holds(WRITE, tmp_path / "a.yaml") as (_, held):
        os.utime(held, (0, 0))
        write_text(tmp_path / "b.yaml", "whole")
        assert held.read_text() == "half"

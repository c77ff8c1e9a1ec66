"""Files that are written whole or not at all."""

from pathlib import Path

import pytest

from dueby_profiler.files import part_of, replacing, write_text


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
    assert part_of(tmp_path / "a.yaml").suffix not in (".yaml", ".json", ".parquet")

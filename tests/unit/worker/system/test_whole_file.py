"""Files that are written as a whole: in place of what was there, and with nothing left beside them."""

from pathlib import Path

import pytest

from dueby_worker.system.temporary_files import write_whole


def test_a_file_is_written_with_its_folders_and_in_place_of_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "models" / "small" / "noted.json"
    for data in (b"first", memoryview(b"second")):
        write_whole(file, data)
        assert file.read_bytes() == bytes(data)
        assert list(file.parent.iterdir()) == [file]


def test_what_can_not_be_written_leaves_the_file_before_it_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "noted.json"
    write_whole(file, b"before")
    with pytest.raises(TypeError):
        write_whole(file, "no bytes")  # type: ignore[arg-type]
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]

"""Reading a file of which nothing is known: whole, and never more than the caller takes."""

from io import FileIO
from pathlib import Path

import pytest

from dueby_worker.storage.local_store import open_regular, read_at_most
from dueby_worker.storage.store import BLOCK_BYTES, TooLarge


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 1])
def test_a_file_is_read_whole(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link"):
        with open_regular(str(tmp_path / name)) as file:
            assert read_at_most(file.fileno(), size, size=size) == data


def test_a_file_that_grows_while_it_is_read_is_read_up_to_the_limit() -> None:
    # Its size is 0, and there is always more of it.
    with FileIO("/dev/zero") as file, pytest.raises(TooLarge, match="it goes on, more than the limit of 5,000,000"):
        read_at_most(file.fileno(), 5_000_000, size=0)

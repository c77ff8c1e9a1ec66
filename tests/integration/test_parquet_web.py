"""Parquet files of images at a web server: by parts of files, which some servers can't send."""

from pathlib import Path

import pytest

from dueby_api.errors import Invalid
from dueby_worker.storage.stores import open_store
from support.index import index_of, read
from support.parquets import source_of, write_parquets
from support.web import Ranges, Whole, serving

FILES, IMAGES = 2, 25


@pytest.mark.parametrize(
    ("uri", "files"),
    [("/{000..001}.parquet", FILES), ("/000.parquet", 1), ("", FILES), ("/", FILES)],
    ids=["braces", "a file", "a folder", "a folder with its slash"],
)
@pytest.mark.parametrize("folder", ["", "/data", "/v1.0"])
def test_files_are_indexed_and_read(folder: str, uri: str, files: int, tmp_path: Path) -> None:
    write_parquets(tmp_path / f"site{folder}", FILES, images=IMAGES)
    if "." in folder and not uri:
        pytest.skip("a web server doesn't say what is a folder, and this could be a file")
    with serving(tmp_path / "site", Ranges) as url:
        images = list(read(index_of(source_of(f"{url}{folder}{uri}"), open_store(str(tmp_path / "sink")))))
    assert [image.uri for image in images] == [
        f"{url}{folder}/{file:03d}.parquet#{row}" for file in range(files) for row in range(IMAGES)
    ]
    assert not [image.error for image in images if image.error]


def test_a_server_that_sends_no_parts_is_refused(tmp_path: Path) -> None:
    write_parquets(tmp_path / "site", FILES, images=IMAGES)
    with serving(tmp_path / "site", Whole) as url:
        with pytest.raises(Invalid, match=r"000.parquet: its server sends no parts of files"):
            index_of(source_of(f"{url}/{{000..001}}.parquet"), open_store(str(tmp_path / "sink")))
        with pytest.raises(Invalid, match=r"002.parquet: "):
            index_of(source_of(f"{url}/002.parquet"), open_store(str(tmp_path / "sink")))

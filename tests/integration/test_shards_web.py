"""Tar shards at a web server: by parts of files, which some servers can't send."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dueby_api.errors import Invalid
from dueby_api.source import Source
from dueby_worker.storage.stores import open_store
from support.index import index_of, read
from support.tars import write_shards
from support.web import Ranges, Whole, serving

SHARDS, IMAGES = 2, 5


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a server of shards, of the kind that the test names."""
    write_shards(tmp_path / "site", SHARDS, images=IMAGES)
    with serving(tmp_path / "site", request.param) as url:
        yield url


@pytest.mark.parametrize("url", [Ranges], indirect=True)
def test_shards_are_indexed_and_read(url: str, tmp_path: Path) -> None:
    index = index_of(Source(uri=f"{url}/{{000..001}}.tar"), open_store(str(tmp_path / "sink")))
    images = list(read(index))
    assert [image.uri for image in images] == [
        f"{url}/{shard:03d}.tar#{shard:03d}/{number:04d}.jpg" for shard in range(SHARDS) for number in range(IMAGES)
    ]
    assert not [image.error for image in images if image.error]


@pytest.mark.parametrize("url", [Whole], indirect=True)
def test_a_server_that_sends_no_parts_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"000.tar: its server sends no parts of files"):
        index_of(Source(uri=f"{url}/{{000..001}}.tar"), open_store(str(tmp_path / "sink")))
    with pytest.raises(Invalid, match=r"002.tar: "):
        index_of(Source(uri=f"{url}/002.tar"), open_store(str(tmp_path / "sink")))

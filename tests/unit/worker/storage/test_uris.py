"""Paths of what is in a folder of a store."""

import pytest

from dueby_worker.storage.uris import below


@pytest.mark.parametrize(
    ("folder", "name", "path"),
    [
        pytest.param("a/b", "c.jpg", "a/b/c.jpg", id="in a folder"),
        pytest.param("", "c.jpg", "c.jpg", id="in the root"),
        pytest.param("", "/c.jpg", "/c.jpg", id="in the root of a bucket, by a key that begins with a slash"),
        pytest.param("/a", "c.jpg", "/a/c.jpg", id="in a folder whose name begins with a slash"),
    ],
)
def test_what_is_in_a_folder_has_this_path(folder: str, name: str, path: str) -> None:
    assert below(folder, name) == path

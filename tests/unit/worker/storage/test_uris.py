"""Paths of what is in a folder of a store, and what a name in a list of images means."""

import pytest

from dueby_worker.storage.uris import below, resolver


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


@pytest.mark.parametrize(
    ("folder", "name", "uri"),
    [
        pytest.param("s3://b/in", "a.jpg", "s3://b/in/a.jpg", id="in the list's folder"),
        pytest.param("s3://b", "a.jpg", "s3://b/a.jpg", id="in the root of the list's bucket"),
        pytest.param("s3://b/in", "../x/./a.jpg", "s3://b/x/a.jpg", id="beside the list's folder"),
        pytest.param("s3://b/in", "../../a.jpg", "s3://b/a.jpg", id="above the root, which is the root"),
        pytest.param("s3://b/in", "x//a.jpg", "s3://b/in/x//a.jpg", id="a key with an empty name"),
        pytest.param("s3://b/in/", "a.jpg", "s3://b/in//a.jpg", id="in a folder whose name is empty"),
        pytest.param("file:///in", "x//../a.jpg", "file:///in/a.jpg", id="a file"),
    ],
)
def test_a_name_in_a_list_is_relative_to_its_folder(folder: str, name: str, uri: str) -> None:
    assert resolver(folder)(name) == uri

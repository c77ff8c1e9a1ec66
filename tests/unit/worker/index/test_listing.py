"""Listing a source: folders and globs give the right images, and each mistake in them a clear message."""

import contextlib
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.errors import Invalid
from dueby_api.source import Source
from dueby_worker.index.frozen_index import find_index
from dueby_worker.index.globs import select
from dueby_worker.index.listing import Unlisted
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import file_uri
from support.index import build, index_of, names_of, write_files


@pytest.fixture
def sink(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


FOLDER = [
    "b.jpg",
    "a.JPEG",
    "a-1.png",
    "sub/c.webp",
    "sub/deep/d.gif",
    "e.tif",
    "notes.txt",
    ".hidden.jpg",
    ".git/f.jpg",
    "sub.jpg",
]


def test_a_folder_gives_its_images_at_any_depth_in_order(tmp_path: Path, sink: Store) -> None:
    write_files(tmp_path / "in", *FOLDER)
    index = index_of(Source(uri=str(tmp_path / "in")), sink)
    assert names_of(index, tmp_path / "in") == [
        "a-1.png", "a.JPEG", "b.jpg", "e.tif", "sub.jpg", "sub/c.webp", "sub/deep/d.gif",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("others", "said"),
    [
        pytest.param([], "1 .txt", id="one"),
        pytest.param(["README", "b.TXT", "c.csv", ".nomedia"], "2 .txt, 1 .csv, 1 without an ending", id="several"),
        pytest.param(["x.\x1b[31m", "y.averyveryverylongending"], "1 .txt, 2 without an ending", id="odd names"),
        pytest.param([f"{n}.e{n}" for n in range(6)], "1 .e0, 1 .e1, 1 .e2, 1 .e3, 1 .e4, 2 others", id="many kinds"),
    ],
)
def test_files_that_are_no_images_by_their_endings_are_counted(
    tmp_path: Path, sink: Store, others: list[str], said: str
) -> None:
    write_files(tmp_path / "in", *FOLDER, *others)
    assert index_of(Source(uri=str(tmp_path / "in")), sink).document.summary.unlisted == said


def test_a_glob_leaves_out_what_it_is_told_to(tmp_path: Path, sink: Store) -> None:
    write_files(tmp_path / "in", *FOLDER)
    assert index_of(Source(uri=f"{tmp_path}/in/*.jpg"), sink).document.summary.unlisted == ""


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        pytest.param("*.jpg", ["b.jpg", "sub.jpg"], id="a star stays in its folder and leaves hidden files"),
        pytest.param("**/*.gif", ["sub/deep/d.gif"], id="two stars are any number of folders"),
        pytest.param("**/*.jpg", ["b.jpg", "sub.jpg"], id="or none, and no hidden ones"),
        pytest.param("s**", ["sub.jpg"], id="unless they are not a whole name"),
        pytest.param("sub/**", ["sub/c.webp", "sub/deep/d.gif"], id="two stars alone are everything below"),
        pytest.param("sub/*", ["sub/c.webp"], id="a star after a folder"),
        pytest.param("?.jpg", ["b.jpg"], id="a question mark is one character"),
        pytest.param("[ab]*.*", ["a-1.png", "a.JPEG", "b.jpg"], id="brackets are one of their characters"),
        pytest.param("[!ab]*.jpg", ["sub.jpg"], id="or none of them"),
        pytest.param("*.{jpg,tif}", ["b.jpg", "e.tif", "sub.jpg"], id="braces are one of their texts"),
        pytest.param(".hidden.*", [".hidden.jpg"], id="a dot finds hidden files"),
        pytest.param("b.jpg", ["b.jpg"], id="one file"),
    ],
)
def test_a_glob_gives_what_it_says(tmp_path: Path, sink: Store, glob: str, names: list[str]) -> None:
    write_files(tmp_path / "in", *FOLDER)
    index = index_of(Source(uri=f"{tmp_path}/in/{glob}"), sink)
    assert names_of(index, tmp_path / "in") == names


@given(st.text("ab*?[]{}!,./-\\^&~|", max_size=12))
def test_any_text_is_a_glob_or_refused(glob: str) -> None:
    with contextlib.suppress(ValueError):
        assert ("a.jpg" in select(glob)) in (True, False)


@pytest.mark.parametrize(
    "name", ["ä ö.jpg", "100%.jpg", "a#b?c.jpg", "photos [2020]/a.jpg", "{x}.jpg", "\udcff\udcfe.jpg"]
)
def test_any_file_name_has_a_uri_that_is_read_again(tmp_path: Path, sink: Store, name: str) -> None:
    write_files(tmp_path / "in", name)
    index = index_of(Source(uri=str(tmp_path / "in")), sink)
    assert index.document.summary.input_cost.sampled == 1
    assert index.uris(0, 0) == [file_uri(str(tmp_path / "in" / name))]


def test_a_glob_of_folders_is_refused() -> None:
    with pytest.raises(ValueError, match="ends with /, so it can only match folders"):
        select("photos/*/")


def test_a_folder_with_brackets_in_its_name_is_no_glob(tmp_path: Path, sink: Store) -> None:
    write_files(tmp_path / "photos [2020]", "a.jpg")
    assert index_of(Source(uri=str(tmp_path / "photos [2020]")), sink).images == 1


def test_a_bare_path_is_relative_to_the_working_directory(
    tmp_path: Path, sink: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "in", "a.jpg")
    monkeypatch.chdir(tmp_path)
    assert index_of(Source(uri="in"), sink).uris(0, 0) == [file_uri(f"{tmp_path}/in/a.jpg")]


def test_links_are_followed_but_not_in_circles(tmp_path: Path, sink: Store) -> None:
    write_files(tmp_path / "elsewhere", "a.jpg")
    write_files(tmp_path / "in", "b.jpg")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "circle").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "c.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    index = index_of(Source(uri=str(tmp_path / "in")), sink)
    assert names_of(index, tmp_path / "in") == ["b.jpg", "c.jpg", "linked/a.jpg"]


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        pytest.param(
            "{}/nowhere", r"spec.source.uri: file://.*/nowhere: there is no such folder$", id="no such folder"
        ),
        pytest.param(
            "{}/nowhere/*.jpg", r"spec.source.uri: .*: there is no such folder$", id="a glob in no such folder"
        ),
        pytest.param(
            "{}/empty", r"there are no images: no file below .*/empty has an image's extension", id="an empty folder"
        ),
        pytest.param(
            "{}/empty/*.jpg", r"there are no images: nothing matches .*/empty/\*.jpg", id="a glob without a match"
        ),
        pytest.param("{}/a[.jpg", r"spec.source.uri: .*: has a \[ without its \]$", id="an open bracket"),
        pytest.param("{}/*.{{jpg", r"spec.source.uri: .*: has a { without its }$", id="an open brace"),
        pytest.param(
            "{}/list.txt",
            r"list.txt: is a single file without an image's extension; "
            r"if it is a list of images, name it in spec\.source\.manifest\.uri$",
            id="a manifest as a folder",
        ),
        pytest.param(
            "ftp://host/x",
            r"spec.source.uri: ftp:// is not supported; use one of file, s3, gs, az, http, https, or",
            id="no such scheme",
        ),
        pytest.param("s3://", r"spec.source.uri: 's3://' has no bucket after s3://$", id="no bucket"),
    ],
)
def test_a_source_that_can_not_be_listed_is_refused(tmp_path: Path, sink: Store, uri: str, sentence: str) -> None:
    write_files(tmp_path, "list.txt", "empty/notes.txt", data=b"a.jpg")
    with pytest.raises(Invalid, match=sentence):
        build(Source(uri=uri.format(tmp_path)), sink)
    assert find_index(sink) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path, sink: Store) -> None:
    write_files(tmp_path / "in", "a.jpg", "closed/b.jpg")
    (tmp_path / "in" / "closed").chmod(0)
    with pytest.raises(Invalid, match=r"^spec.source.uri: .*closed can't be listed: permission denied$"):
        build(Source(uri=str(tmp_path / "in")), sink)


def test_files_with_an_ending_each_are_counted_without_remembering_all_endings() -> None:
    unlisted = Unlisted()
    tracemalloc.start()
    for number in range(20_000):
        unlisted.add(f"scans/1.2.840.{number}")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(unlisted) == "1 .0, 1 .1, 1 .10, 1 .100, 1 .101, 19,995 others"
    assert peak < 2**20

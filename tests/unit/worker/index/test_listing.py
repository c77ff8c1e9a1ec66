"""Listing a source: folders, globs and manifests give the right images, and each mistake in them a clear message."""

import contextlib
import csv
import io
import os
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.errors import Invalid
from dueby_api.inference_job import Manifest, Source
from dueby_worker.index.frozen_index import find_index
from dueby_worker.index.globs import select
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import file_uri
from support.index import JPEG, build, index_of, names_of, write_files
from support.pictures import write_photos


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


def as_text(uris: list[str]) -> bytes:
    return "\n".join(uris).encode()


def as_text_of_windows(uris: list[str]) -> bytes:
    return b"\xef\xbb\xbf" + "\r\n\r\n".join(f" {uri} " for uri in uris).encode() + b"\r\n"


def as_csv(uris: list[str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerows([["label", "uri"], *(["cat, black", uri] for uri in uris)])
    return text.getvalue().encode()


def as_parquet(uris: list[str]) -> bytes:
    data = io.BytesIO()
    column = pa.array(uris).dictionary_encode()
    pq.write_table(pa.table({"label": range(len(uris)), "uri": column}), data, row_group_size=2)
    return data.getvalue()


MANIFESTS: dict[str, Callable[[list[str]], bytes]] = {
    "m.txt": as_text,
    "windows.txt": as_text_of_windows,
    "m.csv": as_csv,
    "m.parquet": as_parquet,
    "no-extension": as_parquet,
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_gives_its_rows_sorted_and_doubles_stay(tmp_path: Path, sink: Store, name: str) -> None:
    write_files(tmp_path / "in", "b.jpg", "a.jpg", "sub/c.jpg")
    rows = ["b.jpg", f"file://{tmp_path}/in/a.jpg", "sub/../b.jpg", str(tmp_path / "in/sub/c.jpg"), "s3://bucket/z.jpg"]
    write_files(tmp_path / "in", name, data=MANIFESTS[name](rows))
    index = index_of(Source(manifest=Manifest(uri=str(tmp_path / "in" / name))), sink, limit=4)
    assert names_of(index, tmp_path / "in") == ["a.jpg", "b.jpg", "b.jpg", "sub/c.jpg"]


def test_the_order_of_a_manifest_does_not_matter(tmp_path: Path) -> None:
    paths = [str(path) for path in write_photos(tmp_path / "in", 20)]
    digests = set()
    for number in range(3):
        random.Random(number).shuffle(paths)
        write_files(tmp_path, f"{number}.txt", data=as_text(paths))
        sink = open_store(str(tmp_path / f"sink{number}"))
        digests.add(build(Source(manifest=Manifest(uri=str(tmp_path / f"{number}.txt"))), sink).digest)
    digests.add(build(Source(uri=str(tmp_path / "in")), open_store(str(tmp_path / "sink"))).digest)
    assert len(digests) == 1


REFUSED_MANIFESTS = [
    pytest.param("m.txt", b"", r"m.txt has no rows", id="empty text"),
    pytest.param("m.txt", b"\n \n", r"m.txt has no rows", id="blank lines"),
    pytest.param("m.txt", b"a.jpg\n\0\1\2", r"line 2 is not text; a manifest is a text file", id="zeros in a text"),
    pytest.param("m.txt", JPEG, r"is not UTF-8 text after line 0; a manifest is a text file", id="a photo as a text"),
    pytest.param(
        "m.txt",
        b"a.jpg\nftp://host/b.jpg",
        r"line 2: ftp:// is not supported; use one of file, s3",
        id="a scheme that isn't read",
    ),
    pytest.param("m.txt", b"s3:///b.jpg", r"line 1: 's3:///b.jpg' has no bucket after s3://", id="no bucket"),
    pytest.param(
        "m.txt", b"file://host/b.jpg", r"line 1: 'file://host/b.jpg' is not the URI of a file on", id="a file elsewhere"
    ),
    pytest.param(
        "m.csv", b"url,label\na.jpg,1\n", r"has no column `uri`; there are url, label", id="CSV without the column"
    ),
    pytest.param("m.csv", b"", r"has no column `uri`; it is empty", id="empty CSV"),
    pytest.param("m.csv", b"uri\n", r"m.csv has no rows", id="CSV without rows"),
    pytest.param("m.csv", b"label,uri\ncat,a.jpg\ndog\n", r"line 3 has no uri", id="CSV with a row without one"),
    pytest.param("m.csv", b'uri\n"a.jpg', r"line 2: unexpected end of data", id="CSV with an open quote"),
    pytest.param("m.csv", b"uri\n\xff\n", r"is not UTF-8 text", id="CSV that isn't UTF-8"),
    pytest.param(
        "m.parquet",
        b"uri\na.jpg",
        r"m.parquet is not a Parquet file, although its name says so",
        id="text named Parquet",
    ),
    pytest.param("m.parquet", as_parquet(["a.jpg"])[:-9], r"can't be read as Parquet: ", id="truncated Parquet"),
    pytest.param("m.parquet", b"PAR1" + b"\0" * 99 + b"PAR1", r"can't be read as Parquet: ", id="Parquet in name only"),
]


@pytest.mark.parametrize(("name", "data", "sentence"), REFUSED_MANIFESTS)
def test_a_manifest_with_a_mistake_is_refused(
    tmp_path: Path, sink: Store, name: str, data: bytes, sentence: str
) -> None:
    write_files(tmp_path, name, data=data)
    with pytest.raises(Invalid, match=sentence) as caught:
        build(Source(manifest=Manifest(uri=str(tmp_path / name))), sink)
    assert caught.value.field == "spec.source.manifest.uri"
    assert "\n" not in str(caught.value)
    assert find_index(sink) is None


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        pytest.param({"url": ["a.jpg"]}, "has no column `uri`; there are url", id="without the column"),
        pytest.param({"uri": ["a.jpg", None]}, "row 2 has no uri", id="with a null"),
        pytest.param({"uri": [["a.jpg"]]}, "can't be read as Parquet: ", id="with lists"),
    ],
)
def test_a_parquet_manifest_with_a_mistake_is_refused(
    tmp_path: Path, sink: Store, table: dict[str, list[object]], sentence: str
) -> None:
    pq.write_table(pa.table(table), tmp_path / "m.parquet")
    with pytest.raises(Invalid, match=sentence):
        build(Source(manifest=Manifest(uri=str(tmp_path / "m.parquet"))), sink)


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
            r"spec.source.uri: ftp:// is not supported; use one of file, s3, gs, http, https, or",
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


def test_a_manifest_that_is_not_there_is_refused(tmp_path: Path, sink: Store) -> None:
    with pytest.raises(Invalid, match=r"^spec.source.manifest.uri: file://.*/m.txt: there is no such file$"):
        build(Source(manifest=Manifest(uri=str(tmp_path / "m.txt"))), sink)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path, sink: Store) -> None:
    write_files(tmp_path / "in", "a.jpg", "closed/b.jpg")
    (tmp_path / "in" / "closed").chmod(0)
    with pytest.raises(Invalid, match=r"^spec.source.uri: .*closed can't be listed: permission denied$"):
        build(Source(uri=str(tmp_path / "in")), sink)

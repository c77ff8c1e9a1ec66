"""Tar shards as a source: which tars a URI names, their images in their order, and what is wrong with some."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from dueby_api.errors import Invalid
from dueby_api.source import Source
from dueby_worker.images.decode import decode_image
from dueby_worker.images.fetch import READERS
from dueby_worker.index.frozen_index import Index
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import file_uri
from support.index import build, index_of, read
from support.pictures import SMALL
from support.tars import jpeg, linked, tar_of, write_shards


@pytest.fixture
def sink(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "in"


def labels_of(index: Index, folder: Path) -> list[str]:
    return [uri.removeprefix(file_uri(str(folder)) + "/") for uri in index.uris(0, index.images - 1)]


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        pytest.param("{000..002}.tar", [0, 1, 2], id="braces"),
        pytest.param("{002..000}.tar", [2, 1, 0], id="braces that count down"),
        pytest.param("{001,000}.tar", [1, 0], id="alternatives"),
        pytest.param("*.tar", [0, 1, 2], id="a glob"),
        pytest.param("{2,0}*.tar", [0, 1], id="a glob in braces, one of which matches nothing"),
        pytest.param("001.tar", [1], id="one tar"),
    ],
)
def test_images_come_in_the_order_of_the_shards(folder: Path, sink: Store, uri: str, wanted: list[int]) -> None:
    names = write_shards(folder, 3, images=5)
    if "2,0" in uri:
        (folder / "002.tar").unlink()
    index = index_of(Source(uri=f"{folder}/{uri}"), sink)
    assert labels_of(index, folder) == [f"{shard:03d}.tar#{name}" for shard in wanted for name in names[shard]]
    decoded = list(read(index))
    assert [image.index for image in decoded] == list(range(5 * len(wanted)))
    for image, number in zip(decoded, [shard * 5 + at for shard in wanted for at in range(5)]):
        assert image.pixels is not None
        assert np.array_equal(image.pixels, decode_image(jpeg(number), SMALL).pixels)


def test_a_limit_takes_the_first_images(folder: Path, sink: Store) -> None:
    names = write_shards(folder, 40, images=2)
    index = index_of(Source(uri=f"{folder}/{{000..039}}.tar"), sink, limit=3)
    assert labels_of(index, folder) == [f"000.tar#{name}" for name in names[0]] + [f"001.tar#{names[1][0]}"]


def test_the_order_is_the_tars_own_and_a_name_may_come_twice(folder: Path, sink: Store) -> None:
    folder.mkdir()
    names = ["b.jpg", "a.JPG", "b.jpg", "../up.png", "/etc/root.jpg", "./x/y.jpeg", "caf\u00e9 #1.jpg"]
    members = [(name, jpeg(number)) for number, name in enumerate(names)]
    hidden = [("._a.jpg", b""), ("x/.thumbs/y.jpg", b""), ("notes.txt", b"no image"), ("jpg", b"")]
    (folder / "a.tar").write_bytes(tar_of([*members, *hidden, (linked("d.jpg", tarfile.DIRTYPE, ""), b"")]))
    index = index_of(Source(uri=str(folder / "a.tar")), sink)
    labels = ["b.jpg", "a.JPG", "b.jpg", "../up.png", "/etc/root.jpg", "./x/y.jpeg", "caf%C3%A9%20%231.jpg"]
    assert labels_of(index, folder) == [f"a.tar#{label}" for label in labels]
    for number, image in enumerate(read(index)):
        assert image.pixels is not None
        assert np.array_equal(image.pixels, decode_image(jpeg(number), SMALL).pixels)


def test_an_image_with_a_fault_gets_its_error(folder: Path, sink: Store) -> None:
    folder.mkdir()
    (folder / "a.tar").write_bytes(tar_of([("a.jpg", jpeg(0)), ("b.jpg", b""), ("c.jpg", b"no"), ("d.jpg", jpeg(1))]))
    index = index_of(Source(uri=str(folder / "a.tar")), sink)
    assert [image.error is None for image in read(index)] == [True, False, False, True]
    assert index.document.summary.input_cost.unreadable == 2


GOOD = [("a.jpg", jpeg(0)), ("b.jpg", jpeg(1))]
TAR = tar_of(GOOD)
SECOND = TAR.index(b"b.jpg")
SPARSE = linked("s.jpg", tarfile.GNUTYPE_SPARSE, "")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(TAR[: SECOND + 700], "a.tar: is cut off: 'b.jpg' ends at byte", id="cut in a photo"),
        pytest.param(TAR[: SECOND + 200], f"a.tar: is no tar, or is damaged at byte {SECOND:,}", id="cut in a header"),
        pytest.param(b"", "a.tar: is no tar, or is damaged at byte 0 .empty file.", id="an empty file"),
        pytest.param(b"\x1f\x8b" + bytes(2000), "a.tar: is compressed, although", id="compressed in secret"),
        pytest.param(b"\xff\xd8" * 2000, "a.tar: is no tar, or is damaged at byte 0", id="a photo"),
        pytest.param(
            tar_of([*GOOD, (linked("l.jpg", tarfile.LNKTYPE, "a.jpg"), b"")]),
            "a.tar: 'l.jpg' in it is a hard link, not a plain file; make the tar with --dereference",
            id="a hard link",
        ),
        pytest.param(
            tar_of([(linked("l.jpg", tarfile.SYMTYPE, "/etc/passwd"), b"")]), "is a symbolic link", id="a symbolic link"
        ),
        pytest.param(tar_of([(SPARSE, b"")]), "'s.jpg' in it is sparse, not", id="a sparse file"),
        pytest.param(tar_of([("a.txt", b"")]), "a.tar means no tar, or none in which a name has", id="without images"),
    ],
)
def test_a_shard_with_a_fault_is_refused_by_name(folder: Path, sink: Store, data: bytes, sentence: str) -> None:
    folder.mkdir()
    (folder / "a.tar").write_bytes(data)
    with pytest.raises(Invalid, match=sentence) as caught:
        build(Source(uri=str(folder / "a.tar")), sink)
    assert caught.value.field == "spec.source.uri"


def test_a_header_that_is_damaged_is_not_the_end_of_the_tar(folder: Path, sink: Store) -> None:
    folder.mkdir()
    data = bytearray(tar_of([*GOOD, ("c.jpg", jpeg(2))]))
    at = data.index(b"b.jpg")
    data[at + 100] ^= 1
    (folder / "a.tar").write_bytes(data)
    with pytest.raises(Invalid, match=f"is no tar, or is damaged at byte {at:,}"):
        build(Source(uri=str(folder / "a.tar")), sink)


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        pytest.param("{000..003}.tar", r"003.tar: there is no such file", id="a missing shard"),
        pytest.param("{0..9999999}.tar", r"means 10,000,000 tars, more than 1,000,000", id="too many"),
        pytest.param("{000.tar,001.zip}", r"001.zip isn't named .tar, and the first one is", id="another kind of file"),
        pytest.param("{000.tar,001.jpg", r"has a \{ without its \}", id="an open brace"),
        pytest.param("0*.tar.gz", r"is compressed: .* unpack the file to a plain .tar", id="compressed"),
        pytest.param("{000..003}.TGZ", r"is compressed: ", id="compressed, by another name"),
        pytest.param("x*.tar", r"means no tar, or none in which", id="a glob that matches nothing"),
    ],
)
def test_a_uri_that_is_wrong_is_refused(folder: Path, sink: Store, uri: str, sentence: str) -> None:
    write_shards(folder, 3, images=1)
    with pytest.raises(Invalid, match=sentence) as caught:
        build(Source(uri=f"{folder}/{uri}"), sink)
    assert caught.value.field == "spec.source.uri"


def test_braces_in_a_tars_name_are_no_pattern(folder: Path, sink: Store) -> None:
    folder.mkdir()
    (folder / "{0..1}.tar").write_bytes(tar_of(GOOD))
    assert index_of(Source(uri=f"{folder}/{{0..1}}.tar"), sink).images == 2


def test_an_empty_shard_has_no_images_and_the_others_have(folder: Path, sink: Store) -> None:
    write_shards(folder, 2, images=3)
    (folder / "000.tar").write_bytes(tar_of([]))
    index = index_of(Source(uri=f"{folder}/*.tar"), sink)
    assert index.images == 3


def test_the_same_shards_by_another_name_are_the_same_index(folder: Path, sink: Store) -> None:
    write_shards(folder, 2, images=3)
    first = build(Source(uri=f"{folder}/*.tar"), sink)
    assert build(Source(uri=f"{folder}/{{000..001}}.tar"), sink) == first
    (folder / "001.tar").write_bytes(tar_of([("001/0000.jpg", jpeg(9))]))
    assert build(Source(uri=f"{folder}/*.tar"), sink, replace=True).digest != first.digest


def test_more_shards_than_are_listed_side_by_side(folder: Path, sink: Store) -> None:
    names = write_shards(folder, 2 * READERS + 3, images=1)
    index = index_of(Source(uri=f"{folder}/*.tar"), sink)
    assert labels_of(index, folder) == [f"{shard:03d}.tar#{name[0]}" for shard, name in enumerate(names)]

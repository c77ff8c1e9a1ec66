"""A source that is not as it was when the sink was begun: what differs is reported."""

from pathlib import Path

import pytest

from dueby_api.errors import Invalid
from dueby_api.source import ListedSource, Source
from dueby_worker.images.members import TarMember
from dueby_worker.index.build import build_index
from dueby_worker.index.frozen_index import Index
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from support.index import HURRIED, JPEG, build, names_of
from support.pictures import SMALL, write_photos
from support.tars import tar_of


@pytest.fixture
def sink(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


def test_images_that_the_source_has_no_longer_are_told_of(tmp_path: Path, sink: Store) -> None:
    write_photos(tmp_path / "in", 5)
    source = Source(uri=str(tmp_path / "in"))
    build(source, sink)
    (tmp_path / "in" / "00000.jpg").unlink()
    with pytest.raises(
        Invalid, match=r"the source has 4 images, the results in .* are for 4 of them and for 1 other: sink.* keeps"
    ):
        build(source, sink)


def test_tars_that_grew_and_tars_that_were_written_again_are_told_apart(tmp_path: Path, sink: Store) -> None:
    (tmp_path / "0.tar").write_bytes(tar_of([("b.jpg", JPEG), ("a.jpg", JPEG)]))
    source = Source(uri=str(tmp_path / "*.tar"))
    build(source, sink)
    (tmp_path / "1.tar").write_bytes(tar_of([("a.jpg", JPEG)]))
    with pytest.raises(
        Invalid, match=r"the source has 3 images, the results in .* are for 2 of them: .* classifies the 1 that is new"
    ):
        build(source, sink)
    (tmp_path / "1.tar").unlink()
    (tmp_path / "0.tar").write_bytes(tar_of([("b.jpg", JPEG + b"0"), ("a.jpg", JPEG)]))
    with pytest.raises(Invalid, match=r"files of spec\.source\.uri were written again since the results in"):
        build(source, sink)


def add(source: Source, sink: Store, *, generation: int = 2, limit: int | None = None) -> Index | None:
    """Build the index of what is new."""
    return build_index(
        source, sink, limit=limit, preprocessing=SMALL, replace=True, generation=generation, retry=HURRIED
    )


def test_what_is_new_in_tars_is_found_in_their_order_and_where_it_is(tmp_path: Path, sink: Store) -> None:
    (tmp_path / "0.tar").write_bytes(tar_of([("b.jpg", JPEG), ("a.jpg", JPEG)]))
    source = Source(uri=str(tmp_path / "*.tar"))
    build(source, sink)
    (tmp_path / "1.tar").write_bytes(tar_of([("c.jpg", JPEG), ("a.jpg", JPEG), ("b.jpg", JPEG)]))
    added = add(source, sink)
    assert added is not None
    assert names_of(added, tmp_path) == ["1.tar#c.jpg", "1.tar#a.jpg", "1.tar#b.jpg"]
    assert added.document.first_image == 2
    assert added.member_of is not None
    second = added.member_of(1)
    assert isinstance(second, TarMember)
    assert (tmp_path / "1.tar").read_bytes()[second.offset :][: second.length] == JPEG
    assert add(source, sink, generation=3) is None


def test_what_is_new_is_taken_up_to_the_limit_and_the_rest_the_next_time(tmp_path: Path, sink: Store) -> None:
    write_photos(tmp_path / "in", 2)
    source = Source(uri=str(tmp_path / "in"))
    build(source, sink)
    write_photos(tmp_path / "in", 7)
    for generation, images in ((2, 3), (3, 2)):
        added = add(source, sink, generation=generation, limit=3)
        assert added is not None
        assert added.images == images
    assert add(source, sink, generation=4, limit=3) is None


def test_new_rows_of_a_list_keep_the_columns_of_those_before(tmp_path: Path, sink: Store) -> None:
    write_photos(tmp_path / "in", 4)
    (listed := tmp_path / "list.csv").write_text("uri,label\nin/00001.jpg,7\nin/00003.jpg,8\n")
    source = Source(manifest=ListedSource(uri=str(listed)), keep=("label",))
    build(source, sink)
    listed.write_text("uri,label\nin/00000.jpg,5\nin/00001.jpg,7\nin/00002.jpg,6\nin/00003.jpg,8\n")
    added = add(source, sink)
    assert added is not None
    _, columns = added.described(0, 1)
    assert {name: column.to_pylist() for name, column in columns.items()} == {
        "name": ["in/00000.jpg", "in/00002.jpg"],
        "label": [5, 6],
    }
    listed.write_text("uri,label\nin/00000.jpg,cat\nin/00001.jpg,dog\nin/00004.jpg,cow\n")
    write_photos(tmp_path / "in", 5)
    with pytest.raises(Invalid, match=r"keep label \(int64\) of the source, now label \(string\); set source.keep as"):
        add(source, sink, generation=3)

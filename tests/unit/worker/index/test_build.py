"""A source that is not as it was when the sink was begun: what differs is told of."""

from pathlib import Path

import pytest

from dueby_api.errors import Invalid
from dueby_api.source import Source
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from support.index import JPEG, build
from support.pictures import write_photos
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

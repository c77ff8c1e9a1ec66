"""A source of which no sampled image can be read is refused with the first error, unless the job says otherwise."""

from pathlib import Path

import pytest

from dueby_api.errors import Invalid
from dueby_api.source import ListedSource, Source
from dueby_worker.storage.stores import open_store
from support.index import build, index_of, write_files


def source_of(folder: Path, kind: str) -> Source:
    """A source without an image that can be read."""
    if kind == "files that are no images":
        write_files(folder, "a.jpg", "b.jpg", data=b"not a photo")
        return Source(uri=str(folder))
    write_files(folder, "list.txt", data=b"a.jpg;cat\nb.jpg;dog\n")
    return Source(manifest=ListedSource(uri=str(folder / "list.txt")))


@pytest.mark.parametrize(
    ("kind", "field", "reason"),
    [
        ("files that are no images", "spec.source.uri", "It is not an image of a known format"),
        ("a list whose lines are no URIs", "spec.source.manifest.uri", "there is no such file"),
    ],
)
def test_a_source_without_a_readable_image_is_refused_and_leaves_nothing(
    tmp_path: Path, kind: str, field: str, reason: str
) -> None:
    source, sink = source_of(tmp_path / "in", kind), open_store(str(tmp_path / "sink"))
    with pytest.raises(Invalid) as caught:
        build(source, sink)
    assert caught.value.field == field
    assert "none of 2 sampled images can be read; file://" in caught.value.message
    assert reason in caught.value.message
    assert "set source.allowUnreadable: true" in caught.value.message
    assert not (tmp_path / "sink").exists()

    index = index_of(source.replace(allow_unreadable=True), sink)
    assert (index.images, index.document.summary.input_cost.unreadable) == (2, 2)
    assert build(source, sink) == index.document.summary

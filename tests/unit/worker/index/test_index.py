"""The frozen index: it is made once, read in pieces, and belongs to one source; the sample of its images."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dueby_api.errors import Invalid, Transient
from dueby_api.source import ListedSource, Source, Synthetic
from dueby_worker.index.build import build_index
from dueby_worker.index.chunks import Row, columns_of, table_of
from dueby_worker.index.frozen_index import DOCUMENT, chunk_path, find_index, open_index, resolve_index
from dueby_worker.index.sampling import choose
from dueby_worker.storage.local_store import LocalStore
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import file_uri
from support.index import build, index_of
from support.pictures import SMALL, write_photos


@pytest.fixture
def sink(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


@pytest.mark.parametrize(("limit", "images"), [(None, 7), (3, 3), (7, 7), (100, 7)])
def test_n_is_the_count_or_the_limit(tmp_path: Path, sink: Store, limit: int | None, images: int) -> None:
    write_photos(tmp_path / "in", 7)
    assert build(Source(uri=str(tmp_path / "in")), sink, limit=limit).images == images


def test_the_summary_is_the_same_when_it_is_read_again(tmp_path: Path, sink: Store) -> None:
    write_photos(tmp_path / "in", 5)
    summary = build(Source(uri=str(tmp_path / "in")), sink)
    assert open_index(sink).document.summary == summary
    assert set(summary.document()) == {"images", "digest", "inputCost", "unlisted", "kept"}
    assert set(summary.document()["inputCost"]) == {
        "decodeMicros", "getMicros", "bytesPerImage", "bandwidthBytesPerSecond", "sampled", "unreadable",
    }  # fmt: skip


def test_an_index_is_made_once_by_a_job_and_of_the_same_images_by_others(tmp_path: Path, sink: Store) -> None:
    write_photos(tmp_path / "in", 5)
    source = Source(uri=str(tmp_path / "in"))
    first = build(source, sink)
    write_photos(tmp_path / "in", 9)
    assert build(source, sink, is_own=True) == first
    with pytest.raises(Invalid, match=r"the source has 9 images, the results in .*sink are for 5 of them: sink"):
        build(source, sink)
    assert build(source, sink, replace=True).images == 9
    assert open_index(sink).images == 9


def test_an_index_of_another_source_is_refused(tmp_path: Path, sink: Store) -> None:
    write_photos(tmp_path / "in", 5)
    write_photos(tmp_path / "other", 5)
    build(Source(uri=str(tmp_path / "in")), sink)
    with pytest.raises(
        Invalid, match=r"the source has 5 images, the results in .* are for 0 of them and for 5 others:"
    ):
        build(Source(uri=str(tmp_path / "other")), sink)
    with pytest.raises(
        Invalid, match=r"has 2 images up to spec\.images: 2, the results .* for 2 of them and for 3 others"
    ):
        build(Source(uri=str(tmp_path / "in")), sink, limit=2)


def test_the_same_images_by_another_name_or_limit_are_the_same_index(tmp_path: Path, sink: Store) -> None:
    write_photos(tmp_path / "in", 5)
    source, other = Source(uri=str(tmp_path / "in")), Source(uri=str(tmp_path / "in" / "*.jpg"))
    first = build(source, sink)
    assert build(source, sink, limit=5) == first
    assert build(source, sink, limit=100) == first
    assert build(other, sink) == first
    # Workers compare their job's source with it.
    assert resolve_index(other, sink, images=5, preprocessing=SMALL).digest == first.digest
    write_photos(tmp_path / "in", 6)
    with pytest.raises(Invalid, match=r"has 6 images up to spec\.images: 6, the results .* for 5 of them"):
        build(source, sink, limit=6)


def test_a_worker_does_not_take_the_index_of_another_source(tmp_path: Path, sink: Store) -> None:
    sources = [Source(uri=str(tmp_path / name)) for name in ("in", "other")]
    write_photos(tmp_path / "in", 5)
    build(sources[0], sink)
    assert resolve_index(sources[0], sink, images=5, preprocessing=SMALL).images == 5
    with pytest.raises(Invalid, match="holds the index of another source"):
        resolve_index(sources[1], sink, images=5, preprocessing=SMALL)


def test_an_index_step_that_was_killed_before_its_last_write_is_made_again(tmp_path: Path, sink: Store) -> None:
    write_photos(tmp_path / "in", 5)
    build(Source(uri=str(tmp_path / "in")), sink)
    sink.delete(DOCUMENT)
    assert find_index(sink) is None
    assert index_of(Source(uri=str(tmp_path / "in")), sink).images == 5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(b"{", r"index.json is not JSON", id="not JSON"),
        pytest.param(b"[" * 200_000, r"index.json is not JSON", id="nested too deep"),
        pytest.param(json.dumps({"format": 1}).encode(), r"index.json: source: is missing", id="another document"),
    ],
)
def test_a_damaged_index_is_said_to_be_one(sink: Store, text: bytes, sentence: str) -> None:
    sink.replace(DOCUMENT, text)
    with pytest.raises(Invalid, match=sentence):
        open_index(sink)


def test_a_sink_without_an_index_says_so(sink: Store) -> None:
    with pytest.raises(Invalid, match=r"has no index: it was emptied while the job ran; delete what is left of it, or"):
        open_index(sink)


def others_rows() -> bytes:
    """A whole file of an index, with as many rows, of which one is another."""
    buffer = io.BytesIO()
    rows = [Row(f"file:///in/{number}.jpg") for number in range(5)]
    pq.write_table(table_of(columns_of(rows)), buffer)
    return buffer.getvalue()


def test_an_index_of_before_there_were_digests_of_its_files_is_read(tmp_path: Path, sink: Store) -> None:
    write_photos(tmp_path / "in", 5)
    index = index_of(Source(uri=str(tmp_path / "in")), sink)
    document = json.loads(sink.read(DOCUMENT))
    assert len(document.pop("chunkDigests")) == 1
    sink.replace(DOCUMENT, json.dumps(document).encode())
    assert open_index(sink).uris(0, 4) == index.uris(0, 4)


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [
        pytest.param(lambda data: data[:100], r"is damaged \(.*\); use another sink, or set", id="cut off"),
        pytest.param(lambda data: data[:50] + bytes(len(data) - 100) + data[-50:], r"is damaged \(", id="zeros"),
        pytest.param(lambda data: others_rows(), r"is damaged \(its rows are others than those", id="of another index"),
        pytest.param(lambda data: b"", r"is damaged \(.*\); use another sink, or set", id="empty"),
        pytest.param(None, r"is gone; use another sink, or set sink\.ifExists: Overwrite", id="deleted"),
    ],
)
def test_a_file_of_the_index_that_is_damaged_is_named_and_repaired_by_overwriting(
    tmp_path: Path, sink: Store, keep: Callable[[bytes], bytes] | None, sentence: str
) -> None:
    write_photos(tmp_path / "in", 5)
    source = Source(uri=str(tmp_path / "in"))
    index = index_of(source, sink)
    path = chunk_path(index.digest, 0)
    if keep is None:
        sink.delete(path)
    else:
        sink.replace(path, keep(sink.read(path)))
    named = rf"^spec\.sink\.uri: {sink.uri_of(path)}, a file of the index, {sentence}"
    with pytest.raises(Invalid, match=named) as caught:
        index.uris(0, 4)
    assert "\n" not in str(caught.value)
    build(source, sink, replace=True)
    assert len(open_index(sink).uris(0, 4)) == 5


def test_a_file_of_the_index_may_come_back_if_the_whole_sink_is_away(tmp_path: Path, sink: Store) -> None:
    write_photos(tmp_path / "in", 5)
    index = index_of(Source(uri=str(tmp_path / "in")), sink)
    for path in (DOCUMENT, chunk_path(index.digest, 0)):
        sink.delete(path)
    with pytest.raises(Transient, match="a file of the index, can't be read: there is no such file"):
        index.uris(0, 4)


def test_an_index_of_several_chunks_is_read_in_pieces(tmp_path: Path, sink: Store) -> None:
    count = 140_000
    names = [f"{number % 2}/{number:07d}.jpg" for number in range(count)]
    (tmp_path / "m.txt").write_text("\n".join(names))
    index = index_of(Source(manifest=ListedSource(uri=str(tmp_path / "m.txt")), allow_unreadable=True), sink)
    expected = sorted(file_uri(f"{tmp_path}/{name}") for name in names)
    assert index.uris(0, count - 1) == expected
    assert index.uris(65_530, 65_540) == expected[65_530:65_541]
    assert list(index.items(131_071, 131_072)) == list(enumerate(expected))[131_071:131_073]
    assert index.uris(5, 4) == []
    assert len(sink.list_names(f"_dueby/index/{index.document.summary.kept[:16]}")) == 3


@pytest.mark.parametrize(("width", "height"), [(None, None), (640, 480)], ids=["as the model sees", "640x480"])
def test_a_synthetic_source_has_an_index_without_a_list(sink: Store, width: int | None, height: int | None) -> None:
    source = Source(synthetic=Synthetic(width=width, height=height))
    summary = build(source, sink, limit=200_000)
    index = resolve_index(source, sink, images=200_000, preprocessing=SMALL)
    assert (index.images, index.digest) == (summary.images, summary.digest)
    size = f"{width or 32}x{height or 32}"
    assert index.uris(0, 1) == [f"synthetic://{size}/0", f"synthetic://{size}/1"]
    assert index.uris(199_999, 199_999) == [f"synthetic://{size}/199999"]
    assert index.document.summary.input_cost.bytes_per_image == 0
    assert find_index(sink) is None


def test_what_another_job_left_in_the_sink_is_no_index_of_synthetic_images(tmp_path: Path, sink: Store) -> None:
    write_photos(tmp_path / "in", 5)
    build(Source(uri=str(tmp_path / "in")), sink)
    index = resolve_index(Source(synthetic=Synthetic()), sink, images=9, preprocessing=SMALL)
    assert index.uris(8, 8) == ["synthetic://32x32/8"]


def test_images_of_another_size_or_number_are_another_index(sink: Store) -> None:
    asked = [(Synthetic(), 9), (Synthetic(), 8), (Synthetic(width=33), 9), (Synthetic(width=32, height=32), 9)]
    digests = [
        resolve_index(Source(synthetic=made), sink, images=images, preprocessing=SMALL).digest for made, images in asked
    ]
    assert digests[0] == digests[3]
    assert len(set(digests)) == 3


def test_a_synthetic_source_needs_a_number(sink: Store) -> None:
    with pytest.raises(Invalid, match=r"spec\.images: is missing"):
        build(Source(synthetic=Synthetic()), sink)


@pytest.mark.parametrize(("count", "sampled"), [(10, 10), (64, 64), (300, 64), (800, 80)])
def test_the_cost_of_input_is_sampled_without_what_is_unreadable(
    tmp_path: Path, sink: Store, count: int, sampled: int
) -> None:
    paths = write_photos(tmp_path / "in", count)
    for path in paths[::5]:
        path.write_bytes(b"damaged")
    cost = build(Source(uri=str(tmp_path / "in")), sink).input_cost
    assert cost.sampled + cost.unreadable == sampled
    assert 0 < cost.unreadable < 0.6 * cost.sampled
    assert cost.decode_us > 0
    assert cost.get_us > 0
    assert 300 < cost.bytes_per_image < 10_000
    assert (cost.bandwidth_bytes_per_s or 0) > 0


def test_a_sample_of_a_large_source_is_no_larger_than_its_cost_needs() -> None:
    found = choose(1_000_000, seed="the same")
    assert len(set(found)) == 256
    assert found == choose(1_000_000, seed="the same")
    assert found != choose(1_000_000, seed="another")


def test_images_that_are_missing_do_not_stop_the_sample(tmp_path: Path, sink: Store) -> None:
    write_photos(tmp_path / "in", 3)
    (tmp_path / "m.txt").write_text("in/00000.jpg\nin/00001.jpg\nin/gone.jpg\nin/gone-too.jpg\n")
    index = index_of(Source(manifest=ListedSource(uri=str(tmp_path / "m.txt"))), sink)
    assert (index.document.summary.input_cost.sampled, index.document.summary.input_cost.unreadable) == (2, 2)
    assert {Path(witness).name for witness in index.witnesses} == {"00000.jpg", "00001.jpg"}


def break_disk(monkeypatch: pytest.MonkeyPatch, *bad: str) -> None:
    """Let the files of these names be on bad sectors, for every store."""
    read = LocalStore._read

    def read_or_fail(store: LocalStore, path: str, *, max_bytes: int | None) -> bytes:
        if path.endswith(bad):
            raise Transient("input/output error")
        return read(store, path, max_bytes=max_bytes)

    monkeypatch.setattr(LocalStore, "_read", read_or_fail)


@pytest.mark.parametrize("bad", range(3))
def test_an_image_on_a_bad_sector_does_not_stop_the_sample(
    tmp_path: Path, sink: Store, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    # Whichever of them is sampled first.
    paths = write_photos(tmp_path / "in", 3)
    break_disk(monkeypatch, paths[bad].name)
    index = index_of(Source(uri=str(tmp_path / "in")), sink)
    assert (index.document.summary.input_cost.sampled, index.document.summary.input_cost.unreadable) == (2, 1)
    assert {Path(witness).name for witness in index.witnesses} == {path.name for path in paths} - {paths[bad].name}


def test_the_wait_for_an_image_on_a_bad_sector_is_not_taken_for_a_slow_store(
    tmp_path: Path, sink: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_photos(tmp_path / "in", 3)
    break_disk(monkeypatch, paths[0].name)
    patient = RetryPolicy(first_pause_s=0.1, max_pause_s=0.1, total_s=1)
    source = Source(uri=str(tmp_path / "in"))
    index = build_index(source, sink, limit=None, preprocessing=SMALL, retry=patient)
    assert index is not None
    cost = index.document.summary.input_cost
    assert (cost.bandwidth_bytes_per_s or 0) > 2 * cost.bytes_per_image / patient.total_s


def test_a_store_that_gives_no_image_at_all_is_away(
    tmp_path: Path, sink: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_photos(tmp_path / "in", 3)
    paths[0].unlink()
    break_disk(monkeypatch, ".jpg")
    with pytest.raises(Transient, match="no image of the sample can be read: input/output error"):
        build(Source(uri=str(tmp_path / "in")), sink)
    assert find_index(sink) is None

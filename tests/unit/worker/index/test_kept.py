"""The columns of source.keep, of each kind of source, and their types."""

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from dueby_api.source import Lance, ListedSource, Parquet, Source
from dueby_worker.index.additions import take_new
from dueby_worker.storage.uris import file_uri
from support.index import write_files
from support.kept import columns_of, described, frozen, unsampled_index, written
from support.tars import jpeg, tar_of

Members = list[tuple[str, bytes]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_a_list_names_images_as_it_says_and_its_columns_are_kept(tmp_path: Path, folder: Path, kind: str) -> None:
    uris = [" b.jpg ", "./a.jpg", "b.jpg", file_uri(f"{folder}/c.jpg"), f"{folder}/d.jpg"]
    rows = [{"uri": uri, "label": f"{number}, é", "id": number} for number, uri in enumerate(uris)]
    source = written(rows, folder, kind).replace(keep=("id", "label"))
    columns = columns_of(source, tmp_path)
    assert columns["id"].type == pa.int64()
    # In the order of the index, and two rows of one image in that of what they say.
    order = [1, 0, 2, 3, 4]
    assert columns["name"].to_pylist() == [uris[number] for number in order]
    assert columns["id"].to_pylist() == order
    assert columns["label"].to_pylist() == [f"{number}, é" for number in order]


def test_a_list_of_uris_makes_an_index_no_larger(tmp_path: Path, folder: Path) -> None:
    write_files(folder, "a.jpg", "b.jpg", data=b"x")
    (folder / "list.txt").write_text("".join(file_uri(f"{folder}/{name}.jpg") + "\r\n" for name in "ab"))
    listed = frozen(Source(manifest=ListedSource(uri=f"{folder}/list.txt")), tmp_path / "list")
    assert listed.chunk(0).read_bytes() == frozen(Source(uri=str(folder)), tmp_path / "folder").chunk(0).read_bytes()
    assert listed.kept_digest == ""


def test_names_below_the_lists_folder_make_an_index_hardly_larger(tmp_path: Path, folder: Path) -> None:
    names = [f"{hashlib.sha256(b'%d' % number).hexdigest()}/{number}.jpg" for number in range(10_000)]
    (folder / "names.txt").write_text("\n".join(names))
    (folder / "uris.txt").write_text("\n".join(file_uri(f"{folder}/{name}") for name in names))
    sizes = {
        kind: frozen(Source(manifest=ListedSource(uri=f"{folder}/{kind}.txt")), tmp_path / kind).chunk(0).stat().st_size
        for kind in ("names", "uris")
    }
    assert sizes["names"] < 1.01 * sizes["uris"]
    assert columns_of(Source(manifest=ListedSource(uri=f"{folder}/names.txt")), tmp_path)["name"].to_pylist() == sorted(
        names
    )


def test_a_list_names_images_as_it_says_whatever_stands_in_their_names(tmp_path: Path, folder: Path) -> None:
    # Beside the list and elsewhere, and with characters that a URI has escapes for.
    names = ["a.jpg", "b c.jpg", "d/é.jpg", "f%20g.jpg", "h#1.jpg", "../i.jpg", "./j.jpg", str(folder / "k.jpg")]
    (folder / "list.txt").write_text("\n".join(names))
    assert described(Source(manifest=ListedSource(uri=f"{folder}/list.txt")), tmp_path)["name"] == [
        names[5],
        *names[:5],
        *names[6:],
    ]


@pytest.mark.parametrize(
    ("values", "kind", "kept"),
    [
        pytest.param(["7", "-1", "0"], pa.int64(), [7, -1, 0], id="whole numbers"),
        pytest.param(["007", "8"], pa.string(), ["007", "8"], id="zeros before a number"),
        pytest.param(["1.50", "2", "-0.5", "1e-05"], pa.float64(), [1.5, 2.0, -0.5, 1e-5], id="decimals"),
        pytest.param(["1.50", "2", "n/a"], pa.string(), ["1.50", "2", "n/a"], id="as written beside a text"),
        pytest.param(["n/a", "1.50"], pa.string(), ["n/a", "1.50"], id="a text first"),
        pytest.param(["01.5", "2.5"], pa.string(), ["01.5", "2.5"], id="a decimal with zeros before it"),
        pytest.param(["", "7"], pa.int64(), [None, 7], id="an empty cell"),
        pytest.param(["", ""], pa.string(), [None, None], id="empty cells only"),
        pytest.param(["9" * 19, "1"], pa.string(), ["9" * 19, "1"], id="a number of more than 64 bits"),
        pytest.param(["true", " x"], pa.string(), ["true", " x"], id="texts"),
    ],
)
def test_csv_has_numbers_and_texts(
    tmp_path: Path, folder: Path, values: list[str], kind: pa.DataType, kept: list[Any]
) -> None:
    (folder / "list.csv").write_text("x,uri\n" + "".join(f"{value},{n}.jpg\n" for n, value in enumerate(values)))
    columns = columns_of(Source(manifest=ListedSource(uri=f"{folder}/list.csv"), keep=("x",)), tmp_path)
    assert columns["x"].type == kind
    assert columns["x"].to_pylist() == kept


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param([1, 2**63 - 1, None], pa.int64(), id="whole numbers"),
        pytest.param([0.5, 1, None], pa.float64(), id="numbers"),
        pytest.param([1, 0.5], pa.float64(), id="a whole number first"),
        pytest.param([True, False], pa.bool_(), id="true and false"),
        pytest.param(["7", "\u2028 \0 x"], pa.string(), id="texts"),
    ],
)
def test_json_has_its_types(tmp_path: Path, folder: Path, values: list[Any], kind: pa.DataType) -> None:
    rows = [{"uri": f"{number}.jpg", "x": value} for number, value in enumerate(values)]
    columns = columns_of(written(rows, folder, "jsonl").replace(keep=("x",)), tmp_path)
    assert columns["x"].type == kind
    assert columns["x"].to_pylist() == values


ARROW_VALUES: Mapping[str, pa.Array] = {
    "int8": pa.array([1, None, -1], pa.int8()),
    "uint64": pa.array([0, 2**64 - 1, None], pa.uint64()),
    "float": pa.array([0.1, None, 1e30], pa.float32()),
    "half": pa.array([0.5, None, 2.0], pa.float16()),
    "bool": pa.array([True, None, False]),
    "time": pa.array([datetime(2026, 1, 1, 2, 3, 4, 5), None, datetime(1, 1, 1)], pa.timestamp("us")),
    "time of a zone": pa.array([datetime(2026, 1, 1), None, None], pa.timestamp("ns", "Europe/Berlin")),
    "date": pa.array([date(2026, 1, 1), None, date(1, 1, 1)]),
    "text": pa.array(["a", None, ""]),
}


@pytest.mark.parametrize("kind", ARROW_VALUES)
@pytest.mark.parametrize("source", ["parquet", "list"])
def test_parquet_has_its_types(tmp_path: Path, folder: Path, kind: str, source: str) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg"]
    table = pa.table({"uri": names, "image": [b"x"] * 3, "x": ARROW_VALUES[kind]})
    pq.write_table(table, folder / "1.parquet", row_group_size=2)
    uri = f"{folder}/1.parquet"
    where = Source(manifest=ListedSource(uri=uri)) if source == "list" else Source(parquet=Parquet(uri=uri))
    found = where.replace(keep=("x",))
    assert columns_of(found, tmp_path)["x"] == ARROW_VALUES[kind]


def test_new_images_have_the_columns_of_those_before_though_nothing_is_said_of_them(
    tmp_path: Path, folder: Path
) -> None:
    rows: list[dict[str, Any]] = [{"uri": "a.jpg", "x": 1}, {"uri": "b.jpg", "x": None}, {"uri": "c.jpg"}]
    index = unsampled_index(written(rows[:1], folder, "jsonl").replace(keep=("x",)), tmp_path)
    source = written(rows, folder, "jsonl").replace(keep=("x",))
    listed = frozen(source, scratch := tmp_path / "again")
    new = take_new(listed, [index], source, scratch, None, lambda stage, count: None)
    assert new is not None
    assert dict(new.kept_types) == {"x": "int64"}
    assert [row.kept for row in new.rows_where(np.ones(2, dtype=bool))] == ["[0,null]", "[0,null]"]


def test_columns_of_parquet_may_lie_in_structs_and_be_encoded(tmp_path: Path, folder: Path) -> None:
    images = [{"bytes": b"x", "path": "a.jpg", "caption": "A"}, None, {"bytes": b"x", "path": None, "caption": None}]
    table = pa.table({"image": images, "a.b": [1, 2, 3], "class": pa.array(["x", "y", "x"]).dictionary_encode()})
    for name in "12":
        pq.write_table(table, folder / f"{name}.parquet")
    source = Source(parquet=Parquet(uri=str(folder)), keep=("image.path", "a.b", "class", "image.caption"))
    assert described(source, tmp_path, limit=5) == {
        "name": ["1.parquet#0", "1.parquet#1", "1.parquet#2", "2.parquet#0", "2.parquet#1"],
        "image.path": ["a.jpg", None, None, "a.jpg", None],
        "a.b": [1, 2, 3, 1, 2],
        "class": ["x", "y", "x", "x", "y"],
        "image.caption": ["A", None, None, "A", None],
    }


def test_columns_of_lance_are_kept(tmp_path: Path, folder: Path) -> None:
    when = datetime(2026, 1, 1)
    facts = [{"when": when}, {"when": None}, None]
    table = pa.table({"image": [b"x"] * 3, "key": ["a", "b", "c"], "label": [1, None, 3], "facts": facts})
    lance.write_dataset(table, folder / "a.lance", max_rows_per_file=2)
    source = Source(lance=Lance(uri=f"{folder}/a.lance", name="key"), keep=("label", "facts.when"))
    assert described(source, tmp_path) == {
        "name": ["a", "b", "c"],
        "label": [1, None, 3],
        "facts.when": [when, None, None],
    }


def test_what_webdataset_writes_beside_an_image_is_kept(tmp_path: Path, folder: Path) -> None:
    def sample(key: str, *, image: str = "jpg", **files: Any) -> Members:
        texts = {ending: json.dumps(said) if ending == "json" else said for ending, said in files.items()}
        return [*((f"{key}.{ending}", text.encode()) for ending, text in texts.items()), (f"{key}.{image}", jpeg(1))]

    members = [
        *sample("a/1", cls="7", json={"caption": "é", "size": 1, "tags": ["x"]}),
        ("a/2.jpg", b"x"),
        ("a/2.json", b'{"size": 0.5}'),
        ("a/2.CLS", b"12"),
        *sample("b/2", image="seg.png", cls="cat"),
        *sample("b/3", json=["no", "object"]),
        ("b/._3.json", b"of macOS"),
        ("b/all.json", b"[" * 70_000),
    ]
    (folder / "1.tar").write_bytes(tar_of(members))
    columns = described(Source(uri=f"{folder}/1.tar", keep=("cls", "size", "caption")), tmp_path)
    assert columns == {
        "name": ["a/1.jpg", "a/2.jpg", "b/2.seg.png", "b/3.jpg"],
        "cls": ["7", "12", "cat", None],
        "size": [1.0, 0.5, None, None],
        "caption": ["é", None, None, None],
    }


def test_tars_list_their_columns_over_all_shards(tmp_path: Path, folder: Path) -> None:
    for number, label in enumerate(["1", "2"]):
        (folder / f"{number}.tar").write_bytes(tar_of([("a.jpg", b"x"), ("a.cls", label.encode())]))
    assert described(Source(uri=f"{folder}/*.tar", keep=("cls",)), tmp_path)["cls"] == [1, 2]

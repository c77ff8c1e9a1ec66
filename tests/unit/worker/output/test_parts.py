"""A part's name, its Parquet file, and how its rows are collected."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import ArrayLike

from dueby_api.errors import Invalid
from dueby_api.grid import Grid
from dueby_api.output import Output
from dueby_worker.models.columns import Columns, columns_of
from dueby_worker.output.damaged_parts import read_end_of_part, read_part
from dueby_worker.output.part_names import is_part_name, part_name, parts_among
from dueby_worker.output.parts import OpenPart
from dueby_worker.output.rows import Rows, decode_rows, encode_rows, read_footer
from dueby_worker.storage.stores import open_store
from support.fresh_process import modules_after
from support.worker import COLUMNS, LABELS, ORIGIN, as_older


def two_best(classes: ArrayLike, scores: ArrayLike) -> dict[str, np.ndarray]:
    return {"classes": np.array(classes, dtype=np.int32), "scores": np.array(scores, dtype=np.float32)}


def some_rows(
    *,
    errors: dict[int, str] | None = None,
    warnings: dict[int, str] | None = None,
    columns: Columns | None = None,
    total: int = 4,
) -> Rows:
    classes = np.arange(total * 2, dtype=np.int32).reshape(total, 2)
    return Rows(
        first=40,
        uris=[f"file:///{position}.jpg" for position in range(total)],
        columns=columns or two_best(classes, classes / 100),
        errors=errors or {},
        warnings=warnings or {},
    )


def test_to_write_a_part_takes_nothing_of_pandas() -> None:
    script = """
import numpy as np
from dueby_worker.output.rows import Origin, Rows, encode_rows

columns = {"classes": np.array([[1], [0]], dtype=np.int32), "scores": np.array([[0.5], [0.0]], dtype=np.float32)}
rows = Rows(first=0, uris=["a", "b"], columns=columns, errors={1: "cut"})
origin = Origin(engine="eager", precision="fp32", device_class="cpu-1", fingerprint="f")
encode_rows(rows, labels=["cat", "dog"], origin=origin)
"""
    assert "pandas" not in modules_after(script)


def test_a_part_is_named_after_its_first_and_last_image() -> None:
    grid = Grid(images=1030, part_size=1024)
    assert [part_name(grid, part) for part in (0, 1)] == [
        "part-000000000000-000000001023.parquet",
        "part-000000001024-000000001029.parquet",
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param("part-000000000000-000000000009.parquet", {0}, id="a part of this grid"),
        pytest.param("part-000000000020-000000000024.parquet", {2}, id="the shorter last part"),
        pytest.param("part-000000000020-000000000029.parquet", set(), id="a last part of a longer job"),
        pytest.param("part-000000000000-000000000019.parquet", set(), id="a part of a coarser grid"),
        pytest.param("part-000000000030-000000000039.parquet", set(), id="beyond the end"),
        pytest.param("part-000000000030-000000000024.parquet", set(), id="one that ends before it begins"),
        pytest.param(".dueby-part-000000000000-000000000009.parquet", set(), id="a temporary file"),
        pytest.param("part-000000000000-000000000009.parquet.tmp", set(), id="another extension"),
        pytest.param("_SUCCESS", set(), id="the marker"),
    ],
)
def test_the_listing_of_a_sink_says_which_parts_it_holds(name: str, found: set[int]) -> None:
    assert set(parts_among([name], Grid(images=25, part_size=10))) == found


def test_only_the_names_of_parts_look_like_parts() -> None:
    assert is_part_name("part-000000000000-000000000019.parquet")
    assert not is_part_name("part-0-19.parquet")


def test_a_threshold_s_flag_is_a_boolean_and_null_where_there_is_no_image() -> None:
    best = two_best([[1, 0]] * 3, [[0.9, 0.1]] * 3)
    flagged = {**best, "flagged": np.array([[True], [True], [False]])}
    data = encode_rows(some_rows(columns=flagged, errors={1: "damaged"}, total=3), labels=LABELS, origin=ORIGIN)

    table = pq.read_table(io.BytesIO(data))
    assert table.column_names[2:6] == ["classes", "labels", "scores", "flagged"]
    assert table["flagged"].to_pylist() == [True, None, False]
    rows, _ = decode_rows(data)
    assert rows.columns["flagged"][[0, 2]].tolist() == [[True], [False]]
    assert rows.columns["flagged"].dtype == np.bool_


def test_the_file_has_the_columns_that_are_promised_and_says_what_made_it() -> None:
    table = pq.read_table(io.BytesIO(encode_rows(some_rows(), labels=LABELS, origin=ORIGIN)))
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("index", "int64"),
        ("uri", "string"),
        ("classes", "list<element: int32>"),
        ("labels", "list<element: string>"),
        ("scores", "list<element: float>"),
        ("error", "string"),
        ("warning", "string"),
    ]
    assert table.to_pylist()[1] == {
        "index": 41,
        "uri": "file:///1.jpg",
        "classes": [2, 3],
        "labels": ["label 2", "label 3"],
        "scores": pytest.approx([0.02, 0.03]),
        "error": None,
        "warning": None,
    }
    assert {name.decode(): value.decode() for name, value in table.schema.metadata.items()} == {
        "dueby.engine": "eager",
        "dueby.precision": "fp32",
        "dueby.deviceClass": "cpu-1",
        "dueby.fingerprint": "f00",
        "dueby.formatVersion": "1",
    }


def test_a_row_with_an_error_has_null_instead_of_results() -> None:
    data = encode_rows(some_rows(errors={1: "It is damaged."}), labels=LABELS, origin=ORIGIN)
    table = pq.read_table(io.BytesIO(data))
    assert table["error"].to_pylist() == [None, "It is damaged.", None, None]
    assert table["classes"].to_pylist() == [[0, 1], None, [4, 5], [6, 7]]
    assert table["labels"].to_pylist()[1] is None
    assert table["scores"].to_pylist()[1] is None


@pytest.mark.parametrize(
    "errors",
    [
        pytest.param({}, id="all fine"),
        pytest.param({0: "a", 3: "b"}, id="some failed"),
        pytest.param({0: "a", 1: "b", 2: "c", 3: "d"}, id="all failed"),
    ],
)
def test_rows_are_read_back_as_they_were_written(errors: dict[int, str]) -> None:
    rows, origin = decode_rows(encode_rows(some_rows(errors=errors), labels=LABELS, origin=ORIGIN))
    fine = [position for position in range(4) if position not in errors]
    assert origin == ORIGIN
    assert (rows.first, rows.uris, rows.errors) == (40, some_rows().uris, errors)
    if fine:
        np.testing.assert_array_equal(rows.columns["classes"][fine], some_rows().columns["classes"][fine])
        np.testing.assert_array_equal(rows.columns["scores"][fine], some_rows().columns["scores"][fine])
    footer = read_footer(io.BytesIO(encode_rows(rows, labels=LABELS, origin=ORIGIN)))
    assert (footer.first, footer.rows, footer.errors, footer.origin) == (40, 4, len(errors), ORIGIN)


def test_a_warning_stands_beside_the_results() -> None:
    data = encode_rows(some_rows(errors={0: "damaged"}, warnings={2: "padded"}), labels=LABELS, origin=ORIGIN)
    table = pq.read_table(io.BytesIO(data))
    assert table["warning"].to_pylist() == [None, None, "padded", None]
    assert table["classes"].to_pylist()[2] == [4, 5]
    footer = read_footer(io.BytesIO(data))
    assert (footer.errors, footer.warnings) == (1, 1)
    retried = OpenPart.retry(3, decode_rows(data)[0], engine="eager", columns=COLUMNS)
    retried.put(np.array([0]), two_best([[8, 9]], [[1, 1]]), warnings={0: "headless"})
    assert (retried.rows().errors, retried.rows().warnings) == ({}, {0: "headless", 2: "padded"})


def test_a_part_of_an_older_dueby_is_read_counted_and_done_over() -> None:
    old = as_older(encode_rows(some_rows(errors={1: "damaged"}), labels=LABELS, origin=ORIGIN))
    assert "warning" not in pq.read_schema(io.BytesIO(old)).names
    footer = read_footer(io.BytesIO(old))
    assert (footer.first, footer.rows, footer.errors, footer.warnings) == (40, 4, 1, 0)
    assert footer.origin == ORIGIN
    rows, _ = decode_rows(old)
    assert (rows.errors, rows.warnings) == ({1: "damaged"}, {})
    retried = OpenPart.retry(3, rows, engine="eager", columns=COLUMNS)
    retried.put(np.array([1]), two_best([[8, 9]], [[1, 1]]))
    assert decode_rows(encode_rows(retried.rows(), labels=LABELS, origin=ORIGIN))[0].errors == {}


def test_the_same_rows_give_the_same_bytes() -> None:
    first, second = (encode_rows(some_rows(errors={2: "x"}), labels=LABELS, origin=ORIGIN) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(
    "errors",
    [
        pytest.param({}, id="all fine"),
        pytest.param({0: "a", 3: "b"}, id="some failed"),
        pytest.param({0: "a", 1: "b", 2: "c", 3: "d"}, id="all failed"),
    ],
)
def test_a_vector_is_a_list_of_fixed_size_and_is_read_back_as_it_was_written(
    dtype: type[np.floating], errors: dict[int, str]
) -> None:
    vectors = np.random.default_rng(0).standard_normal((4, 6)).astype(dtype)
    data = encode_rows(some_rows(columns={"embedding": vectors}, errors=errors), labels=LABELS, origin=ORIGIN)
    table = pq.read_table(io.BytesIO(data))
    assert table.column_names == ["index", "uri", "embedding", "error", "warning"]
    value = "float" if dtype is np.float32 else "halffloat"
    assert str(table.schema.field("embedding").type) == f"fixed_size_list<element: {value}>[6]"
    fine = [position for position in range(4) if position not in errors]
    assert [row is None for row in table["embedding"].to_pylist()] == [position in errors for position in range(4)]
    rows, _ = decode_rows(data)
    assert rows.errors == errors
    if fine:
        assert rows.columns["embedding"].dtype == dtype
        np.testing.assert_array_equal(rows.columns["embedding"][fine], vectors[fine])
    footer = read_footer(io.BytesIO(data))
    assert (footer.first, footer.rows, footer.errors) == (40, 4, len(errors))


def test_probabilities_have_their_labels_in_the_file() -> None:
    rows = some_rows(columns={"probabilities": np.full((4, 3), 1 / 3, dtype=np.float32)})
    table = pq.read_table(io.BytesIO(encode_rows(rows, labels=("cat", "dog", "owl"), origin=ORIGIN)))
    assert str(table.schema.field("probabilities").type) == "fixed_size_list<element: float>[3]"
    assert json.loads(table.schema.metadata[b"dueby.labels"]) == ["cat", "dog", "owl"]


def test_a_retried_part_of_vectors_keeps_those_that_are_there() -> None:
    vectors = np.arange(24, dtype=np.float32).reshape(4, 6)
    before = some_rows(columns={"embedding": vectors}, errors={1: "a"})
    columns = columns_of(Output(kind="Embedding"), 6)
    part = OpenPart.retry(3, before, engine="eager", columns=columns)
    part.put(np.array([1]), {"embedding": np.full((1, 6), 7, dtype=np.float32)})
    assert part.is_complete
    np.testing.assert_array_equal(part.rows().columns["embedding"][:, 0], [0, 7, 12, 18])


def test_an_open_part_is_complete_when_every_row_came_in_whatever_the_order() -> None:
    part = OpenPart(3, first=40, uris=some_rows().uris, columns=COLUMNS)
    part.put(np.array([3, 1]), {name: values[[3, 1]] for name, values in some_rows().columns.items()})
    assert not part.is_complete
    others = {name: values[[0, 2]] for name, values in some_rows().columns.items()}
    part.put(np.array([0, 2]), others, errors={2: "It is damaged."})
    assert part.is_complete
    assert part.failed == 1
    np.testing.assert_array_equal(part.rows().columns["classes"], some_rows().columns["classes"])


def test_a_retried_part_waits_for_its_failed_rows_alone_and_keeps_the_others() -> None:
    part = OpenPart.retry(3, some_rows(errors={1: "a", 2: "b"}), engine="openvino", columns=COLUMNS)
    assert list(part.waiting_positions()) == [1, 2]
    part.put(np.array([1, 2]), two_best([[8, 9], [0, 0]], [[1, 1], [1, 1]]), errors={2: "still"})
    assert part.is_complete
    rows = part.rows()
    assert rows.errors == {2: "still"}
    np.testing.assert_array_equal(rows.columns["classes"][[0, 1, 3]], [[0, 1], [8, 9], [6, 7]])


def foreign(columns: dict[str, list[object]]) -> bytes:
    """Of another program, without what a part says of itself."""
    data = io.BytesIO()
    pq.write_table(pa.table(columns), data)
    return data.getvalue()


WHOLE = encode_rows(some_rows(), labels=LABELS, origin=ORIGIN)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"x\n", id="of a line"),
        pytest.param(WHOLE[:-20], id="cut off"),
        pytest.param(WHOLE[:20] + bytes(len(WHOLE) - 40) + WHOLE[-20:], id="full of zeros"),
        pytest.param(foreign({"number": [1]}), id="with other columns"),
        pytest.param(foreign({"index": [1], "uri": ["a"], "error": ["b"]}), id="without metadata"),
    ],
)
def test_a_part_that_is_damaged_is_named_with_what_to_do(tmp_path: Path, data: bytes) -> None:
    store = open_store(str(tmp_path))
    store.create("part", data)
    reads: list[Callable[[], object]] = [
        lambda: read_part(store, "part", decode_rows),
        lambda: read_end_of_part(store, "part", lambda end: read_footer(io.BytesIO(end))),
    ]
    for read in reads:
        with pytest.raises(Invalid, match=r"^spec\.sink\.uri: file://.*/part is damaged \(.*\); delete it") as caught:
            read()
        assert "\n" not in str(caught.value)

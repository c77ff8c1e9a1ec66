"""Rows with what the source says of their images: written, read back, retried, and beside those of an older DueBy."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import dueby
from dueby_api.errors import Invalid
from dueby_api.output import Output
from dueby_worker.models.columns import Columns, columns_of
from dueby_worker.output.parts import OpenPart
from dueby_worker.output.rows import Rows, decode_rows, encode_rows
from dueby_worker.output.sink_manifest import require_same_job
from support.worker import COMPONENTS, LABELS, ORIGIN, a_manifest

FROM_SOURCE = {
    "name": pa.array(["b.jpg", "ä", "c.jpg"]),
    "label": pa.array([7, None, 9], pa.int32()),
    "when": pa.array([0, None, 1], pa.timestamp("us", "UTC")),
    "element": pa.array(["x", "y", None]),
}
OUTPUTS: dict[str, Columns] = {
    "TopK": {"classes": np.zeros((3, 2), dtype=np.int32), "scores": np.zeros((3, 2), dtype=np.float32)},
    "Probabilities": {"probabilities": np.zeros((3, 9), dtype=np.float32)},
    "Embedding": {"embedding": np.zeros((3, 8), dtype=np.float16)},
}


def some_rows(columns: Columns, first: int = 0, **fields: Any) -> Rows:
    errors = {1: "It is damaged."}
    return Rows(first=first, uris=["u", "v", "w"], columns=columns, errors=errors, **fields)


@pytest.mark.parametrize("columns", OUTPUTS.values(), ids=OUTPUTS)
def test_they_follow_the_uri_whatever_the_output_and_are_read_back(columns: Columns, tmp_path: Path) -> None:
    data = encode_rows(some_rows(columns, from_source=FROM_SOURCE), labels=LABELS, origin=ORIGIN)
    assert decode_rows(data)[0].from_source == FROM_SOURCE
    (tmp_path / "part-000000000000-000000000002.parquet").write_bytes(data)
    found = dueby.read(tmp_path)
    assert found.rows.column_names[:6] == ["index", "uri", *FROM_SOURCE]
    assert found.rows["name"].to_pylist() == ["b.jpg", "c.jpg"]
    assert found.errors.drop_columns(["when"]).to_pylist() == [
        {"index": 1, "uri": "v", "name": "ä", "label": None, "element": "y", "error": "It is damaged."}
    ]


def test_a_part_whose_errors_are_tried_again_keeps_them() -> None:
    rows = some_rows(OUTPUTS["TopK"], from_source=FROM_SOURCE)
    part = OpenPart.retry(0, rows, engine="eager", columns=columns_of(Output(k=2), 9))
    part.put(np.array([1]), {name: values[[1]] for name, values in OUTPUTS["TopK"].items()})
    assert part.rows().from_source == FROM_SOURCE


def test_parts_of_an_older_dueby_lack_them_and_are_read_beside_others(tmp_path: Path) -> None:
    for first, from_source in ((0, {}), (3, FROM_SOURCE)):
        rows = some_rows(OUTPUTS["TopK"], first, from_source=from_source)
        path = tmp_path / f"part-{first:012d}-{first + 2:012d}.parquet"
        path.write_bytes(encode_rows(rows, labels=LABELS, origin=ORIGIN))
    assert dueby.read(tmp_path).rows["name"].to_pylist() == [None, None, "b.jpg", "c.jpg"]


@pytest.mark.parametrize(("was", "now"), [(None, "a"), ("a", "b"), ("a", None)])
def test_a_sink_with_other_names_or_kept_values_is_another_jobs(was: str | None, now: str | None) -> None:
    before, after = COMPONENTS.replace(kept=was), COMPONENTS.replace(kept=now)
    assert before.fingerprint != after.fingerprint
    with pytest.raises(
        Invalid, match=r"its images had other names, or the columns of source\.keep other values\. To go on"
    ):
        require_same_job(a_manifest(components=before), after, sink="s")


def test_a_sink_with_other_columns_is_another_jobs() -> None:
    before, after = COMPONENTS.replace(keep=("id", "label")), COMPONENTS
    assert before.fingerprint != after.fingerprint
    with pytest.raises(Invalid, match=r"another job: its source\.keep was \[id, label\] \(now \[\]\)"):
        require_same_job(a_manifest(components=before), after, sink="s")


def test_a_sink_of_before_there_were_names_has_the_same_fingerprint() -> None:
    assert "kept" not in COMPONENTS.document()

"""Taking a sink into use, being refused by one, and knowing which parts it holds."""

import json
from pathlib import Path
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.grid import Grid
from dueby_api.output import Output
from dueby_api.parts import NONE, parts_of
from dueby_worker.output.other_grid import OtherGrid
from dueby_worker.output.part_names import part_name
from dueby_worker.output.sink import parts_there, require_sink_manifest, sweep_sink
from dueby_worker.output.sink_manifest import SINK_MANIFEST, encode_sink_manifest, read_sink_manifest
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from support.worker import COMPONENTS, a_manifest

OTHERS: list[dict[str, Any]] = [
    {"k": 6},
    {"kind": "Probabilities"},
    {"kind": "Embedding"},
    {"kind": "Embedding", "dtype": "float16"},
    {"kind": "Embedding", "normalize": True},
    {"kind": "Embedding", "layer": "layer4"},
]

GRID = Grid(images=100, part_size=10)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


def put_parts(store: Store, *parts: int) -> None:
    for part in parts:
        store.create(part_name(GRID, part), b"rows")


def test_the_first_worker_writes_the_manifest_of_an_empty_sink_and_the_others_accept_it(store: Store) -> None:
    for _ in range(3):
        require_sink_manifest(store, a_manifest())
    assert read_sink_manifest(store) == a_manifest()
    assert json.loads(store.read(SINK_MANIFEST))["partSize"] == 10


def test_the_name_of_the_job_decides_nothing(store: Store) -> None:
    require_sink_manifest(store, a_manifest(job="monday"))
    require_sink_manifest(store, a_manifest(job="tuesday"))
    assert read_sink_manifest(store) == a_manifest(job="monday")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"index": "j" * 64}, "its images were others (index jjjjjjjjjjjj, now iiiiiiiiiiii)", id="images"),
        pytest.param({"model": "resnet50"}, "its model was resnet50 (now efficientnet_b0)", id="model"),
        pytest.param({"weights": "v" * 64}, "its weights were others (vvvvvvvvvvvv, now wwwwwwwwwwww)", id="weights"),
        pytest.param({"image_size": 320}, "its image size was 320 (now 224)", id="image size"),
        pytest.param({"precision": "bf16"}, "its precision was bf16 (now fp32)", id="precision"),
        pytest.param(
            {"output": Output(kind="Embedding").resolved},
            "its rows held an embedding in float32 (now the top 5)",
            id="output",
        ),
        pytest.param({"classes": 2}, "it had 2 classes (now 1000)", id="classes"),
        pytest.param({"labels": "m" * 64}, "its labels were others", id="labels"),
        pytest.param(
            {"preprocessing": {"resize_side": 232, "mean": [0.1, 0.2, 0.3]}},
            "its preprocessing was different (resize_side 232, now 256)",
            id="preprocessing",
        ),
    ],
)
def test_a_sink_of_another_job_is_refused_with_what_differs(
    store: Store, changes: dict[str, Any], sentence: str
) -> None:
    require_sink_manifest(store, a_manifest(components=COMPONENTS.replace(**changes)))
    with pytest.raises(Invalid) as caught:
        require_sink_manifest(store, a_manifest())
    assert caught.value.field == "spec.sink.uri"
    assert sentence in caught.value.message
    assert "ifExists: Overwrite" in caught.value.message


def test_a_job_of_the_usual_output_has_the_fingerprint_that_it_had_before_there_were_others() -> None:
    assert COMPONENTS.fingerprint == "4084cce1a9a5347db771ce4bb4d49fbc53a8528ffe443f75c203e15cfb86d224"
    assert "output" not in json.loads(encode_sink_manifest(a_manifest()))["components"]
    prints = {COMPONENTS.replace(output=Output(**each).resolved).fingerprint for each in OTHERS}
    assert len(prints - {COMPONENTS.fingerprint}) == len(OTHERS)


@pytest.mark.parametrize("output", OTHERS, ids=str)
def test_the_output_is_kept_in_the_manifest(store: Store, output: dict[str, Any]) -> None:
    components = COMPONENTS.replace(output=Output(**output).resolved)
    require_sink_manifest(store, a_manifest(components=components))
    require_sink_manifest(store, a_manifest(components=components))
    assert read_sink_manifest(store) == a_manifest(components=components)


def test_everything_that_differs_is_said_at_once(store: Store) -> None:
    require_sink_manifest(store, a_manifest(components=COMPONENTS.replace(model="resnet50", precision="bf16")))
    with pytest.raises(Invalid, match=r"its model was resnet50.*; its precision was bf16"):
        require_sink_manifest(store, a_manifest())


def test_the_grid_of_a_sink_never_moves_and_who_was_told_another_says_which_it_is(store: Store) -> None:
    require_sink_manifest(store, a_manifest(part_size=10))
    put_parts(store, 0, 1, 4)
    with pytest.raises(OtherGrid, match="was begun in parts of 10 images, not of 20") as caught:
        require_sink_manifest(store, a_manifest(part_size=20))
    assert (caught.value.part_size, caught.value.parts_there) == (10, parts_of({0, 1, 4}))


def test_a_manifest_of_another_n_is_refused(store: Store) -> None:
    require_sink_manifest(store, a_manifest(images=99))
    with pytest.raises(Invalid, match="begun with images 99, not 100"):
        require_sink_manifest(store, a_manifest())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"{", "is not JSON", id="cut short"),
        pytest.param(b"[" * 200_000, "is not JSON", id="nested too deep"),
        pytest.param(b"[]", "expected a mapping", id="a list"),
        pytest.param(
            b'{"formatVersion": 2}', "has format version 2, but this DueBy writes version 1", id="of a later DueBy"
        ),
        pytest.param(b'{"formatVersion": 1}', "is missing", id="without its fields"),
        pytest.param(
            encode_sink_manifest(a_manifest()).replace(b'"partSize": 10', b'"partSize": 0'),
            "partSize: must be an integer of at least 1",
            id="without images in a part",
        ),
        pytest.param(
            encode_sink_manifest(a_manifest()).replace(b'"images": 100', b'"images": -5'),
            "images: must be an integer of at least 1",
            id="without images",
        ),
    ],
)
def test_a_manifest_that_can_not_be_read_is_the_sink_s_fault(store: Store, content: bytes, sentence: str) -> None:
    store.create(SINK_MANIFEST, content)
    with pytest.raises(Invalid, match=sentence):
        read_sink_manifest(store)


def test_parts_without_a_manifest_are_nobody_s_to_go_on_with(store: Store) -> None:
    put_parts(store, 1)
    with pytest.raises(Invalid, match=r"holds parts but no _dueby/job\.json"):
        require_sink_manifest(store, a_manifest())


def test_what_a_worker_of_the_job_before_writes_in_an_emptied_sink_does_not_stop_the_job_that_overwrites(
    store: Store,
) -> None:
    before, own = a_manifest(uid="u-1"), a_manifest(uid="u-2")
    store.create(part_name(before.grid, 3), b"late")
    with pytest.raises(Invalid, match=r"holds parts but no _dueby/job\.json"):
        require_sink_manifest(store, own)
    assert require_sink_manifest(store, own, is_overwriting=True) == own
    assert parts_there(store, own) == NONE


@pytest.mark.parametrize(
    ("part", "wanted"),
    [("u-2", "u-2"), (None, None), ("u-1", None)],
    ids=["its own name", "no marks", "no mark of its own"],
)
def test_parts_that_may_be_taken_for_the_job_s_own_stop_it(store: Store, part: str | None, wanted: str | None) -> None:
    store.create(part_name(a_manifest(uid=part).grid, 3), b"late")
    with pytest.raises(Invalid, match=r"holds parts but no _dueby/job\.json"):
        require_sink_manifest(store, a_manifest(uid=wanted), is_overwriting=True)


def test_whoever_goes_on_with_a_sink_names_parts_as_the_job_did_that_began_it(store: Store) -> None:
    first = require_sink_manifest(store, a_manifest(uid="u-1"))
    assert require_sink_manifest(store, a_manifest(uid="u-2")).grid == first.grid
    assert require_sink_manifest(store, a_manifest()).grid == first.grid
    assert part_name(first.grid, 0) == f"part-000000000000-000000000009.{first.grid.mark}.parquet"


def test_other_files_in_a_sink_don_t_matter(store: Store) -> None:
    store.create("notes.txt", b"mine")
    require_sink_manifest(store, a_manifest())
    assert store.read("notes.txt") == b"mine"


def test_what_killed_writers_left_is_swept_beside_the_rows_and_all_that_goes_with_them(
    tmp_path: Path, store: Store
) -> None:
    folders = ["", "_dueby", "_dueby/index", "_dueby/runs/a"]
    for folder in [*folders, "mine"]:
        store.create(f"{folder}/kept".lstrip("/"), b"")
        (tmp_path / "sink" / folder / ".dueby-left").write_text("")
    store.create("_dueby/probe-0123", b"probe")
    sweep_sink(store)
    assert not store.exists("_dueby/probe-0123")
    left = sorted(str(path.relative_to(tmp_path / "sink")) for path in (tmp_path / "sink").rglob(".dueby-*"))
    assert left == ["mine/.dueby-left"]  # another sink, or whatever it is
    assert len(list((tmp_path / "sink").rglob("kept"))) == 5

"""The index step: what it finds out before it reads anything of the source, and before it deletes anything."""

from pathlib import Path
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.grid import Grid
from dueby_api.schema import validate
from dueby_api.step_config import IndexConfig
from dueby_worker.index.frozen_index import resolve_index
from dueby_worker.models.known_model import know_model
from dueby_worker.output.part_names import part_name
from dueby_worker.output.sink import require_sink_manifest
from dueby_worker.output.sink_manifest import components_of
from dueby_worker.steps.index_step import index_source
from dueby_worker.storage.stores import open_store
from support.pictures import SMALL, write_photos
from support.worker import a_manifest


def test_a_sink_that_can_not_be_written_is_refused_before_the_source_is_listed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    document = {
        "job": "catalog",
        "sink": {"uri": str(tmp_path / "file" / "rows")},
        # Listing it would be an error, too.
        "source": {"uri": str(tmp_path / "nowhere")},
        "model": {"name": "mobilenet_v3_small", "weights": "none"},
    }
    with pytest.raises(Invalid) as caught:
        index_source(validate(IndexConfig, document))
    assert caught.value.field == "spec.sink.uri"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"source": {"uri": "nowhere"}}, "spec.source.uri"), ({"model": {"name": "resnet999"}}, "spec.model.name")],
    ids=["source", "model"],
)
def test_what_is_to_be_overwritten_stays_if_the_job_can_not_begin(
    tmp_path: Path, wrong: dict[str, Any], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(str(tmp_path / "rows"))
    require_sink_manifest(store, a_manifest())
    for part in (0, 5):
        store.create(part_name(Grid(images=100, part_size=10), part), b"rows")
    document = {
        "job": "catalog",
        "sink": {"uri": str(tmp_path / "rows"), "ifExists": "Overwrite"},
        "source": {"synthetic": {"width": 64, "height": 48}},
        "images": 4,
        "model": {"name": "mobilenet_v3_small", "weights": "none"},
    }
    with pytest.raises(Invalid) as caught:
        index_source(validate(IndexConfig, document | wrong))
    assert caught.value.field == field
    names = store.list_names()
    assert len(names) == 2

    index_source(validate(IndexConfig, document))
    assert store.list_names() == []


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"decode": "tolerant"}, r"its source\.decode was strict \(now tolerant\)"),
        ({"decoder": "gpu"}, r"its source\.decoder was cpu \(now gpu\)"),
        ({"color": "srgb"}, r"its source\.color was stored \(now srgb\)"),
    ],
    ids=["tolerantly", "on GPUs", "in other colours"],
)
def test_a_sink_is_not_gone_on_with_after_decoding_otherwise(
    tmp_path: Path, other: dict[str, str], sentence: str
) -> None:
    write_photos(tmp_path / "photos", 4)
    document = {
        "job": "catalog",
        "sink": {"uri": str(tmp_path / "rows")},
        "source": {"uri": str(tmp_path / "photos")},
        "model": {"name": "mobilenet_v3_small", "weights": "none"},
    }
    strict = validate(IndexConfig, document)
    otherwise = strict.replace(source=strict.source.replace(**other))
    found = index_source(strict)
    store = open_store(str(tmp_path / "rows"))
    components = components_of(
        know_model(strict.model, strict.output, None),
        strict.model,
        strict.source,
        index_digest=found.digest,
        kept_digest="",
    )
    assert components.fingerprint == found.fingerprint
    require_sink_manifest(store, a_manifest(components=components).replace(fingerprint=components.fingerprint))
    with pytest.raises(Invalid, match=sentence):
        index_source(otherwise)
    # Workers of the job that was there find its index as it was.
    assert resolve_index(strict.source, store, images=4, preprocessing=SMALL).digest == found.digest
    assert index_source(strict).fingerprint == found.fingerprint


def test_how_far_a_long_list_is_indexed_is_said_stage_by_stage(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_photos(tmp_path, 2)
    names = sorted(path.name for path in tmp_path.glob("*.jpg"))
    (tmp_path / "list.txt").write_text("\n".join(names * 35_000))
    document = {
        "job": "catalog",
        "sink": {"uri": str(tmp_path / "rows")},
        "source": {"manifest": {"uri": str(tmp_path / "list.txt")}},
        "model": {"name": "mobilenet_v3_small", "weights": "none"},
    }
    config = validate(IndexConfig, document)
    assert index_source(config).images == 70_000
    lines = capfd.readouterr().err.splitlines()
    for said in (
        "listing: 10,000 images",
        "freezing: 65,536 images of 70,000 that are listed",
        "writing: 65,536 images of 70,000 that are listed",
    ):
        assert said in lines
    index = resolve_index(config.source, open_store(str(tmp_path / "rows")), images=70_000, preprocessing=SMALL)
    assert [uri.rpartition("/")[2] for uri in index.uris(34_999, 35_000)] == names
    assert len(index.uris(60_000, 69_999)) == 10_000

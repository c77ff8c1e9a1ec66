"""A network that an engine keeps: who finds one starts without torch and gives the same rows; others find none."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dueby_api.engines import EngineName
from dueby_api.errors import DueByError
from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_api.step_messages import ParityCheck
from dueby_worker.engines import kept_network
from dueby_worker.engines.build import available_engines, build_engine, reopen_engine
from dueby_worker.engines.kept_network import note_network, recall_network
from dueby_worker.models.facts import KnownModel
from dueby_worker.models.known_model import know_model
from dueby_worker.models.loading import load_model
from dueby_worker.output.rows import decode_rows
from support.fresh_process import modules_after
from support.worker_config import share_of_everything

KEEPING = [name for name in available_engines("fp32") if name in ("openvino", "ncnn")]
SPEC = Model(name="squeezenet1_1", weights="none", image_size=64)
AGREES = ParityCheck(max_difference=1e-6, same_top1=1, ok=True, sentence="agrees")


def work(folder: Path, engine: str, sink: str) -> set[str]:
    """Run a worker in a fresh process; return the modules that it has loaded."""
    config = {
        **share_of_everything(4, 4, 2, engine),
        "job": "job",
        "source": {"synthetic": {}},
        "sink": {"uri": str(folder / sink)},
        "model": SPEC.document(),
        "cacheDir": str(folder / "cache"),
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return modules_after(
        "from dueby_worker.steps.command import run_step\n"
        f"assert run_step(['work', '--config', {str(path)!r}, '--index', '0']) == 0"
    )


def rows(folder: Path) -> tuple[Any, Any]:
    """The classes and scores of the sink's only part."""
    (part,) = folder.glob("*.parquet")
    found, _ = decode_rows(part.read_bytes())
    return found.columns["classes"].tolist(), found.columns["scores"].tolist()


@pytest.mark.parametrize("engine", KEEPING)
def test_a_worker_that_finds_a_kept_network_loads_no_torch_and_gives_the_same_rows(
    engine: EngineName, tmp_path: Path
) -> None:
    assert "torch" in work(tmp_path, engine, "first")

    loaded = work(tmp_path, engine, "second")

    assert not loaded & {"torch", "torchvision"}
    assert rows(tmp_path / "first") == rows(tmp_path / "second")


@pytest.mark.parametrize("engine", KEEPING)
def test_a_damaged_network_is_named_by_who_builds_the_engine_and_who_opens_it_again(
    engine: EngineName, tmp_path: Path
) -> None:
    model = load_model(SPEC)
    options: dict[str, Any] = {"mini_batch_size": 2, "precision": "fp32", "threads": 1}
    build_engine(name=engine, loaded=model, cache_dir=tmp_path, **options)
    (weights,) = tmp_path.rglob("network.bin")
    os.truncate(weights, 100)
    note_network(known(tmp_path), AGREES, entry=weights.parent, engine=engine, precision="fp32", cache_dir=tmp_path)
    kept = recall_network(known(tmp_path), engine=engine, precision="fp32", cache_dir=tmp_path)
    assert kept is not None

    said = f"the converted network in {weights.parent} is damaged; delete the folder, and it is converted again"
    with pytest.raises(DueByError, match=said):
        build_engine(name=engine, loaded=model, cache_dir=tmp_path, **options)
    with pytest.raises(DueByError, match=said):
        reopen_engine(kept, name=engine, **options)


def known(folder: Path) -> KnownModel:
    return know_model(SPEC, Output(), folder)


def noted(folder: Path, parity: ParityCheck = AGREES) -> Path:
    """The folder of a network that is kept in this cache, and noted to be so far from plain fp32."""
    entry = folder / "ncnn" / "network"
    entry.mkdir(parents=True)
    note_network(known(folder), parity, entry=entry, engine="ncnn", precision="fp32", cache_dir=folder)
    return entry


def test_what_was_noted_is_found_with_its_comparison(tmp_path: Path) -> None:
    entry = noted(tmp_path)

    found = recall_network(known(tmp_path), engine="ncnn", precision="fp32", cache_dir=tmp_path)

    assert found is not None
    assert (found.entry, found.parity, found.model) == (entry, AGREES, known(tmp_path))


def remove(folder: Path, entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry.rmdir()


def change_processor(folder: Path, entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_network, "_processor", lambda: ["flags: none"])


def change_library(folder: Path, entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_network, "version", lambda package: "0.0.1")


def damage(folder: Path, entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (note,) = (folder / "networks").iterdir()
    note.write_text("{}")


def point_elsewhere(folder: Path, entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (note,) = (folder / "networks").iterdir()
    note.write_text(note.read_text().replace("ncnn/network", os.pardir))


@pytest.mark.parametrize("change", [remove, change_processor, change_library, damage, point_elsewhere])
def test_what_has_changed_is_compared_again(
    change: Callable[[Path, Path, pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = noted(tmp_path)
    change(tmp_path, entry, monkeypatch)

    assert recall_network(known(tmp_path), engine="ncnn", precision="fp32", cache_dir=tmp_path) is None


def test_another_model_engine_or_precision_is_another_network(tmp_path: Path) -> None:
    noted(tmp_path)
    model = known(tmp_path)
    other = model.replace(weights_digest="other")

    assert recall_network(other, engine="ncnn", precision="fp32", cache_dir=tmp_path) is None
    assert recall_network(model, engine="openvino", precision="fp32", cache_dir=tmp_path) is None
    assert recall_network(model, engine="ncnn", precision="bf16", cache_dir=tmp_path) is None


def test_one_that_disagrees_is_compared_by_every_worker(tmp_path: Path) -> None:
    noted(tmp_path, AGREES.replace(ok=False))

    assert recall_network(known(tmp_path), engine="ncnn", precision="fp32", cache_dir=tmp_path) is None


def test_of_people_s_own_networks_nothing_is_noted(tmp_path: Path) -> None:
    entry = tmp_path / "ncnn" / "network"
    entry.mkdir(parents=True)
    model = known(tmp_path).replace(name="python/own:make")
    note_network(model, AGREES, entry=entry, engine="ncnn", precision="fp32", cache_dir=tmp_path)

    assert not (tmp_path / "networks").exists()

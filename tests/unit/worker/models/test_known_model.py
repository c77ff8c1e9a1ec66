"""What is known of a model without its network: the same as with it, until a file changes."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_api.schema import validate
from dueby_api.step_config import IndexConfig
from dueby_worker.models.facts import KnownModel
from dueby_worker.models.known_model import know_model
from dueby_worker.models.loading import load_model
from dueby_worker.steps.index_step import index_source
from support.fresh_process import modules_after
from support.models import trained, written
from support.pictures import write_photos

# Of the job below. Sinks hold fingerprints: with another one every sink there is would be refused.
FINGERPRINT = "da2665a9383ad4853601723a553820643fd97262dd27e7cca53fd4292f3b98d9"


def index_config(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "job": "catalog",
        "sink": {"uri": str(folder / "rows")},
        "source": {"synthetic": {}},
        "images": 4,
        "model": {"name": "efficientnet_lite0"},
        "cacheDir": str(folder / "cache"),
        **changes,
    }


def noted(folder: Path) -> list[Path]:
    return list((folder / "models").iterdir())


def own_model(folder: Path, **changes: Any) -> Model:
    weights = written(folder / "own.pt", trained(classes=3).state_dict())
    (folder / "labels.txt").write_text("ant\nbee\ncat\n")
    fields: dict[str, Any] = {
        "name": "squeezenet1_1",
        "image_size": 64,
        "weights": weights,
        "labels": str(folder / "labels.txt"),
    }
    return Model(**fields | changes)


def test_a_job_has_the_fingerprint_that_sinks_hold_with_and_without_the_network(tmp_path: Path) -> None:
    config = validate(IndexConfig, index_config(tmp_path))

    assert index_source(config).fingerprint == FINGERPRINT
    assert noted(tmp_path / "cache")
    assert index_source(config).fingerprint == FINGERPRINT


@pytest.mark.parametrize("source", ["files", "synthetic"])
def test_the_index_step_loads_no_torch_if_the_model_is_known(tmp_path: Path, source: str) -> None:
    config = index_config(tmp_path)
    if source == "files":
        write_photos(tmp_path / "photos", 2)
        config |= {"source": {"uri": str(tmp_path / "photos")}, "images": None}
    know_model(Model(name="efficientnet_lite0"), Output(), tmp_path / "cache")

    loaded = modules_after(
        f"import json\nfrom pathlib import Path\nfrom dueby_worker.steps.command import run_step\n"
        f"path = Path({str(tmp_path / 'index.json')!r})\npath.write_text(json.dumps({config!r}))\n"
        "assert run_step(['index', '--config', str(path)]) == 0"
    )

    assert "dueby_worker.steps.index_step" in loaded
    assert not loaded & {"torch", "torchvision", "simplejpeg", "safetensors", "scipy", "matplotlib", "pyarrow.dataset"}


def test_all_of_it_is_as_the_network_has_it_and_its_warnings_are_said_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    spec = Model(name="squeezenet1_1", weights="none", image_size=64)
    model = load_model(spec)

    first, again = know_model(spec, Output(), tmp_path), know_model(spec, Output(), tmp_path)

    assert first == again
    assert (again.name, again.labels, again.preprocessing, again.weights_digest) == (
        (model.name, model.labels, model.preprocessing, model.weights_digest)
    )
    assert caplog.messages == 3 * list(model.warnings)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda folder: written(folder / "own.pt", trained(classes=3, seed=8).state_dict()), id="other weights"
        ),
        pytest.param(lambda folder: (folder / "labels.txt").write_text("ant\nbee\ncow\n"), id="other labels"),
        pytest.param(lambda folder: noted(folder)[0].write_text("{"), id="a damaged note"),
        pytest.param(lambda folder: noted(folder)[0].write_text("{}"), id="another version's note"),
    ],
)
def test_what_has_changed_is_loaded_again(tmp_path: Path, change: Any) -> None:
    spec = own_model(tmp_path)
    know_model(spec, Output(), tmp_path)
    times = os.stat(tmp_path / "own.pt").st_atime_ns, os.stat(tmp_path / "own.pt").st_mtime_ns

    change(tmp_path)
    # As a copy that keeps times does.
    os.utime(tmp_path / "own.pt", ns=times)

    assert facts_of(know_model(spec, Output(), tmp_path)) == facts_of(know_model(spec, Output(), None))


def facts_of(known: KnownModel) -> dict[str, Any]:
    return known.replace(files=()).document()


def test_a_file_is_known_by_its_place_and_not_by_what_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for number, name in enumerate(("here", "there")):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        torch.save(trained(classes=3, seed=number).state_dict(), "own.pt")
        spec = Model(name="squeezenet1_1", image_size=64, weights="own.pt", classes=3)
        digests.append(know_model(spec, Output(), tmp_path).weights_digest)

    assert digests[0] != digests[1]


def test_what_is_known_with_one_output_says_nothing_of_another(tmp_path: Path) -> None:
    spec = own_model(tmp_path)
    know_model(spec, Output(), tmp_path)

    with pytest.raises(Invalid, match="there is no layer 'attic'"):
        know_model(spec, Output(kind="Embedding", layer="attic"), tmp_path)
    found = know_model(spec, Output(kind="Embedding"), tmp_path)
    assert found.output == Output(kind="Embedding").resolved
    assert know_model(spec, Output(), tmp_path).output == Output().resolved
    assert len(noted(tmp_path)) == 2


def test_nothing_is_noted_of_what_another_library_has_read(tmp_path: Path) -> None:
    assert know_model(Model(name="timm/test_vit", weights="none", image_size=160), Output(), tmp_path).labels
    assert not (tmp_path / "models").exists()


def test_who_may_not_note_anything_knows_the_model_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")

    assert know_model(own_model(tmp_path), Output(), tmp_path).labels == ("ant", "bee", "cat")


def test_notes_depend_on_the_libraries_and_on_the_code(tmp_path: Path) -> None:
    know_model(own_model(tmp_path), Output(), tmp_path)

    files = {file["path"] for file in json.loads(noted(tmp_path)[0].read_text())["files"]}

    assert {torch.__file__, str(tmp_path / "own.pt"), str(tmp_path / "labels.txt")} <= files
    assert any(path.endswith("dueby_worker/models/torchvision_models.py") for path in files)

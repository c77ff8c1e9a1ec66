"""Which configurations a worker accepts, and the messages for those that it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.grid import Share
from dueby_api.step_config import LOSSES_VARIABLE, IndexConfig, WorkConfig
from dueby_worker.steps.command import load_config, read_losses


def a_document(**changes: Any) -> dict[str, Any]:
    """A worker's configuration as a backend writes it."""
    document = {
        "job": "catalog",
        "revision": 1,
        "worker": "w0",
        "deviceClass": "cpu-1",
        "engine": "openvino",
        "threads": 1,
        "cores": [0],
        "decodeThreads": 1,
        "miniBatchSize": 32,
        "iterations": 9,
        "share": [0, 2],
        "shares": [[0, 2], [2, 4]],
        "images": 1000,
        "partSize": 256,
        "model": {"name": "efficientnet_b0"},
        "source": {"uri": "file:///photos"},
        "sink": {"uri": "file:///out"},
        "fingerprint": None,
        "retryFailed": False,
        "portFile": None,
        "cacheDir": None,
    }
    return {**document, **changes}


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_a_worker_is_told_its_grid_its_share_and_its_place(tmp_path: Path) -> None:
    config = load_config(WorkConfig, write(tmp_path / "c.json", a_document(share=[2, 4])))
    assert (config.grid.parts, config.own_share, config.place) == (4, Share(first=2, end=4), 1)


def test_workers_with_the_same_empty_share_are_told_apart_by_their_rank(tmp_path: Path) -> None:
    document = a_document(share=[0, 0], shares=[[0, 4], [0, 0], [0, 0]], rank=2)
    assert load_config(WorkConfig, write(tmp_path / "c.json", document)).place == 2


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        pytest.param(a_document(share=[0, 3]), "share: is not in its place among shares", id="a share of nobody"),
        pytest.param(a_document(rank=1), "share: is not in its place among shares", id="another's rank"),
        pytest.param(a_document(share=[0, 5], shares=[[0, 5]]), "share: .* not a run of the 4 parts", id="too far"),
        pytest.param(a_document(shares=[[0, 2], [3, 2]]), r"shares\[1\]: .* not a run", id="backwards"),
        pytest.param(
            a_document(engine="auto"),
            "engine: must be one of cudagraph, cuda, inductor, onnxruntime, tensorrt, openvino, ncnn, eager, "
            "compile, but is 'auto'",
            id="engine not chosen",
        ),
        pytest.param(a_document(miniBatchSize=0), "miniBatchSize: must be an integer of at least 1", id="no images"),
        pytest.param(a_document(minibatchsize=3), "minibatchsize: there is no such field; did you mean", id="spelling"),
        pytest.param(["a list"], "expected a mapping", id="a list"),
    ],
)
def test_a_wrong_configuration_is_refused_with_the_field(tmp_path: Path, document: object, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        load_config(WorkConfig, write(tmp_path / "c.json", document))


def test_a_file_that_is_missing_or_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"c\.json: can't be read"):
        load_config(WorkConfig, tmp_path / "c.json")
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(Invalid, match=r"c\.json: is not JSON"):
        load_config(WorkConfig, tmp_path / "c.json")


def a_config_of_several() -> dict[str, Any]:
    common = {
        name: value for name, value in a_document().items() if name not in ("worker", "share", "miniBatchSize", "rank")
    }
    return common | {
        "workers": [
            {"worker": "w0", "share": [0, 2], "miniBatchSize": 32},
            {"worker": "w1", "share": [2, 4], "miniBatchSize": 16},
        ]
    }


@pytest.mark.parametrize(
    ("index", "environment"),
    [
        pytest.param(1, {}, id="by option"),
        pytest.param(None, {"JOB_COMPLETION_INDEX": "1"}, id="by the completion index of a Job"),
        pytest.param(1, {"JOB_COMPLETION_INDEX": "0"}, id="by option before the completion index"),
    ],
)
def test_one_file_serves_all_pods_of_a_job(tmp_path: Path, index: int | None, environment: dict[str, str]) -> None:
    path = write(tmp_path / "c.json", a_config_of_several())
    config = load_config(WorkConfig, path, index=index, environment=environment)
    assert (config.worker, config.mini_batch_size, config.place) == ("w1", 16, 1)


@pytest.mark.parametrize(
    ("document", "index", "environment", "sentence"),
    [
        pytest.param(a_config_of_several(), None, {}, "--index: .* holds several workers", id="which one is not said"),
        pytest.param(a_config_of_several(), 2, {}, "--index: there is no worker 2", id="beyond the last"),
        pytest.param(a_config_of_several(), -1, {}, "--index: there is no worker -1", id="before the first"),
        pytest.param({"workers": {}}, 0, {}, "workers: must be a list", id="workers is no list"),
    ],
)
def test_the_worker_of_a_shared_file_must_be_one_of_its(
    tmp_path: Path, document: object, index: int | None, environment: dict[str, str], sentence: str
) -> None:
    with pytest.raises(Invalid, match=sentence):
        load_config(WorkConfig, write(tmp_path / "c.json", document), index=index, environment=environment)


def test_the_index_step_is_told_source_sink_and_model(tmp_path: Path) -> None:
    document = {name: a_document()[name] for name in ("job", "model", "source", "sink")}
    config = load_config(IndexConfig, write(tmp_path / "c.json", document))
    assert (config.images, config.sink.if_exists) == (None, "Resume")


@pytest.mark.parametrize(("text", "losses"), [("0", 0), ("6", 6), ("", 0), ("-1", 0), ("two", 0), ("9" * 5_000, 0)])
def test_what_is_no_number_of_losses_is_none(text: str, losses: int) -> None:
    assert read_losses({LOSSES_VARIABLE: text}) == losses
    assert read_losses({}) == 0

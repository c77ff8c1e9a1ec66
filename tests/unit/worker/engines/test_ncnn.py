"""The engine `ncnn`: how a network is converted, once, and what is said of one that can't be."""

import logging
import os
from pathlib import Path

import numpy as np
import pnnx
import pytest
import torch
from torch import nn

from dueby_api.errors import DueByError, Invalid
from dueby_worker.engines import ncnn_network
from dueby_worker.engines.interface import EngineRequest
from dueby_worker.engines.ncnn import NcnnNetwork, build, find_obstacle
from dueby_worker.engines.ncnn_network import network_key
from dueby_worker.engines.parity import check_parity
from dueby_worker.engines.synchronous import SynchronousEngine
from dueby_worker.models.loading import LoadedModel
from support.models import loaded, noise

SIDE = 64


class Halved(nn.Module):
    """A network with a layer that ncnn has not."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, ::2].mean((2, 3))


class Named(nn.Module):
    """A network that PyTorch can't trace."""

    def forward(self, images: torch.Tensor) -> dict[int, str]:
        return {len(images): "an answer"}


def own(module: nn.Module) -> LoadedModel:
    return loaded(image_size=SIDE).replace(name="python/own:make", module=module)


def built(model: LoadedModel, cache_dir: Path | None = None, *, mini_batch_size: int = 2) -> SynchronousEngine:
    return build(
        EngineRequest(loaded=model, mini_batch_size=mini_batch_size, precision="fp32", threads=1, cache_dir=cache_dir)
    )


def files(cache_dir: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in cache_dir.rglob("*") if path.is_file()}


def test_a_network_is_converted_once_for_all_mini_batch_sizes(tmp_path: Path) -> None:
    model, images = loaded("resnet18", image_size=SIDE), noise(3, SIDE)
    first = built(model, tmp_path)
    made = files(tmp_path)
    second = built(model, tmp_path, mini_batch_size=3)

    assert files(tmp_path) == made
    assert {path.name for path in made} == {"network.param", "network.bin"}
    assert [path.name for path in (tmp_path / "ncnn").iterdir()] == [network_key(model)]  # and no leftovers
    first.submit(images[:2])
    second.submit(images)
    one, other = first.collect(), second.collect()
    assert np.array_equal(one["classes"], other["classes"][:2])
    assert np.array_equal(one["scores"], other["scores"][:2])


def test_images_of_another_size_have_a_network_of_their_own() -> None:
    assert network_key(loaded(image_size=SIDE)) != network_key(loaded(image_size=SIDE + 32))


def test_without_a_cache_folder_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    engine = built(loaded(image_size=SIDE))

    assert check_parity(engine, loaded(image_size=SIDE)).ok
    assert not list(tmp_path.iterdir())


def test_a_slice_s_threads_are_ncnn_s(tmp_path: Path) -> None:
    for threads in (1, 2):
        model = loaded(image_size=SIDE)
        engine = build(
            EngineRequest(loaded=model, mini_batch_size=1, precision="fp32", threads=threads, cache_dir=tmp_path)
        )
        assert isinstance(engine._run, NcnnNetwork)
        assert engine._run.network.opt.num_threads == threads


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        pytest.param(Halved(), "there is no layer Tensor.slice in ncnn", id="a layer that it has not"),
        pytest.param(Named(), "PyTorch can't trace it: ", id="no tensor"),
    ],
)
def test_a_network_that_can_not_be_converted_is_refused_with_the_reason(
    module: nn.Module, reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(Invalid, match=f"ncnn can't take python/own:make: {reason}") as refused:
        built(own(module))

    assert refused.value.field == "spec.model.engine"
    assert refused.value.message.endswith("; use the engine openvino or eager")
    assert not files(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param("exit 3", "pnnx ended with exit code 3", id="fails"),
        pytest.param("kill -9 $$", "pnnx ended with exit code -9", id="killed, as for its memory"),
        pytest.param("sleep 60", "pnnx was not done after 0.2 s", id="never done"),
    ],
)
def test_a_converter_that_fails_is_a_reason_too(
    script: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pnnx"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(pnnx, "EXEC_PATH", str(program))
    if "sleep" in script:
        monkeypatch.setattr(ncnn_network, "_MAX_CONVERTING_S", 0.2)

    with pytest.raises(Invalid, match=reason) as refused:
        built(loaded(image_size=SIDE))

    assert refused.value.field == "spec.model.engine"


def test_a_damaged_network_is_named(tmp_path: Path) -> None:
    model = loaded(image_size=SIDE)
    built(model, tmp_path)
    (weights,) = tmp_path.rglob("network.bin")
    os.truncate(weights, 1000)

    with pytest.raises(DueByError, match=f"the converted network in {weights.parent} is damaged; delete the folder"):
        built(model, tmp_path)


def test_a_folder_that_is_a_file_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ncnn").write_text("in the way")
    model = loaded(image_size=SIDE)

    with caplog.at_level(logging.WARNING):
        assert check_parity(built(model, tmp_path), model).ok

    assert caplog.messages == [f"the converted network can't be kept in {tmp_path}: File exists"]


def test_what_is_missing_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_obstacle("fp32") is None
    monkeypatch.setattr("dueby_worker.engines.host.find_spec", lambda name: None)

    assert find_obstacle("fp32") == (
        "ncnn and pnnx must be installed: pip install 'dueby[ncnn]', in the worker's image too"
    )

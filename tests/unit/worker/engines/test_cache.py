"""What engines keep of a network has another name after whatever may have changed the network."""

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from torch import nn

from dueby_api.inference_job import Model
from dueby_worker.engines import cache
from dueby_worker.engines.build import available_engines, build_engine
from dueby_worker.engines.cache import cache_name, cached_file
from dueby_worker.models.loading import load_model
from support.models import loaded
from support.small_disk import fill, remount, small_disk

# Engines that keep the network in a form of their own.
CONVERTING = [name for name in available_engines("fp32") if name in ("openvino", "ncnn")]


@pytest.mark.parametrize(
    ("library", "changes"),
    [
        pytest.param("timm", True, id="the library that made the network"),
        pytest.param("transformers", False, id="another library"),
    ],
)
def test_a_name_changes_with_the_version_of_the_network_s_library(
    library: str, changes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(Model(name="timm/test_vit", weights="none", image_size=160))
    before = cache_name(model)
    monkeypatch.setattr(cache, "version", lambda name: "99" if name == library else version(name))

    assert (cache_name(model) != before) == changes


def test_a_name_is_the_same_each_time_and_changes_with_what_is_given() -> None:
    assert cache_name(loaded(), size=4) == cache_name(loaded(), size=4)
    assert cache_name(loaded(), size=4) != cache_name(loaded(), size=8)


def test_networks_of_people_s_own_may_answer_in_16_bits() -> None:
    class Coarse(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3)).bfloat16()

    model = loaded().replace(name="python/own:make", module=Coarse())
    assert cache_name(model) == cache_name(model)


def test_a_file_is_made_once(tmp_path: Path) -> None:
    found = [cached_file(tmp_path / "plan", partial(bytes, made)) for made in (b"first", b"second")]

    assert found == [b"first", b"first"]


@pytest.mark.disk
@pytest.mark.parametrize("spoil", [fill, lambda disk: remount(disk, "ro")], ids=["full", "read-only"])
def test_what_can_not_be_kept_is_used_all_the_same(
    tmp_path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        spoil(disk)
        assert cached_file(disk / "tensorrt" / "plan", partial(bytes, b"made")) == b"made"
        for name in CONVERTING:
            engine = build_engine(
                loaded=loaded(), name=name, mini_batch_size=2, precision="fp32", threads=1, cache_dir=disk
            )
            engine.submit(engine.buffer())
            assert len(engine.collect()["classes"]) == 2
            engine.close()
        assert not list(disk.rglob("network.*"))
    assert "what took long to make can't be kept in" in caplog.messages[0]
    assert len(caplog.messages) == 1 + len(CONVERTING)
    assert all("the converted network can't be kept in" in message for message in caplog.messages[1:])

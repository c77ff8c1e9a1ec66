"""The engine `inductor` without a GPU: what it lacks here, and that what is captured is what was compiled.

test_cuda.py runs it on a GPU, and tests/integration/test_engines_slow.py compiles for cores as it does for a GPU.
"""

import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from dueby_worker.engines import cudagraph, inductor
from dueby_worker.engines.inductor import compile_and_capture, find_compiler_obstacle
from dueby_worker.engines.network import tuned_network
from support.models import loaded


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of programs, headers and packages of a machine that has all that compiling for a GPU needs."""
    for name in ("triton.py", "Python.h", "gcc"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    return tmp_path


def test_nothing_is_in_the_way_where_all_is_there(folder: Path) -> None:
    assert find_compiler_obstacle() is None
    (folder / "gcc").rename(folder / "clang")
    assert find_compiler_obstacle() is None


def test_a_compiler_that_is_named_is_the_only_one_that_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "other-cc")
    assert (find_compiler_obstacle() or "").startswith("there is no C compiler (other-cc) here, which Triton needs")
    (folder / "other-cc").touch(mode=0o755)
    assert find_compiler_obstacle() is None


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("gcc", "there is no C compiler (gcc or clang) here, which Triton needs; install one, or use the engine"),
        ("Python.h", "Python's headers aren't here ({}/Python.h), which Triton needs; install python3-dev, or use"),
    ],
)
def test_what_is_missing_is_named(missing: str, sentence: str, folder: Path) -> None:
    (folder / missing).unlink()

    assert (find_compiler_obstacle() or "").startswith(sentence.format(folder))


def test_without_triton_it_is_said_where_it_comes_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inductor, "find_spec", lambda name: None)

    assert (find_compiler_obstacle() or "").startswith("Triton is not installed, which PyTorch's own wheels for CUDA")


def test_what_is_captured_is_what_was_compiled_for_this_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape, stream = (2, 64, 64, 3), cast(Any, SimpleNamespace(device="cpu"))
    asked: list[Any] = []

    def compile_network(network: Any, images: torch.Tensor, **options: Any) -> str:
        asked.append((network, tuple(images.shape), images.dtype, options))
        return "compiled"

    monkeypatch.setattr(inductor, "compile_network", compile_network)
    monkeypatch.setattr(cudagraph, "capture", lambda *arguments: arguments)
    network = tuned_network(loaded(), "fp32")

    captured: Any = compile_and_capture(network, shape, stream, cache_dir=tmp_path)

    assert captured == ("compiled", shape, stream)
    assert asked == [(network, shape, torch.uint8, {"cache_dir": tmp_path, "constant_weights": False})]

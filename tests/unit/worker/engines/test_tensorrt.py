"""TensorRT without a GPU: what is wrong with this machine or the model. test_cuda.py and test_onnx.py run it on one."""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dueby_api.engines import ENGINES, Precision
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_worker.engines.tensorrt import plan_name, require_fit
from dueby_worker.engines.tensorrt_plan import find_package_obstacle, new_config
from dueby_worker.models.loading import LoadedModel, load_model
from support.models import loaded
from support.onnx_files import SIDE, write_model

MACHINE: dict[str, Any] = {
    "gpu": ["NVIDIA A100-SXM4-40GB", 8, 0, 108, 42_000_000_000],
    "versions": ["11.4.0", "2.13.0"],
}


def onnx_model(folder: Path, **case: Any) -> LoadedModel:
    path = write_model(folder, **case).path
    return load_model(Model(name="onnx/small", weights=str(path), image_size=SIDE), Output())


# The package


def install(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package of that name in front of any other, for one test."""
    (folder / "tensorrt.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="needs an environment without TensorRT")
def test_without_the_package_it_is_said_how_to_get_it() -> None:
    assert find_package_obstacle() == (
        "TensorRT is not installed: pip install 'dueby[tensorrt]', in the worker's image too"
    )


@pytest.mark.parametrize(
    ("source", "obstacle"),
    [
        pytest.param("__version__ = '8.6.1'", "TensorRT 8.6.1 is too old; it must be 10.1 or newer: pip", id="old"),
        pytest.param("__version__ = '10.0.1'", "TensorRT 10.0.1 is too old; it must be 10.1 or newer: pip", id="just"),
        pytest.param("__version__ = '10.1.0'", None, id="the oldest"),
        pytest.param("__version__ = '11.4.0.106'", None, id="new"),
        pytest.param(
            "raise OSError('libnvinfer.so.11: cannot open shared object file')",
            "TensorRT can't be loaded: libnvinfer.so.11: cannot open shared object file; pip",
            id="without its libraries",
        ),
    ],
)
def test_a_package_that_does_not_do_is_refused(
    source: str, obstacle: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(source, tmp_path, monkeypatch)

    found = find_package_obstacle()

    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    assert (found or "").startswith(obstacle or "")
    assert (found is None) == (obstacle is None)


@pytest.mark.parametrize(("tf32", "calls"), [(True, ["set TF32"]), (False, ["clear TF32"])])
def test_a_plan_for_fp32_refuses_tf32_which_is_the_default(tf32: bool, calls: list[str]) -> None:
    done: list[str] = []
    config = SimpleNamespace(
        set_flag=lambda flag: done.append(f"set {flag}"), clear_flag=lambda flag: done.append(f"clear {flag}")
    )

    new_config(SimpleNamespace(create_builder_config=lambda: config), "TF32", tf32=tf32)

    assert done == calls


# The model


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_an_onnx_file_keeps_its_own_precision(precision: Precision, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="TensorRT computes ONNX files in their own precision; set fp32 or tf32") as error:
        require_fit(onnx_model(tmp_path), 2, precision)

    assert error.value.field == "spec.model.precision"


def test_an_onnx_file_for_another_number_of_images_is_refused(tmp_path: Path) -> None:
    model = onnx_model(tmp_path, shape=(1, 3, SIDE, SIDE))

    require_fit(model, 1, "fp32")
    with pytest.raises(
        Invalid, match=r"small\.onnx computes mini-batches of 1, not of 2: export it with a dynamic axis"
    ):
        require_fit(model, 2, "fp32")


@pytest.mark.parametrize("precision", ENGINES["tensorrt"].precisions)
def test_a_network_of_pytorch_takes_any_number_at_each_precision(precision: Precision) -> None:
    require_fit(loaded(), 7, precision)


def test_a_plan_s_name_changes_with_everything_that_it_depends_on(tmp_path: Path) -> None:
    model = loaded()
    # What each plan is for, the first of them twice.
    plans: list[tuple[LoadedModel, int, Precision, dict[str, Any]]] = [
        (model, 4, "fp16", MACHINE),
        (model, 4, "fp16", {**MACHINE}),
        (model, 8, "fp16", MACHINE),
        (model, 4, "bf16", MACHINE),
        (model, 4, "fp16", MACHINE | {"gpu": ["NVIDIA H100 80GB HBM3", 9, 0, 132, 85_000_000_000]}),
        (model, 4, "fp16", MACHINE | {"versions": ["11.3.0", "2.13.0"]}),
        (loaded(classes=7), 4, "fp16", MACHINE),
        (loaded(image_size=96), 4, "fp16", MACHINE),
        (loaded("squeezenet1_0"), 4, "fp16", MACHINE),
        (onnx_model(tmp_path), 4, "fp32", MACHINE),
    ]

    names = [plan_name(given, size, precision, machine=machine) for given, size, precision, machine in plans]

    assert names[0] == names[1]
    assert len(set(names)) == len(names) - 1

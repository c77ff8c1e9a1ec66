"""Every engine of this machine: it takes fixed mini-batches and returns the best classes of fp32 PyTorch."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dueby_api.engines import EngineName, Precision
from dueby_api.errors import Invalid
from dueby_worker.engines import openvino
from dueby_worker.engines.build import available_engines, build_engine
from dueby_worker.engines.host import pin_to_cores, process_environment
from dueby_worker.engines.interface import Engine
from dueby_worker.engines.parity import check_parity, made_up_images
from dueby_worker.models.columns import Columns
from dueby_worker.models.loading import LoadedModel
from dueby_worker.models.weights import digest_weights
from support.models import loaded, noise

SIDE = 64
# torch.compile has a test of its own, among the slow ones; those of GPUs are in test_cuda.py.
ENGINES = [name for name in available_engines("fp32") if name in ("eager", "openvino", "ncnn")]


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def build(name: EngineName, model: LoadedModel, cache_dir: Path | None = None, **changes: Any) -> Engine:
    options: dict[str, Any] = {"mini_batch_size": 2, "precision": "fp32", "threads": 1} | changes
    return build_engine(name=name, loaded=model, cache_dir=cache_dir, **options)


def classify(engine: Engine, pictures: np.ndarray) -> Columns:
    engine.submit(pictures)
    return engine.collect()


# Every engine


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("model", ["efficientnet_lite0", "resnet18", "shufflenet_v2_x0_5"])
def test_an_engine_says_what_plain_fp32_says(name: EngineName, model: str, cache_dir: Path) -> None:
    weights = "DEFAULT" if model == "efficientnet_lite0" else "none"
    given = loaded(model, weights=weights, image_size=SIDE)
    engine = build(name, given, cache_dir, mini_batch_size=3)

    parity = check_parity(engine, given)

    assert parity.ok, parity.sentence
    assert parity.max_difference is not None
    assert parity.max_difference < 2e-5


@pytest.mark.parametrize("name", ENGINES)
def test_rows_do_not_depend_on_the_mini_batch_size(name: EngineName, cache_dir: Path) -> None:
    model = loaded("efficientnet_lite0", weights="DEFAULT", image_size=SIDE)
    pictures = made_up_images(4, SIDE)
    all_at_once = classify(build(name, model, cache_dir, mini_batch_size=4), pictures)
    one_by_one = build(name, model, cache_dir, mini_batch_size=1)

    for row in range(4):
        top = classify(one_by_one, pictures[row : row + 1])
        assert top["classes"][0].tolist() == all_at_once["classes"][row].tolist()
        assert top["scores"][0] == pytest.approx(all_at_once["scores"][row], abs=1e-5)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("classes", "count"), [(1, 1), (3, 3), (5, 5), (9, 5)])
def test_the_best_five_classes_come_best_first(name: EngineName, classes: int, count: int, cache_dir: Path) -> None:
    model = loaded(image_size=SIDE, classes=classes)

    top = classify(build(name, model, cache_dir), noise(2, SIDE))

    assert top["classes"].shape == top["scores"].shape == (2, count)
    assert (top["classes"].dtype, top["scores"].dtype) == (np.dtype(np.int32), np.dtype(np.float32))
    assert (np.diff(top["scores"], axis=1) <= 0).all()
    assert all(len(set(row)) == count and set(row) <= set(range(classes)) for row in top["classes"].tolist())
    assert classes > count or top["scores"].sum(axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ENGINES)
def test_a_result_outlives_the_next_mini_batch_in_the_same_buffer(name: EngineName, cache_dir: Path) -> None:
    engine = build(name, loaded("efficientnet_lite0", weights="DEFAULT", image_size=SIDE), cache_dir)
    buffer = engine.buffer()
    buffer[...] = noise(2, SIDE, seed=1)
    first = classify(engine, buffer)
    kept = first["scores"].copy()

    buffer[...] = noise(2, SIDE, seed=2)
    second = classify(engine, buffer)

    assert np.array_equal(first["scores"], kept)
    assert not np.array_equal(first["scores"], second["scores"])


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_is_what_the_plan_says(name: EngineName, cache_dir: Path) -> None:
    engine = build(name, loaded(image_size=SIDE), cache_dir, mini_batch_size=7)

    assert (engine.name, engine.precision, engine.depth) == (name, "fp32", 1)
    assert (engine.buffer().shape, engine.buffer().dtype) == ((7, SIDE, SIDE, 3), np.dtype(np.uint8))
    assert engine.buffer() is not engine.buffer()
    engine.close()


@pytest.mark.parametrize("name", ENGINES)
def test_the_model_is_left_as_it_was(name: EngineName) -> None:
    model = loaded("resnet18", image_size=SIDE)
    before = digest_weights(model.module)

    build(name, model)

    assert digest_weights(model.module) == before
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.module.modules())


@pytest.mark.parametrize("threads", [1, 2])
def test_an_engine_has_the_threads_of_its_slice(threads: int) -> None:
    build("eager", loaded(image_size=SIDE), threads=threads)
    taken = torch.get_num_threads()
    torch.set_num_threads(1)

    assert taken == threads


# Precision


@pytest.mark.parametrize("name", ["eager", "openvino", "ncnn", "compile"])
@pytest.mark.parametrize(("precision", "reason"), [("fp16", "CPUs compute fp16 slower"), ("tf32", "CPUs have no tf32")])
def test_no_cpu_engine_takes_a_gpu_s_precision(name: EngineName, precision: Precision, reason: str) -> None:
    with pytest.raises(Invalid, match=f"{name} at {precision}: {reason}") as refused:
        build(name, loaded(image_size=SIDE), precision=precision)

    assert refused.value.field == "spec.model.engine"
    assert name not in available_engines(precision)


def test_eager_computes_in_bf16() -> None:
    model = loaded("efficientnet_lite0", weights="DEFAULT", image_size=SIDE)
    engine = build("eager", model, precision="bf16", mini_batch_size=4)

    parity = check_parity(engine, model)

    assert engine.precision == "bf16"
    assert parity.ok, parity.sentence
    assert parity.max_difference is not None
    assert parity.max_difference > 1e-4  # or it would not be bf16


def test_openvino_never_computes_in_another_precision(cache_dir: Path) -> None:
    model = loaded("efficientnet_lite0", weights="DEFAULT", image_size=SIDE)
    if "openvino" not in available_engines("bf16"):
        with pytest.raises(Invalid, match="this CPU has no bf16 instructions"):
            build("openvino", model, cache_dir, precision="bf16")
        return

    parity = check_parity(build("openvino", model, cache_dir, precision="bf16", mini_batch_size=4), model)

    assert parity.ok, parity.sentence
    assert parity.max_difference is not None
    assert parity.max_difference > 1e-4


# What this machine can't do


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("name", ["cuda", "cudagraph", "inductor", "tensorrt"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_without_a_gpu_its_engines_are_refused(name: EngineName, precision: Precision) -> None:
    with pytest.raises(Invalid, match="there is no NVIDIA GPU here"):
        build(name, loaded(image_size=SIDE), precision=precision)

    assert name not in available_engines(precision)


def test_without_a_compiler_compile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")

    with pytest.raises(Invalid, match=r"there is no C\+\+ compiler \(no-such-compiler\) here"):
        build("compile", loaded(image_size=SIDE))

    assert "compile" not in available_engines("fp32")


# The cache


@pytest.mark.parametrize(("mode", "is_told"), [(0o700, True), (0o770, False)], ids=["its own", "a group's"])
def test_the_driver_keeps_what_it_compiles_in_the_cache_folder_unless_others_may_write_to_it(
    mode: int, is_told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_CACHE_PATH", "")  # the engine sets it: undone afterwards
    monkeypatch.delenv("CUDA_CACHE_PATH")
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)

    build("eager", loaded(image_size=SIDE), folder)

    assert os.environ.get("CUDA_CACHE_PATH") == (str(folder / "cuda") if is_told else None)


# OpenVINO's cache


def converted(cache_dir: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in cache_dir.rglob("network.*")}


@pytest.mark.skipif("openvino" not in ENGINES, reason="OpenVINO is not installed")
def test_a_network_is_converted_once_for_all_mini_batch_sizes(tmp_path: Path) -> None:
    model = loaded(image_size=SIDE)
    first = classify(build("openvino", model, tmp_path), noise(2, SIDE))
    made = converted(tmp_path)

    second = classify(build("openvino", model, tmp_path, mini_batch_size=3), noise(3, SIDE))

    assert converted(tmp_path) == made
    assert {path.name for path in made} == {"network.xml", "network.bin"}
    assert len(list((tmp_path / "openvino").iterdir())) == 1  # and no leftovers
    assert np.array_equal(first["classes"], second["classes"][:2]) or first["scores"] == pytest.approx(
        second["scores"][:2], abs=1e-6
    )


@pytest.mark.skipif("openvino" not in ENGINES, reason="OpenVINO is not installed")
def test_another_network_is_converted_again(tmp_path: Path) -> None:
    counts = {}
    for other in ({}, {"image_size": SIDE + 32}, {"classes": 7}, {"name": "squeezenet1_0"}):
        build("openvino", loaded(**{"image_size": SIDE, **other}), tmp_path)
        counts[str(other)] = len(converted(tmp_path))

    assert list(counts.values()) == [2, 4, 6, 8], counts


@pytest.mark.skipif("openvino" not in ENGINES, reason="OpenVINO is not installed")
def test_openvino_reports_nothing_about_its_use() -> None:
    import sys

    openvino.find_obstacle("bf16")

    assert sys.modules["openvino_telemetry"] is None


# The process


@pytest.mark.parametrize(
    ("engine", "keeps_heap"),
    [
        ("eager", True),
        ("compile", True),
        ("openvino", False),
        ("ncnn", False),
        ("cuda", False),
        ("cudagraph", False),
        ("inductor", False),
        ("tensorrt", False),
    ],
)
def test_a_process_is_told_its_threads_and_how_to_keep_memory(engine: EngineName, keeps_heap: bool) -> None:
    environment = process_environment(engine, 3)

    assert environment["OMP_NUM_THREADS"] == "3"
    compiles = engine in ("compile", "inductor")
    assert environment.get("TORCHINDUCTOR_COMPILE_THREADS") == ("3" if compiles else None)
    assert (environment.get("MALLOC_MMAP_MAX_") == "0") is keeps_heap
    assert (environment.get("MALLOC_TRIM_THRESHOLD_") == "8589934592") is keeps_heap


def test_a_worker_stays_on_its_cores() -> None:
    core = min(os.sched_getaffinity(0))

    def pinned() -> set[int]:
        pin_to_cores([core])
        return os.sched_getaffinity(0)

    with ThreadPoolExecutor(1) as thread:  # Linux binds threads, so that the test's own stays free
        assert thread.submit(pinned).result() == {core}

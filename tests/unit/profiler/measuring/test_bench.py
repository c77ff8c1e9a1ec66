"""What a measuring process loads is what a worker loads, and what it finds in the cache."""

import shutil
import time
from pathlib import Path

import pytest
import torch

from dueby_api.engines import EngineName
from dueby_api.inference_job import Model
from dueby_api.step_config import EarlyConfig
from dueby_profiler.machine.layouts import Layout, Slice
from dueby_profiler.measuring.bench import Bench
from dueby_profiler.measuring.messages import Point, Setup
from dueby_profiler.measuring.start_group import start_group
from dueby_worker.engines.build import available_engines
from dueby_worker.steps.job_network import find_kept_network
from support.fresh_process import modules_after
from support.profiler import TINY

KEEPING = [name for name in available_engines("fp32") if name in ("openvino", "ncnn")]
ONE_SLICE = Layout(device_class="cpu-1", slices=(Slice(threads=1),))


def test_an_image_encoder_is_measured_with_the_embedding_that_its_jobs_ask_for() -> None:
    model = Model(name="timm/vit_xsmall_patch16_clip_224.tinyclip_yfcc15m", weights="none")

    loaded = Bench(Setup(model=model, engine="eager", threads=1, spawned_us=0)).loaded

    assert (loaded.output.kind, loaded.values) == ("Embedding", 512)


@pytest.mark.skipif("openvino" not in available_engines("fp32"), reason="OpenVINO is not installed")
def test_the_first_engine_of_workers_without_a_common_cache_finds_nothing_in_it(tmp_path: Path) -> None:
    def setup(*, starts_empty: bool) -> Setup:
        return Setup(
            model=TINY.replace(engine="openvino"),
            engine="openvino",
            threads=1,
            cache_dir=str(tmp_path),
            starts_empty=starts_empty,
            spawned_us=0,
        )

    def networks() -> int:
        return len(list((tmp_path / "openvino").glob("*")))

    bench = Bench(setup(starts_empty=True))
    bench.build(1)
    assert networks() == 0
    # The sizes after it are measured for their steps, and take no longer than they must.
    bench.build(2)
    assert networks() == 1

    (converted,) = (tmp_path / "openvino").iterdir()
    made = converted.stat().st_ino
    Bench(setup(starts_empty=True)).build(1)
    Bench(setup(starts_empty=False)).build(1)
    assert [path.stat().st_ino for path in (tmp_path / "openvino").iterdir()] == [made]


def test_a_profile_checks_an_engine_with_the_threads_of_its_slice_as_workers_do() -> None:
    model = Model(name="efficientnet_b0", weights="none", image_size=64)
    bench = Bench(Setup(model=model, engine="openvino", threads=2, spawned_us=0))
    taken: list[int] = []
    bench.loaded.module.register_forward_pre_hook(lambda *_: taken.append(torch.get_num_threads()))
    bench.build(2)
    engine, (batch, *_) = bench.ready_engine(), bench.buffers
    engine.submit(batch)
    taken.clear()

    assert bench.check_once(batch, engine.collect()) is None
    assert taken == [2]
    assert torch.get_num_threads() == 1


def measure_once(engine: EngineName, cache_dir: Path, *, starts_empty: bool = False) -> Point:
    """Measure a mini-batch size with one fresh process."""
    group = start_group(
        ONE_SLICE,
        lambda _: TINY,
        engine,
        cache_dir=cache_dir,
        starts_empty=starts_empty,
        clock=time.monotonic,
    )
    with group:
        group.build(2)
        (point,) = group.run(0.1)
    return point


@pytest.mark.parametrize("engine", KEEPING)
def test_a_process_whose_network_is_kept_starts_as_a_worker_does_then_and_has_the_memory_of_one_that_finds_none(
    engine: EngineName, tmp_path: Path
) -> None:
    first = measure_once(engine, tmp_path)
    assert find_kept_network(EarlyConfig(model=TINY, engine=engine, threads=1, cache_dir=str(tmp_path))) is not None
    kept = measure_once(engine, tmp_path)
    shutil.rmtree(tmp_path / "networks")
    plain = measure_once(engine, tmp_path)

    assert [point.late_us > 0 for point in (first, kept, plain)] == [False, True, False]
    assert [point.disagreement for point in (first, kept, plain)] == [None] * 3
    assert kept.peak_mib > 0.9 * plain.peak_mib


@pytest.mark.parametrize("engine", KEEPING)
def test_the_start_of_a_process_whose_network_is_kept_loads_no_torch_but_what_decodes_images(
    engine: EngineName, tmp_path: Path
) -> None:
    measure_once(engine, tmp_path)

    loaded = modules_after(f"""
from dueby_api.inference_job import Model
from dueby_profiler.measuring import measure
from dueby_profiler.measuring.bench import Bench
from dueby_profiler.measuring.messages import Setup
model = Model(name={TINY.name!r}, weights="none", image_size={TINY.image_size})
bench = Bench(Setup(model=model, engine={engine!r}, threads=1, cache_dir={str(tmp_path)!r}, spawned_us=0))
bench.build(2)
bench.ready_engine().submit(bench.buffers[0])
assert bench.check_once(bench.buffers[0], bench.ready_engine().collect()) is None
""")

    assert not loaded & {"torch", "torchvision"}
    assert "dueby_worker.images.aten" in loaded


@pytest.mark.parametrize("engine", KEEPING)
def test_workers_without_a_common_cache_start_as_before_whatever_is_kept_beside_them(
    engine: EngineName, tmp_path: Path
) -> None:
    measure_once(engine, tmp_path)

    point = measure_once(engine, tmp_path, starts_empty=True)

    assert point.late_us == 0

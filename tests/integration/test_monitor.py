"""`dueby profile --monitor` on this very machine: what was recorded beside what was measured; and a GPU that is a
stand-in.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dueby_api.engines import EngineName
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_profiler.machine import nvml
from dueby_profiler.machine.layouts import Layout, Slice
from dueby_profiler.measuring.messages import Setup
from dueby_profiler.measuring.process_group import ProcessGroup
from dueby_profiler.monitor.features.columns import FEATURES
from dueby_profiler.monitor.monitor import Monitor
from support.nvml import WHOLE, build_nvml, run_with_nvml

MODEL = "mobilenet_v3_small"
TINY = Model(name=MODEL, weights="none", image_size=64)
ENGINES: dict[bool, EngineName] = {False: "eager", True: "cuda"}


def a_group(layout: Layout, model: Model, pages: Sequence[int]) -> ProcessGroup:
    def setup(number: int) -> Setup:
        return Setup(model=model, engine=ENGINES[layout.is_gpu], threads=1, spawned_us=time.monotonic_ns() // 1000)

    return ProcessGroup(layout, setup, environment={}, clock=time.monotonic, status_pages=pages)


def test_a_run_that_fails_leaves_no_file(tmp_path: Path) -> None:
    layout = Layout(device_class="cpu-1", slices=(Slice(threads=1),))
    monitor = Monitor(tmp_path, model=TINY, node="n", clock=time.monotonic, on_message=print)

    def fail() -> None:
        with (
            monitor,
            monitor.watch(lambda pages: a_group(layout, TINY, pages), layout=layout, engine="eager") as group,
        ):
            group.build(1)
            raise Invalid("--engine", "is not there")

    with pytest.raises(Invalid):
        fail()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.compiler
def test_a_gpu_is_watched_until_it_is_lost_and_the_profile_goes_on(tmp_path: Path) -> None:
    """The stand-in's GPU, and a model on the CPU: a row holds the GPU of its process until that is lost."""
    script = f"""
import json, os, pathlib, time
import pyarrow.parquet as pq
from dueby_api.inference_job import Model
from dueby_profiler.measuring.process_group import ProcessGroup
from dueby_profiler.machine.layouts import Layout, Slice
from dueby_profiler.measuring.messages import Setup
from dueby_profiler.monitor.monitor import Monitor

model = Model(name={MODEL!r}, weights="none", image_size=64, engine="eager")
layout = Layout(device_class="A100", slices=(Slice(threads=1, gpu={WHOLE!r}),))
def setup(number):
    return Setup(model=model, engine="eager", threads=1, spawned_us=time.monotonic_ns() // 1000)
def open_group(pages):
    return ProcessGroup(layout, setup, environment={{}}, clock=time.monotonic, status_pages=pages)
messages = []
folder = pathlib.Path({str(tmp_path / "monitor")!r})
with Monitor(folder, model=model, node="n", clock=time.monotonic, on_message=messages.append, period_s=0.02) as monitor:
    with monitor.watch(open_group, layout=layout, engine="eager") as group:
        group.build(2)
        group.run(2.0)
        pathlib.Path(os.environ["NVML_STANDIN_LOST"]).touch()
        group.build(4)
        group.run(2.0)
samples = pq.read_table(folder / "samples")
(warmup,) = pq.read_table(folder / "warmups").to_pylist()
steady = [row for row in samples.to_pylist() if row["phase"] == "steady"]
power = {{size: [row["gpu_power_w"] for row in steady if row["mini_batch_size"] == size] for size in (2, 4)}}
print(json.dumps([power, [warmup["gpu_energy_j"], warmup["gpu"], warmup["threads"]], messages]))
"""
    driver = build_nvml(tmp_path)
    power, (energy_j, gpu, threads), messages = run_with_nvml(driver, script, NVML_STANDIN_LOST=str(tmp_path / "lost"))
    assert set(power["2"]) == {312.5}
    assert set(power["4"]) == {None}
    assert energy_j > 0
    assert (gpu, threads) == (True, 1)
    assert f"The monitor could not always read the GPU {WHOLE}: GPU is lost." in messages


@pytest.mark.gpu
def test_a_real_gpu_and_torchs_allocator_on_it_are_watched(tmp_path: Path) -> None:
    (gpu, *_) = nvml.read_gpus()
    layout = Layout(device_class=gpu.product, slices=(Slice(threads=1, gpu=gpu.uuid),))
    with (
        Monitor(tmp_path, model=TINY, node="n", clock=time.monotonic, on_message=print, period_s=0.05) as monitor,
        monitor.watch(lambda pages: a_group(layout, TINY, pages), layout=layout, engine="cuda") as group,
    ):
        group.build(8)
        group.run(1.0)
    (warmup,) = pq.read_table(tmp_path / "warmups").to_pylist()
    steady = [row for row in pq.read_table(tmp_path / "samples").to_pylist() if row["phase"] == "steady"]
    assert warmup["torch_reserved_bytes_all_current"] > 0
    assert all(0 < row["torch_fragmentation"] <= 1 for row in steady)
    assert all(row["gpu_memory_used_bytes"] > row["torch_reserved_bytes_all_current"] for row in steady)
    assert steady[-1]["torch_allocation_all_allocated"] > steady[0]["torch_allocation_all_allocated"]
    studied = {feature.name for feature in FEATURES if feature.study}
    assert sum(steady[-1][name] is not None for name in studied) >= 160

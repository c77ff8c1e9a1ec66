"""The profiling step of a job: it measures the one device of a pod and reports its progress on a page."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.step_config import ProfileConfig
from dueby_profiler import profiling
from dueby_profiler.analysis.remarks import describe_name
from dueby_profiler.machine.limits import Limits
from dueby_profiler.machine.machine import Machine, one_device
from dueby_profiler.machine.nvml import Gpu
from dueby_profiler.measuring.process_group import ProcessGroup
from dueby_profiler.progress_listener import ProgressUpdate
from dueby_profiler.step import ProgressPage, profile_device
from support.profiler import TINY

GPU = Gpu(uuid="GPU-1", product="NVIDIA-L4", memory_mib=24_000, driver="580.1")


def machine(*gpus: Gpu) -> Machine:
    """Return a node of 16 cores, as a pod on it sees it."""
    limits = Limits(cores=tuple(range(16)), usable=16.0, memory_mib=64_000)
    return Machine(limits=limits, gpus=gpus, node="pod-a", clock=time.monotonic)


def test_a_pod_measures_its_gpu_under_the_clusters_name_for_it() -> None:
    part = one_device(machine(GPU), "nvidia-l4-of-the-cloud", threads=2, gpu=True)
    (layout,) = part.layouts
    assert layout.device_class == "nvidia-l4-of-the-cloud"
    assert [(place.gpu, place.threads) for place in layout.slices] == [("GPU-1", 2)]
    assert part.usable_mib(layout) == int(0.9 * 24_000)
    assert [device.uuid for device in part.devices(layout)] == ["GPU-1"]


@pytest.mark.parametrize(
    ("product", "device_class", "name"),
    [
        pytest.param("NVIDIA-L4", "NVIDIA-L4", None, id="the same"),
        pytest.param("NVIDIA-A100-MIG-1g.5gb", "NVIDIA-A100-mig-1g.5gb", None, id="a slice"),
        pytest.param("NVIDIA-L4", "NVIDIA-A100", "NVIDIA-L4", id="the second product of a node with one label"),
    ],
)
def test_a_gpu_that_is_not_what_its_class_is_called_is_told_of(
    product: str, device_class: str, name: str | None
) -> None:
    part = one_device(machine(replace(GPU, product=product)), device_class, threads=2, gpu=True)
    assert part.other_names(part.layouts[0]) == [name]
    assert [*describe_name(name)] == ([f"the driver calls this GPU {name}"] if name else [])


def test_a_pod_with_one_gpu_leaves_it_to_the_container_runtime_which() -> None:
    for gpus, is_only in (((GPU,), True), ((GPU, replace(GPU, uuid="GPU-2")), False)):
        (layout,) = one_device(machine(*gpus), "NVIDIA-L4", threads=2, gpu=True).layouts
        assert [place.is_only_gpu for place in layout.slices] == [is_only]


def test_a_gpu_that_shares_the_hosts_memory_has_as_much_of_it() -> None:
    part = one_device(machine(replace(GPU, memory_mib=None)), "NVIDIA-GB10", threads=2, gpu=True)
    assert part.usable_mib(part.layouts[0]) == part.usable_host_mib(part.layouts[0]) == int(0.9 * 64_000)


def test_a_pod_measures_one_slice_and_not_the_cores_of_the_node() -> None:
    part = one_device(machine(), "cpu-4", threads=4, gpu=False)
    (layout,) = part.layouts
    assert [(place.threads, place.cores) for place in layout.slices] == [(4, None)]
    assert part.spare_cores == 12


def test_a_whole_machine_has_no_cores_to_spare_for_others() -> None:
    assert machine().spare_cores == 0


def test_a_container_with_a_quota_leaves_the_rest_of_the_cores_to_others() -> None:
    whole = machine()
    assert replace(whole, limits=replace(whole.limits, usable=2.5)).spare_cores == 13.5


def test_a_pod_that_sees_no_gpu_says_what_to_check() -> None:
    with pytest.raises(Invalid, match="sees no NVIDIA GPU; check the driver and the container toolkit"):
        one_device(machine(), "NVIDIA-L4", threads=2, gpu=True)


@pytest.mark.parametrize(("cache_dir", "starts_empty"), [(None, True), ("compiled", False)])
def test_start_up_is_that_of_a_worker_which_finds_compiled_models_only_on_a_volume(
    cache_dir: str | None, starts_empty: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = None if cache_dir is None else str(tmp_path / cache_dir)
    config = ProfileConfig(
        job="j", model=TINY, device_class="cpu-1", gpu=False, threads=1, host="127.0.0.1", cache_dir=folder
    )
    asked: list[dict[str, Any]] = []

    def start_group(*arguments: Any, **options: Any) -> ProcessGroup:
        asked.append(options)
        raise Invalid("no field of an engine", "far enough")

    monkeypatch.setattr(profiling, "start_group", start_group)
    with pytest.raises(Invalid, match="far enough"):
        profile_device(config)
    assert asked[0]["starts_empty"] is starts_empty
    assert folder is None or asked[0]["cache_dir"] == Path(folder)


def test_the_page_counts_down_between_two_updates() -> None:
    now_s = [100.0]
    page = ProgressPage(device_class="cpu-1", clock=lambda: now_s[0])
    assert json.loads(page.respond("/progress")[2]) == {"doing": "starting", "leftSeconds": None}
    page.update(ProgressUpdate(doing="cpu-1: growing the mini-batch: 4", left_s=30.0))
    now_s[0] = 112.0
    assert json.loads(page.respond("/progress")[2]) == {"doing": "growing the mini-batch: 4", "leftSeconds": 18}
    now_s[0] = 150.0
    assert json.loads(page.respond("/progress")[2])["leftSeconds"] == 0
    assert page.respond("/metrics")[0] == 404


def test_measuring_needs_nothing_that_the_workers_image_lacks() -> None:
    script = """
import sys, dueby_profiler.step, dueby_profiler.measuring.measure
sys.exit(bool({'matplotlib', 'psutil', 'sklearn'} & sys.modules.keys()))
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_wrong_configuration_ends_with_a_sentence_and_code_2(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"job": "job", "deviceClass": "cpu-1", "gpu": False, "threads": 0, "model": {}}))
    command = [sys.executable, "-m", "dueby_profiler", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "threads" in json.loads(done.stdout.splitlines()[-1])["field"]

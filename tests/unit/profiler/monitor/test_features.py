"""The monitor's table of features, and the readers that fill it: psutil, torch's allocator, the model's size."""

import os
import subprocess
import sys

import pytest

from dueby_api.inference_job import Model
from dueby_profiler.monitor.features.columns import FEATURES, MOMENT
from dueby_profiler.monitor.features.feature import FeatureGroup, FeatureKind, FeatureSource
from dueby_profiler.monitor.features.gpu_features import ALLOCATOR, STATISTICS
from dueby_profiler.monitor.features.host_features import HOST
from dueby_profiler.monitor.readers.allocator import allocator_features, pick
from dueby_profiler.monitor.readers.host import Host, WatchedProcess
from dueby_profiler.monitor.readers.status_page import MISSING
from dueby_profiler.monitor.warmup_rows import weigh
from site_monitor import handbook
from support.source_tree import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "monitor.md"


def test_the_document_is_generated_from_the_table() -> None:
    assert handbook() == DOCUMENT.read_text(encoding="utf-8")


def test_every_feature_of_the_studys_monitor_is_there_once() -> None:
    studied = [feature.study for feature in FEATURES if feature.study]
    assert len(studied) == len(set(studied)) == 167
    by_source = {source: sum(bool(f.study) for f in FEATURES if f.source is source) for source in FeatureSource}
    assert by_source == {FeatureSource.PSUTIL: 27, FeatureSource.NVML: 14, FeatureSource.TORCH: 126}


def test_every_column_has_its_own_name_and_a_description() -> None:
    names = [key.name for key in MOMENT] + [feature.name for feature in FEATURES]
    assert len(names) == len(set(names))
    assert all(feature.doc and feature.call for feature in FEATURES)
    counters = {feature.name for feature in FEATURES if feature.kind is FeatureKind.COUNTER}
    assert {feature.of for feature in FEATURES if feature.kind is FeatureKind.RATE} <= counters


def test_psutil_returns_every_feature_of_the_machine_and_of_a_process() -> None:
    host, process = Host(), WatchedProcess(os.getpid())
    levels, counters = process.read()
    found = host.levels().keys() | host.counters().keys() | levels.keys() | counters.keys()
    direct = {feature.name for feature in HOST if feature.kind is not FeatureKind.RATE}
    disks = {feature.name for feature in HOST if feature.group is FeatureGroup.DISK}
    assert direct - found <= disks  # a container may have no disk
    assert found <= direct
    assert levels["process_rss_bytes"] > 10_000_000


def test_the_machines_counters_start_with_the_monitor() -> None:
    counters = Host().counters()
    assert all(0 <= value < 1e9 for value in counters.values())
    assert counters["cpu_busy_s"] < 60


def test_a_process_that_has_ended_reads_as_empty() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = WatchedProcess(child.pid)
    assert process.read() != ({}, {})
    child.communicate(b"\n")
    assert process.read() == ({}, {})
    assert WatchedProcess(child.pid).read() == ({}, {})


def stats_of_torch() -> dict[str, object]:
    """Return a number for each path as torch.cuda.memory_stats_as_nested_dict() does, and some statistics that we
    ignore.
    """
    nested: dict[str, object] = {"num_new_in_next_torch": 3, "reserved_bytes_by_private_pools": {(0, 1): {}}}
    for number, path in enumerate(STATISTICS):
        *folders, name = path.split(".")
        at = nested
        for folder in folders:
            at = at.setdefault(folder, {})  # type: ignore[assignment]
        at[name] = number
    return nested


def test_our_statistics_are_picked_from_all_that_torch_has() -> None:
    assert pick(stats_of_torch()) == list(range(len(STATISTICS)))
    older = {name: value for name, value in stats_of_torch().items() if name != "num_sync_all_streams"}
    assert pick(older)[list(STATISTICS).index("num_sync_all_streams")] == MISSING


def test_every_feature_of_the_allocator_is_computed() -> None:
    found = allocator_features([100] * len(STATISTICS))
    assert set(found) == {feature.name for feature in ALLOCATOR}
    assert found["torch_fragmentation"] == 1
    assert found["torch_rounding_bytes"] == 0


def test_ratios_over_zero_and_missing_statistics_are_null() -> None:
    statistics = [0] * len(STATISTICS)
    statistics[list(STATISTICS).index("requested_bytes.all.current")] = MISSING
    found = allocator_features(statistics)
    missing = {feature.name for feature in ALLOCATOR} - found.keys()
    assert "torch_requested_bytes_all_current" in missing
    assert {"torch_fragmentation", "torch_segment_mean_bytes", "torch_rounding_bytes"} <= missing


def test_a_model_is_measured_without_its_weights() -> None:
    weight = weigh(Model(name="resnet18", weights="none"))
    assert weight.parameters == 11_689_512
    assert weight.image_flops == pytest.approx(2 * 1.814e9, rel=0.01)

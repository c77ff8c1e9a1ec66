"""Profiles for which there are some seconds: on a busy machine fewer sizes are measured than these tests ask for."""

import os
from dataclasses import replace
from itertools import chain, combinations
from math import ceil
from pathlib import Path
from socket import gethostname
from statistics import median

import pyarrow.parquet as pq
import pytest

from dueby.cli.main import main
from dueby.inputs.files import read_profiles
from dueby_api.gpu_profile import parse_profile
from dueby_api.packed_profile import unpack_profile
from dueby_api.step_config import ProfileConfig
from dueby_profiler.monitor.features.columns import FEATURES
from dueby_profiler.monitor.features.feature import FeatureSource
from dueby_profiler.presets import ENOUGH_GROUPS
from dueby_profiler.step import profile_device
from dueby_study.warmup.__main__ import main as add_warmups
from dueby_study.warmup.collecting.rows import write_warmups
from support.profiler import BRIEF, TINY
from support.warmups import a_table

MODEL = TINY.name
OPTIONS = ["--model", MODEL, "--image-size", "64", "--engine", "eager", "--quick"]


def test_a_pod_measures_its_slice_under_the_clusters_name_and_leaves_the_profile_behind() -> None:
    short = replace(BRIEF, layout_s=12)
    config = ProfileConfig(job="job", model=TINY, device_class="NVIDIA-L4", gpu=False, threads=1)
    spec = unpack_profile(profile_device(config, preset=short).profile, origin="pod")
    assert (spec.device_class, spec.engine, spec.model.image_size) == ("NVIDIA-L4", "eager", 64)
    assert (spec.device.node, spec.device.threads, spec.device.slices) == (None, 1, 1)
    assert [step.mini_batch_size for step in spec.steps][:4] == [1, 2, 4, 8]


def test_the_command_writes_a_profile_with_samples_and_warmups_and_shows_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", *OPTIONS, "--monitor", "-o", str(tmp_path)]) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert "IMAGES/S" in err
    if len(os.sched_getaffinity(0)) > 1:
        assert "cpu-2 is left out to save time." in err
    require_whole(tmp_path)
    require_monitored(tmp_path, err)

    rows = write_warmups(tmp_path / "rows.parquet", a_table())
    assert add_warmups(["add", str(rows), str(tmp_path), "-o", str(tmp_path)]) == 0
    (profile,) = read_profiles([str(tmp_path)])
    assert profile.spec.model.image_size == 64
    assert profile.spec.warmup_model
    sizes = {row.mini_batch_size for row in profile.spec.warmup_model.predictions}
    measured = {step.mini_batch_size for step in profile.spec.steps}
    assert min(measured) < min(sizes) <= max(sizes) < max(measured)
    assert not sizes & measured
    file = tmp_path / f"{profile.name}.yaml"
    assert f"Written: {file}" in err
    out, err = capfd.readouterr()
    assert "cpu-1: W between the measured sizes is predicted" in err
    assert out == f"{file}\n"


def require_whole(folder: Path) -> None:
    """Everything that a plan needs of a class is in its profile."""
    (profile,) = read_profiles([str(folder)])
    assert parse_profile(profile.document()) == profile
    spec = profile.spec
    assert (spec.device_class, spec.device.node, spec.device.threads) == ("cpu-1", gethostname(), 1)
    assert spec.engine == "eager"
    assert spec.processes is not None
    assert spec.device.slices is not None
    # Five groups where nobody else works; on a busy machine there is time for fewer.
    assert spec.processes >= spec.device.slices * (ENOUGH_GROUPS - 2)
    assert [step.mini_batch_size for step in spec.steps][:4] == [1, 2, 4, 8]
    assert sum(step.warmup_micros is not None for step in spec.steps) == 3
    assert spec.startup_micros is not None
    assert spec.startup_micros.p50 > 500_000  # torch alone takes longer to import
    assert spec.max_mini_batch_size is not None
    assert spec.max_mini_batch_size > 1000
    assert spec.extrapolated
    assert spec.contention >= 1
    assert spec.software["torch"]


def require_monitored(folder: Path, err: str) -> None:
    """Samples and warm-ups lie beside the profile, and are what it is made of."""
    (profile,) = read_profiles([str(folder)])
    (samples_path,) = (folder / "monitor" / "samples").iterdir()
    (warmups_path,) = (folder / "monitor" / "warmups").iterdir()
    assert samples_path.name == warmups_path.name
    assert "the monitor took" in err
    assert f"Written: {samples_path}" in err

    samples = pq.read_table(samples_path).to_pylist()
    slices = profile.spec.device.slices or 1
    steps = {step.mini_batch_size: step for step in profile.spec.steps}
    assert {row["slice"] for row in samples} == set(range(slices))
    assert {"starting", "ready", "steady"} <= {row["phase"] for row in samples}
    assert {row["mini_batch_size"] for row in samples if row["phase"] == "steady"} <= set(steps)
    by_slice = [row["at_us"] for row in samples if row["slice"] == 0]
    assert by_slice == sorted(by_slice)
    assert all(row["phase_began_us"] <= row["at_us"] for row in samples if row["phase"] != "starting")

    warmups = pq.read_table(warmups_path).to_pylist()
    measured = {size: step.warmup_micros for size, step in steps.items() if step.warmup_micros}
    for size in {row["mini_batch_size"] for row in warmups}:
        seen = [row["warmup_us"] for row in warmups if row["mini_batch_size"] == size]
        # The profile is made of these very numbers: of all, or of those that nothing disturbed.
        counted = chain.from_iterable(combinations(seen, count) for count in range(1, len(seen) + 1))
        assert measured[size].p50 in {ceil(median(some)) for some in counted}
    before = {(row["at_us"], row["slice"]) for row in samples if row["phase"] == "ready" and row["nth_size"] == 1}
    assert {(row["at_us"], row["slice"]) for row in warmups} <= before
    assert {(row["model"], row["parameters"], row["image_size"], row["gpu"]) for row in warmups} == {
        (MODEL, 2_542_856, 64, False)
    }
    psutil = [feature.name for feature in FEATURES if feature.source is FeatureSource.PSUTIL]
    assert all(row[name] is not None for row in warmups for name in psutil if not name.startswith("disk_"))
    others = [feature.name for feature in FEATURES if feature.source is not FeatureSource.PSUTIL]
    assert all(row[name] is None for row in warmups for name in others)

"""First mini-batches collected on this very machine."""

from pathlib import Path

from dueby_profiler.machine.machine import this_machine
from dueby_profiler.monitor.features.columns import FEATURES
from dueby_profiler.monitor.features.feature import FeatureSource
from dueby_profiler.progress_listener import ProgressListener, ProgressUpdate
from dueby_study.warmup.collecting.collect import collect_warmups
from dueby_study.warmup.collecting.points import every_point
from dueby_study.warmup.learning.sample import PLANNED


def test_each_point_is_measured_once_in_fresh_processes_with_what_was_known_before(tmp_path: Path) -> None:
    machine = this_machine()
    layout = next(layout for layout in machine.layouts if layout.device_class == "cpu-1")
    points = every_point(
        device_classes=["cpu-1"],
        engines=["eager"],
        models=["mobilenet_v3_small"],
        image_sizes=[64],
        mini_batch_sizes=[1, 16],
    )
    updates: list[ProgressUpdate] = []
    listener = ProgressListener(on_progress=updates.append)
    journal = tmp_path / "warmups.jsonl"
    first = collect_warmups(points[:1], machine=machine, journal=journal, listener=listener).to_pylist()
    rows = collect_warmups(points, machine=machine, journal=journal, listener=listener).to_pylist()
    assert rows[: len(first)] == first  # not measured again
    assert [update.doing.split(", ")[0] for update in updates] == [
        f"cpu-1: first mini-batch of {point.mini_batch_size}" for point in points
    ]
    expected = [(point.mini_batch_size, number) for point in points for number in range(len(layout.slices))]
    assert [(row["mini_batch_size"], row["slice"]) for row in rows] == expected
    psutil = [f.name for f in FEATURES if f.source is FeatureSource.PSUTIL and not f.name.startswith("disk_")]
    for row in rows:
        assert row["warmup_us"] > 0
        assert 0 < row["build_us"] < row["startup_us"]
        assert 0 < row["since_previous_us"] < 60_000_000
        assert all(row[name] is not None for name in (*PLANNED, *psutil))
        assert row["model_bytes"] > 4 * row["parameters"]


def test_when_the_time_is_over_the_rest_is_left_for_another_time(tmp_path: Path) -> None:
    points = every_point(
        device_classes=["cpu-1"],
        engines=["eager"],
        models=["mobilenet_v3_small"],
        image_sizes=[64],
        mini_batch_sizes=[1, 2, 4],
    )
    messages: list[str] = []
    table = collect_warmups(
        points,
        machine=this_machine(),
        journal=tmp_path / "warmups.jsonl",
        seconds=0.01,
        listener=ProgressListener(on_message=messages.append),
    )
    assert len({row["mini_batch_size"] for row in table.to_pylist()}) == 1
    assert messages == ["There was no time for 2 points; the same command measures them next time."]

"""A study that has been measured already: rows and profiles of a made-up machine.

And a tiny one on this machine: `python -m support.study FOLDER STAGE...` measures it, so that a test can kill it.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dueby_api.gpu_profile import (
    Device,
    GPUProfile,
    Latency,
    MeasuredStep,
    ProfiledModel,
    ProfileMetadata,
    ProfileSpec,
    Quantiles,
    Spread,
)
from dueby_api.inference_job import API_VERSION, Model
from dueby_profiler.machine.layouts import cpu_layouts
from dueby_profiler.machine.limits import Limits
from dueby_profiler.machine.machine import Machine, this_machine
from dueby_profiler.presets import Preset
from dueby_profiler.progress_listener import ProgressListener
from dueby_study.context import StudyContext
from dueby_study.measurements import memory, models, times, together
from dueby_study.measurements.profiles import COLUMNS, keep_profiles
from dueby_study.presets import StudyPreset
from dueby_study.row_store import Row, RowStore
from dueby_study.study import run_study

BRIEF = Preset(
    name="brief", layout_s=15, compare_s=0.1, explore_s=0.1, point_s=0.2, contention_s=0.2, all_layouts=False
)
TINY = StudyPreset(
    name="tiny",
    profile=BRIEF,
    image_sizes=(64, 96),
    memory_sizes=(1, 16),
    sizes=(1, 4, 16),
    rounds=1,
    point_s=0.2,
    max_point_s=10.0,
    together_sizes=(1, 4),
    together_rounds=1,
    together_s=0.2,
    features_s=20.0,
    checked=4,
)
SUBJECT = Model(name="efficientnet_b0", weights="none")
OTHER = "resnet50"


class Clock:
    """Advances by a second whenever it is read."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


def a_context(
    folder: Path,
    *,
    cores: int = 2,
    preset: StudyPreset = TINY,
    subject: Model = SUBJECT,
    others: Sequence[str] = (OTHER,),
    listener: ProgressListener | None = None,
) -> StudyContext:
    """Return a study's context on a machine with so many cores."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = Machine(
        limits=Limits(cores=tuple(range(cores)), usable=float(cores), memory_mib=8192),
        gpus=(),
        node="node-a",
        clock=Clock(),
    )
    return StudyContext(
        folder=folder,
        machine=machine,
        subject=subject,
        models=(subject.name, *others),
        preset=preset,
        row_store=RowStore(folder),
        cache_dir=folder / "cache",
        listener=listener or ProgressListener(),
    )


def a_profile(
    device_class: str = "cpu-1", *, model: str = SUBJECT.name, image_us: int = 10_000, slices: int = 2
) -> GPUProfile:
    """Return a profile with L = 2 ms + `image_us` per image, and W one and a half times as long."""
    sizes = (1, 2, 4, 8, 16)
    steps = tuple(
        MeasuredStep(
            mini_batch_size=size,
            samples=50,
            latency_micros=Latency(mean=2000 + image_us * size, p50=2000 + image_us * size, p95=2500 + image_us * size),
            warmup_micros=Quantiles(p50=3 * (2000 + image_us * size) // 2, p95=2 * (2000 + image_us * size)),
            memory_mib=400 + 4 * size,
        )
        for size in sizes
    )
    spec = ProfileSpec(
        device_class=device_class,
        model=ProfiledModel(name=model, image_size=224, precision="fp32"),
        engine="openvino",
        device=Device(node="node-a", threads=1, slices=slices),
        processes=8,
        max_mini_batch_size=512,
        extrapolated=True,
        startup_micros=Quantiles(p50=3_000_000, p95=3_500_000),
        spread=Spread(run=0.03, node=0.02),
        steps=steps,
    )
    return GPUProfile(
        api_version=API_VERSION,
        kind="GPUProfile",
        metadata=ProfileMetadata(name=f"{device_class}-{model.replace('_', '-')}"),
        spec=spec,
    )


def times_row(size: int, *, warmup_us: int = 30_000, steps_us: Sequence[int] = (9_000, 10_000, 11_000)) -> Row:
    """Return what one process shows at a size."""
    return {
        "model": SUBJECT.name,
        "image_size": 224,
        "precision": "fp32",
        "device_class": "cpu-1",
        "engine": "openvino",
        "round": 0,
        "slice": 0,
        "mini_batch_size": size,
        "startup_us": 3_000_000,
        "warmup_us": warmup_us,
        "steps_us": list(steps_us),
    }


def together_row(name: str, size: int, *, processes: int, threads: int, rate: float, joules: float | None) -> Row:
    """Return what one round of an arrangement shows at a size."""
    return {
        "model": SUBJECT.name,
        "image_size": 224,
        "precision": "fp32",
        "device_class": "cpu-1",
        "engine": "openvino",
        "arrangement": name,
        "processes": processes,
        "threads": threads,
        "round": 0,
        "mini_batch_size": size,
        "images_per_second": rate,
        "images": 100,
        "seconds": 2.0,
        "gpu_energy_j": None,
        "cpu_energy_j": joules,
    }


def measure_all(context: StudyContext, *, joules: float | None = 50.0) -> None:
    """Write all rows that the stages would have measured."""
    first, second = a_profile("cpu-1"), a_profile("cpu-2", image_us=6_000, slices=1)
    for profile in (first, second):
        context.keep(models.SUBJECT_STAGE, profile.spec.device_class, keep_profiles(context.folder, [profile]), COLUMNS)
    for name in context.models[1:]:
        context.keep(
            models.STAGE, name, keep_profiles(context.folder, [a_profile(model=name, image_us=40_000)]), COLUMNS
        )
    for point, size in zip(memory.points(context), context.preset.memory_sizes, strict=True):
        rows: list[Row] = [
            {
                "model": SUBJECT.name,
                "precision": "fp32",
                "device_class": "cpu-1",
                "engine": "openvino",
                "image_size": side,
                "mini_batch_size": size,
                "memory_mib": 400 + size * side * side // 8192,
            }
            for side in context.preset.image_sizes
        ]
        context.keep(memory.STAGE, point, rows, memory.COLUMNS)
    for point, size in zip(times.points(context), context.preset.sizes, strict=True):
        steps = [n * (2000 + 10_000 * size) // 10 for n in (9, 10, 11)]
        row = times_row(size, warmup_us=2 * (2000 + 10_000 * size), steps_us=steps)
        context.keep(times.STAGE, point, [row], times.COLUMNS)
    for name, processes, threads, rate in (("cpu-1", 2, 1, 180.0), ("cpu-2", 1, 2, 150.0)):
        rows = [
            together_row(name, size, processes=processes, threads=threads, rate=rate + size, joules=joules)
            for size in context.preset.together_sizes
        ]
        context.keep(together.STAGE, f"00-{name}", rows, together.COLUMNS)


def real_context(folder: Path, listener: ProgressListener | None = None) -> StudyContext:
    """Return the context of a study of the smallest model on two slices of this machine's cores, or on the only one."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = this_machine()
    layout = cpu_layouts(machine.limits)[0]
    model = Model(name="mobilenet_v3_small", weights="none", image_size=64, engine="eager")
    return StudyContext(
        folder=folder,
        machine=replace(machine, gpus=(), part=replace(layout, slices=layout.slices[:2])),
        subject=model,
        models=(model.name,),
        preset=TINY,
        row_store=RowStore(folder),
        cache_dir=folder / "cache",
        listener=listener or ProgressListener(),
    )


if __name__ == "__main__":
    run_study(real_context(Path(sys.argv[1])), sys.argv[2:])

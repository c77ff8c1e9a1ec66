"""What peers.py needs before it measures: photos, networks with one set of weights for all, DueBy's profiles.

EfficientNet-Lite0 has its real weights, from a Python package. There are none of ResNet-18 without the internet: its
weights are random but fixed, and tell photos apart (random_weights.py). Each network lies in the folder in several
forms: as a state_dict, as DueBy's eager engine runs it, for the tuned peers to map into memory, and as loops by hand
open it. Its preset is there as JSON.

A profile is what `dueby profile` measures once on a machine for a model, so its time is no job's. It is measured here
in less time, for slices of one core.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch

from dueby.inputs.files import write_profile
from dueby.local.this_machine import cache_folder
from dueby_api.engines import EngineName
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_api.schema import validate
from dueby_profiler.machine.machine import this_machine
from dueby_profiler.presets import QUICK
from dueby_profiler.profiling import profile_machine
from dueby_worker.engines.build import available_engines
from dueby_worker.engines.ncnn_network import convert
from dueby_worker.engines.network import tuned_network
from dueby_worker.models.loading import LoadedModel, load_model
from peers_task import DECODE
from photos import ORIGINALS, write_photos
from random_weights import write_resnet18

LITE0, RESNET18 = "efficientnet_lite0", "resnet18"
DEVICE_CLASS = "cpu-1"
# Photos that ResNet-18's weights are made from.
FITTED_PHOTOS = 128
# auto chooses among these; compiling takes longer than a job this short.
ENGINES: tuple[EngineName, ...] = ("eager", "openvino", "ncnn")


def write_networks(folder: Path, photos: Path, models: Sequence[str]) -> None:
    """The networks that are compared, and the preset of "decode", which is ResNet-18's."""
    folder.mkdir()
    fitted = write_photos(photos, FITTED_PHOTOS)
    write_resnet18(fitted, len(ORIGINALS), folder / "resnet18.pth")
    for model in {LITE0, RESNET18, *models} - {DECODE}:
        loaded = load_model(spec_of(model, folder))
        torch.save(loaded.module.state_dict(), folder / f"{model}.pth")
        torch.save(tuned_network(loaded, "fp32"), folder / f"{model}.tuned.pt")
        found = loaded.preprocessing
        write_by_hand(loaded, folder)
        preset = {
            "resize": found.resize_side,
            "crop": found.crop_side,
            "interpolation": found.interpolation,
            "mean": found.mean,
            "std": found.std,
        }
        (folder / f"{model}.json").write_text(json.dumps(preset))
    (folder / f"{DECODE}.json").write_text((folder / f"{RESNET18}.json").read_text())


def write_by_hand(loaded: LoadedModel, folder: Path) -> None:
    """The network as loops by hand open it, in the form of each library that is installed."""
    side = loaded.preprocessing.crop_side
    if find_spec("ncnn"):
        convert(loaded, require(folder / f"{loaded.name}.ncnn"))
    if find_spec("openvino"):
        import openvino

        network = openvino.convert_model(
            loaded.module.eval(), example_input=torch.zeros(1, 3, side, side), input=[-1, 3, side, side]
        )
        openvino.save_model(network, folder / f"{loaded.name}.xml", compress_to_fp16=False)


def spec_of(model: str, folder: Path, engine: str = "auto") -> Model:
    """The model as a job's manifest names it."""
    weights = "DEFAULT" if model == LITE0 else str(folder / f"{model}.pth")
    return validate(Model, {"name": model, "weights": weights, "engine": engine}, origin="the benchmark")


def measure_profiles(
    models: Sequence[str], networks: Path, folder: Path, *, seconds: float, say: Callable[[str], None]
) -> dict[str, str]:
    """Profiles of every engine, in a folder for each; by model the engine that auto took."""
    took: dict[str, str] = {}
    for model in models:
        found = measure_profile(spec_of(model, networks), folder / f"{model}-auto", seconds=seconds)
        took[model] = found.spec.engine
        say(f"{model}: auto took {found.spec.engine}, {_rate(found):.1f} images/s on one core")
        write_profile(found, require(folder / f"{model}-{found.spec.engine}"))
        for engine in available_engines("fp32"):
            if engine in ENGINES and engine != found.spec.engine:
                other = measure_profile(spec_of(model, networks, engine), folder / f"{model}-{engine}", seconds=seconds)
                say(f"{model}: {engine} {_rate(other):.1f}")
    return took


def measure_profile(model: Model, folder: Path, *, seconds: float, device_class: str = DEVICE_CLASS) -> GPUProfile:
    """Measure this machine's profile in so many seconds, and write it."""
    preset = replace(QUICK, layout_s=seconds)
    profiles = profile_machine(
        model=model, machine=this_machine(), preset=preset, classes=[device_class], cache_dir=cache_folder()
    )
    for profile in profiles:
        write_profile(profile, require(folder))
    return profiles[0]


def require(folder: Path) -> Path:
    """The folder, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _rate(profile: GPUProfile) -> float:
    return max(step.mini_batch_size * 1e6 / step.latency_micros.mean for step in profile.spec.steps)

"""What a study in a folder is about: its model and preset, and the machine it was started on.

Rows of two machines, or of two versions of an engine, must not end up in one figure. So a study continues only if all
of that is the same. Models may be added to its table.
"""

import json
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.schema import Spec, field, validate
from dueby_profiler.files import write_text
from dueby_profiler.machine.machine import Machine, software_versions
from dueby_study.presets import StudyPreset

FILE = "study.json"


class StudySettings(Spec, frozen=True, kw_only=True):
    """What must be the same for a study to continue."""

    model: str
    """The model that the figures are about."""
    image_size: int
    precision: str
    engine: str
    """As asked for: auto, or one engine by name."""
    preset: str = field(name="effort")
    """Name of the preset: quick or full."""
    processor: str
    cores: float
    """Cores' worth of time that processes may use."""
    gpus: tuple[str, ...]
    """Products, one for each GPU."""
    software: dict[str, str]


def settings_of(*, subject: Model, preset: StudyPreset, machine: Machine, processor: str) -> StudySettings:
    """Return the settings of a study that starts now."""
    return StudySettings(
        model=subject.name,
        image_size=subject.image_size,
        precision=subject.precision,
        engine=subject.engine,
        preset=preset.name,
        processor=processor,
        cores=machine.limits.usable,
        gpus=tuple(gpu.product for gpu in machine.gpus),
        software=software_versions(),
    )


def begin(folder: Path, settings: StudySettings) -> bool:
    """Write the settings down; return whether the study existed already. Raise Invalid if it was a different one."""
    path = folder / FILE
    if not path.exists():
        write_text(path, json.dumps(settings.document(), indent=1) + "\n")
        return False
    before = read_settings(folder)
    if differences := list(_differences(before, settings)):
        raise Invalid(
            "--output",
            f"{folder} holds a study that differs from this one in {'; '.join(differences)}. Choose another folder, "
            "or continue the study with its own options on its own machine",
        )
    return True


def read_settings(folder: Path) -> StudySettings:
    """Return the settings of the study in the folder; raise Invalid if its file is damaged."""
    path = folder / FILE
    try:
        return validate(StudySettings, json.loads(path.read_bytes()), origin=str(path))
    except (OSError, ValueError) as error:
        raise Invalid(str(path), f"does not hold the settings of a study: {error}") from None


def read_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name for itself."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(filter(None, names), "unknown")


def _differences(before: StudySettings, now: StudySettings) -> list[str]:
    return [
        f"{name} ({old} there, {new} now)"
        for name in StudySettings.__struct_fields__
        if (old := getattr(before, name)) != (new := getattr(now, name))
    ]

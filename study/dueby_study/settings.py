"""What a study in a folder is about: its model and effort, and the machine that it was begun on.

Rows of two machines, or of two versions of an engine, don't make one figure. So a study is gone on with only where all
of that is the same; more models may be added to its table.
"""

import json
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.schema import Spec, validate
from dueby_profiler.machine.machine import Machine, software_versions
from dueby_study.presets import StudyEffort

FILE = "study.json"


class Settings(Spec, frozen=True, kw_only=True):
    """What must be the same for a study to be gone on with."""

    model: str
    """The model of the figures."""
    image_size: int
    precision: str
    engine: str
    """As asked for: auto, or one by name."""
    effort: str
    """quick or full."""
    processor: str
    cores: float
    """Cores' worth of time that may be used."""
    gpus: tuple[str, ...]
    """Products, one for each GPU."""
    software: dict[str, str]


def settings_of(*, subject: Model, effort: StudyEffort, machine: Machine, processor: str) -> Settings:
    """Those of a study that begins now."""
    return Settings(
        model=subject.name,
        image_size=subject.image_size,
        precision=subject.precision,
        engine=subject.engine,
        effort=effort.name,
        processor=processor,
        cores=machine.limits.usable,
        gpus=tuple(gpu.product for gpu in machine.gpus),
        software=software_versions(),
    )


def begin(folder: Path, settings: Settings) -> bool:
    """Write them down; whether there was a study already. Invalid where it was another one."""
    path = folder / FILE
    if not path.exists():
        part = path.with_suffix(".part")
        part.write_text(json.dumps(settings.document(), indent=1) + "\n", encoding="utf-8")
        part.replace(path)
        return False
    before = read_settings(folder)
    if differences := list(_differences(before, settings)):
        raise Invalid(
            "--output",
            f"{folder} holds a study that differs from this one in {'; '.join(differences)}. Give another folder, or "
            "the same options on the same machine to go on with it",
        )
    return True


def read_settings(folder: Path) -> Settings:
    """Those of the study in the folder; Invalid where its file is damaged."""
    path = folder / FILE
    try:
        return validate(Settings, json.loads(path.read_bytes()), origin=str(path))
    except ValueError as error:
        raise Invalid(str(path), f"is not the file of a study: {error}") from None


def read_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What the processor calls itself."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(filter(None, names), "unknown")


def _differences(before: Settings, now: Settings) -> list[str]:
    return [
        f"{name} ({old} there, {new} now)"
        for name in Settings.__struct_fields__
        if (old := getattr(before, name)) != (new := getattr(now, name))
    ]

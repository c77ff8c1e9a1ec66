"""The profiles of a study: the subject's on each layout of the machine, and those of other models on the first layout.

They are kept as files, which `dueby plan --profiles` reads, too, and their steps also as rows.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, ProfileSpec, parse_profile
from dueby_profiler.files import write_text
from dueby_study.row_store import Row, RowColumn

FOLDER = "profiles"
SUBJECT_COLUMNS = (
    RowColumn(name="model", type="string", doc="the model"),
    RowColumn(name="image_size", type="int64", doc="side of an image in pixels"),
    RowColumn(name="precision", type="string", doc="its precision"),
    RowColumn(name="device_class", type="string", doc="the device class"),
    RowColumn(name="engine", type="string", doc="the engine"),
)
"""The columns that say what other stages measured; `subject_facts` fills them."""
COLUMNS = (
    RowColumn(name="profile", type="string", doc="name of the GPUProfile, a file in profiles/"),
    *SUBJECT_COLUMNS,
    RowColumn(name="devices", type="int64", doc="devices that were measured side by side"),
    RowColumn(name="mini_batch_size", type="int64", doc="images in a mini-batch"),
    RowColumn(name="samples", type="int64", doc="steady steps measured"),
    RowColumn(name="latency_mean_us", type="int64", doc="L: mean of a steady step"),
    RowColumn(name="latency_p50_us", type="int64", doc="its median"),
    RowColumn(name="latency_p95_us", type="int64", doc="its 95th percentile"),
    RowColumn(
        name="warmup_p50_us", type="int64", doc="W: median of the first mini-batch of a process; null: not measured"
    ),
    RowColumn(name="warmup_p95_us", type="int64", doc="its 95th percentile"),
    RowColumn(name="memory_mib", type="int64", doc="peak memory of a process; null: not measured in a fresh one"),
    RowColumn(name="startup_p50_us", type="int64", doc="S: median of the start-up"),
    RowColumn(name="max_mini_batch_size", type="int64", doc="MB: the largest mini-batch that fits"),
    RowColumn(name="extrapolated", type="bool", doc="whether MB was computed from smaller sizes"),
    RowColumn(name="busy", type="bool", doc="whether something else used the machine meanwhile"),
)


def keep_profiles(folder: Path, profiles: Sequence[GPUProfile]) -> list[Row]:
    """Write the profiles, each whole or not at all; return their rows."""
    for profile in profiles:
        write_text(folder / FOLDER / f"{profile.name}.json", json.dumps(profile.document(), indent=1) + "\n")
    return [row for profile in profiles for row in profile_rows(profile)]


def read_profiles(folder: Path) -> list[GPUProfile]:
    """Return the profiles that were written; raise Invalid if one is damaged."""
    return [_read(path) for path in sorted((folder / FOLDER).glob("*.json"))]


def _read(path: Path) -> GPUProfile:
    try:
        return parse_profile(json.loads(path.read_bytes()), origin=str(path))
    except ValueError as error:
        raise Invalid(str(path), f"is a damaged profile: {error}. Repeat the study in another folder") from None


def subject_facts(spec: ProfileSpec) -> Row:
    """Return the columns that say what was measured, from the profile that the stage is based on."""
    return {
        "model": spec.model.name,
        "image_size": spec.model.image_size,
        "precision": spec.model.precision,
        "device_class": spec.device_class,
        "engine": spec.engine,
    }


def profile_rows(profile: GPUProfile) -> list[Row]:
    """Return a row for each mini-batch size."""
    spec = profile.spec
    startup = spec.startup_micros
    return [
        {
            "profile": profile.name,
            **subject_facts(spec),
            "devices": spec.device.slices or 1,
            "mini_batch_size": step.mini_batch_size,
            "samples": step.samples,
            "latency_mean_us": step.latency_micros.mean,
            "latency_p50_us": step.latency_micros.p50,
            "latency_p95_us": step.latency_micros.p95,
            "warmup_p50_us": step.warmup_micros.p50 if step.warmup_micros else None,
            "warmup_p95_us": step.warmup_micros.p95 if step.warmup_micros else None,
            "memory_mib": step.memory_mib,
            "startup_p50_us": startup.p50 if startup else None,
            "max_mini_batch_size": spec.max_mini_batch_size,
            "extrapolated": spec.extrapolated,
            "busy": spec.busy,
        }
        for step in spec.steps
    ]

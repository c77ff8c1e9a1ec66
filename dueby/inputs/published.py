"""Profiles of devices that nobody here has, from published figures: a table in the columns of timm's benchmarks.

A row has the time of a step at one mini-batch size, and nothing else that a plan needs. So the profile is marked as
assumed: plans warn of it, and neither a run nor the operator takes it.
"""

import csv
import re
from collections.abc import Mapping
from io import StringIO

from dueby.inputs.files import MAX_PROFILES, read_text
from dueby_api.classifiers import TIMM, nearest
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, parse_profile
from dueby_api.inference_job import API_VERSION, Model

_MODEL, _SIDE, _STEP_MS, _BATCH = _COLUMNS = ("model", "infer_img_size", "infer_step_time", "infer_batch_size")
# timm's benchmarks of GPUs call PyTorch's layers one after the other.
_ENGINE = "cuda"
Row = Mapping[str, str]


def read_published(path: str, model: Model, *, device_class: str, source: str) -> GPUProfile:
    """Return the assumed profile of the model on that device class, from the rows of the file at the path.

    `source` says where the figures are published. Raise Invalid if the file is no such table, or has no row of the
    model.
    """
    name = model.name.removeprefix(TIMM)
    called = f"{device_class}-{name}-{model.image_size}-{model.precision}-assumed"
    steps = dict(_step(row, path) for row in _rows_of(path, name, model.image_size))
    document = {
        "apiVersion": API_VERSION,
        "kind": "GPUProfile",
        "metadata": {"name": re.sub("[^a-z0-9]+", "-", called.lower())},
        "spec": {
            "deviceClass": device_class,
            "model": {"name": model.name, "imageSize": model.image_size, "precision": model.precision},
            "engine": _ENGINE if model.engine == "auto" else model.engine,
            "assumed": True,
            "source": source,
            # Nothing is published of the first mini-batch. The largest size has to say something.
            "steps": [
                {
                    "miniBatchSize": size,
                    "latencyMicros": {"mean": step_us},
                    "warmupMicros": {"p50": step_us, "p95": step_us},
                }
                for size, step_us in sorted(steps.items())
            ],
        },
    }
    return parse_profile(document, origin=path)


def _rows_of(path: str, name: str, side: int) -> list[Row]:
    table = csv.DictReader(StringIO(read_text(path, most=MAX_PROFILES)))
    try:
        missing = [column for column in _COLUMNS if column not in (table.fieldnames or ())]
        rows: list[Row] = [] if missing else list(table)
    except csv.Error as error:
        raise Invalid(path, f"is no table in CSV: {error}") from None
    if missing:
        raise Invalid(path, f"has no column {missing[0]}; the first line of such a table names {', '.join(_COLUMNS)}")
    alike = [row for row in rows if row[_MODEL] == name]
    if not alike:
        models = sorted({row[_MODEL] or "" for row in rows})
        raise Invalid("--model", f"{path} has no row of {name}{nearest(name, models)}")
    if of_size := [row for row in alike if row[_SIDE] == str(side)]:
        return of_size
    sides = ", ".join(str(row[_SIDE]) for row in alike)
    raise Invalid("--image-size", f"{path} has no row of {name} at {side} px; it has {sides}")


def _step(row: Row, path: str) -> tuple[int, int]:
    """Return the row's mini-batch size and the time of a step in microseconds."""
    try:
        return int(row[_BATCH]), round(float(row[_STEP_MS]) * 1000)
    except (TypeError, ValueError, OverflowError):
        said = f"{_BATCH} {row[_BATCH]!r} and {_STEP_MS} {row[_STEP_MS]!r}"
        raise Invalid(
            path, f"the row of {row[_MODEL]} has {said}; they must be a whole number and milliseconds"
        ) from None

"""Read a step's configuration file.

In a cluster one file serves all pods of a Job. `--index`, or else the Job's completion index, selects a pod's own
settings, which take precedence over those that all pods share.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dueby_api.errors import Invalid
from dueby_api.schema import Kind, validate
from dueby_api.step_config import LOSSES_VARIABLE

# Kubernetes sets this in every pod of an Indexed Job.
COMPLETION_INDEX = "JOB_COMPLETION_INDEX"
# Whatever is longer is no number of losses.
_MAX_DIGITS = 9


def load_config(
    kind: type[Kind], path: Path, *, index: int | None = None, environment: Mapping[str, str] = os.environ
) -> Kind:
    """Return the file's content as `kind`. Raise Invalid, with the field, if it is wrong."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise Invalid(str(path), f"can't be read: {error.strerror}") from None
    except ValueError as error:
        raise Invalid(str(path), f"is not JSON: {error}") from None
    if isinstance(document, dict) and "workers" in document:
        document = _select(
            document, index if index is not None else environment.get(COMPLETION_INDEX), origin=str(path)
        )
    return validate(kind, document, origin=str(path))


def read_losses(environment: Mapping[str, str] = os.environ) -> int:
    """Return how often this worker was lost before; 0 if nobody says so, as where Kubernetes doesn't count it."""
    text = environment.get(LOSSES_VARIABLE, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else 0


def _select(document: dict[str, Any], index: int | str | None, *, origin: str) -> dict[str, Any]:
    """Return the settings that all workers share, overridden by those of worker `index`."""
    workers = document["workers"]
    if index is None:
        raise Invalid("--index", f"{origin} holds several workers; say which one, or set {COMPLETION_INDEX}")
    if not isinstance(workers, list) or not all(isinstance(worker, dict) for worker in workers):
        raise Invalid(f"{origin}: workers", "must be a list of mappings")
    if not str(index).isdecimal() or int(index) >= len(workers):
        raise Invalid("--index", f"there is no worker {index} in {origin}, which holds {len(workers)}")
    common = {name: value for name, value in document.items() if name != "workers"}
    return {**common, **workers[int(index)]}

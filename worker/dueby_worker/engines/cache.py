"""What engines make of a network, which takes long, and keep in the cache folder for the next time.

Each has a name that changes with everything that it depends on. Workers of one machine may make the same at once.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from dueby_api.classifiers import HUGGING_FACE, PYTHON, TIMM, source_of
from dueby_worker.engines.network import Network
from dueby_worker.engines.parity import made_up_images
from dueby_worker.models.loading import LoadedModel
from dueby_worker.system.temporary_files import read_whole, scratch_folder, write_whole

log = logging.getLogger(__name__)

_DIGITS = 32
# The libraries whose next version may make another network of the same name.
_LIBRARIES = {TIMM: "timm", HUGGING_FACE: "transformers"}
_ASKED_IMAGES = 2


def cache_name(loaded: LoadedModel, **more: Any) -> str:
    """Return a name that changes with the network, its weights and output, and with what else is given."""
    source = source_of(loaded.name)
    content = {
        "model": loaded.name,
        # A folder's network may have any architecture, whatever it is called.
        "network": str(loaded.module),
        "weights": loaded.weights_digest,
        "classes": len(loaded.labels),
        # What the network was cut at, if it was.
        "embedding": [loaded.output.layer] if loaded.output.kind == "Embedding" else None,
        "library": version(_LIBRARIES[source]) if source in _LIBRARIES else None,
        # The digest of the weights has the file of people's code and not what that imports, which shows here.
        "answers": _digest_answers(loaded) if source == PYTHON else None,
        **more,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _digest_answers(loaded: LoadedModel) -> str:
    """Return a digest of what the network makes of made-up images in plain fp32."""
    images = torch.from_numpy(made_up_images(_ASKED_IMAGES, loaded.preprocessing.crop_side))
    with torch.inference_mode():
        values: torch.Tensor = Network(loaded.module, loaded.preprocessing).eval()(images)
    # NumPy has no bfloat16, which people's own networks may return.
    return hashlib.sha256(values.float().numpy().tobytes()).hexdigest()


def cached_file(file: Path, make: Callable[[], Any]) -> bytes:
    """Return what the file holds. If it isn't there, return what `make` does, and keep it there if that works."""
    with suppress(OSError):
        return read_whole(file)
    data = bytes(make())
    try:
        write_whole(file, data)
    except OSError as error:  # a full or read-only disk, on which the next worker takes the time again
        log.warning("what took long to make can't be kept in %s: %s", file.parent, error.strerror)
    return data


def keep_folder(entry: Path, write: Callable[[Path], None]) -> None:
    """Make the folder, whole, of the files that `write` puts into the empty folder that it is given.

    Raise OSError if that fails, and what `write` raises. Nothing is left then.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder("network", parent=entry.parent) as folder:
        finished = folder / "made"
        finished.mkdir()
        write(finished)
        for written in finished.iterdir():
            with written.open("rb") as stream:
                os.fsync(stream.fileno())
        try:
            finished.rename(entry)
        except OSError:
            # If it exists now, another worker was faster and made the same.
            if not entry.exists():
                raise

"""What engines make of a network, which takes long, and keep in the cache folder for the next time.

Each has a name that changes with everything that it depends on. Workers of one machine may make the same at once.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dueby_worker.models.loading import LoadedModel
from dueby_worker.system.whole_file import write_whole

_DIGITS = 32


def cache_name(loaded: LoadedModel, **more: Any) -> str:
    """Return a name that changes with the network, its weights and output, and with what else is given."""
    content = {
        "model": loaded.name,
        # A folder's network may have any architecture, whatever it is called.
        "network": str(loaded.module),
        "weights": loaded.weights_digest,
        "classes": len(loaded.labels),
        # What the network was cut at, if it was.
        "embedding": [loaded.output.layer] if loaded.output.kind == "Embedding" else None,
        **more,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def cached_file(file: Path, make: Callable[[], Any]) -> bytes:
    """Return what the file holds. If it isn't there, it is written first, with the buffer that `make` returns."""
    if not file.exists():
        write_whole(file, make())
    return file.read_bytes()

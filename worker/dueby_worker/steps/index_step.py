"""The index step: admits the job to its sink, freezes the source's images, and returns what planning needs.

It is the one step that runs once a run and before any worker, so it is also the one that does what `sink.ifExists`
says, whatever the source. An index that no job has laid claim to binds nobody and is made anew. The fingerprint is
computed here, where the model can be loaded, and every worker checks that it still finds the same.
"""

import sys
import time
from typing import Any

from dueby_api.grid import Grid
from dueby_api.step_config import IndexConfig
from dueby_worker.index.index import build_index
from dueby_worker.models.loading import load_model
from dueby_worker.output.parts import parts_among
from dueby_worker.output.sink import admit
from dueby_worker.output.sink_manifest import Claim, components_of, require_same_job
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store

_SAID_EVERY_S = 1.0


def index_source(config: IndexConfig) -> dict[str, Any]:
    """N, digest, input cost, fingerprint, and what the sink holds of this job already; a few hundred bytes of JSON."""
    store = open_store(config.sink.uri)
    claim = admit(store, config.sink.if_exists)
    loaded = load_model(config.model)
    summary = build_index(
        config.source,
        store,
        limit=config.images,
        preprocessing=loaded.preprocessing,
        max_pixels=config.max_pixels,
        replace=claim is None,
        progress=_Narrator().say,
    )
    components = components_of(loaded, config.model, index_digest=summary.digest)
    if claim is not None:
        require_same_job(claim, components, sink=store.uri)
    return {
        **summary.document(),
        "fingerprint": components.fingerprint,
        "classes": components.classes,
        **(_state_of(claim, store) if claim else {}),
    }


def _state_of(claim: Claim, store: Store) -> dict[str, int]:
    """The grid that the job goes on with, and how much of it is done."""
    grid = Grid(images=claim.images, part_size=claim.part_size)
    done = parts_among(store.list_names(), grid)
    return {
        "partSize": claim.part_size,
        "partsDone": len(done),
        "imagesDone": grid.images_in(done),
    }


class _Narrator:
    """Tells people how far it is, once a second."""

    def __init__(self) -> None:
        self._stage, self._next_s = "", 0.0

    def say(self, stage: str, images: int) -> None:
        """So many images are listed, frozen or sampled."""
        now_s = time.monotonic()
        if stage != self._stage or now_s >= self._next_s:
            print(f"{stage}: {images} images", file=sys.stderr, flush=True)
            self._stage, self._next_s = stage, now_s + _SAID_EVERY_S

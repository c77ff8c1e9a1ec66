"""A worker that is started before its plan: it loads its model while the job's source is still being indexed.

How many images there are, and so which worker does what, is known only after that, but the model is known before, and
to load it takes most of a start-up. So the process imports what it will need and reads the weights; then it waits until
whoever started it writes a line on its standard input: its configuration is there. It has read and written nothing of
the job's source and sink by then, and nothing is on its device: it may be killed at any time.

Standard input ends with whoever holds its other end, so nobody can leave this process waiting; and it never waits for
longer than MAX_WAIT_S, because an index that takes so long gains nothing by a model that is in memory.
"""

import logging
import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dueby_api.errors import Transient
from dueby_api.step_config import EarlyConfig, WorkConfig
from dueby_worker.engines.host import pin_to_cores

# It loads torch, which is to be loaded on the worker's cores.
if TYPE_CHECKING:
    from dueby_worker.models.loading import LoadedModel

MAX_WAIT_S = 600.0
_STDIN = 0
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What an early worker has in memory when it is told what to do."""

    config: EarlyConfig
    model: "LoadedModel | None"
    """The job's model; None if its engine keeps the network from an earlier time, and opens it for the plan."""
    imported_us: int
    """How old the process was when it began to load the network."""
    waited_us: int
    """How long it was ready before it was told. A start-up takes that much less than its process is old."""

    def model_for(self, config: WorkConfig) -> "LoadedModel | None":
        is_same = (self.config.model, self.config.output) == (config.model, config.output)
        return self.model if is_same else None


def load_early(
    config: EarlyConfig, *, process_age_us: Callable[[], int], told: int = _STDIN, limit_s: float = MAX_WAIT_S
) -> Loaded:
    """Load the model, then wait for a line from the file descriptor `told`, and return the model.

    Raise Transient if there is none in time, or never will be.
    """
    if config.cores:
        pin_to_cores(config.cores)
    # All that a worker's run imports, so that nothing is left to import later.
    import dueby_worker.steps.worker_run  # noqa: F401
    from dueby_worker.engines.build import engine_module
    from dueby_worker.steps.job_network import find_kept_network

    imported_us = process_age_us()
    engine_module(config.engine)
    model = None
    if find_kept_network(config) is None:
        from dueby_worker.models.loading import load_model

        model = load_model(config.model, config.output)
    began = time.monotonic()
    log.info("%s is loaded; waiting for the plan", config.model.name)
    _wait_for_line(told, limit_s=limit_s)
    waited_us = round((time.monotonic() - began) * 1e6)
    return Loaded(config=config, model=model, imported_us=imported_us, waited_us=waited_us)


def _wait_for_line(told: int, *, limit_s: float) -> None:
    if not select.select([told], [], [], limit_s)[0]:
        raise Transient(f"no plan came within {limit_s:.0f} s; this worker isn't waited for, and another does its work")
    # No more than one line is ever written, in one piece.
    if not os.read(told, 1):
        raise Transient("no plan came: the job is over, or its plan does without this worker")

"""What a worker has done so far, as one object that the loop writes and the server reads.

`imagesDone` counts the images of parts that this worker put into the sink and those classified in its open parts; a
part that turns out to be in the sink already (somebody else was first) is taken off again, so that the workers'
numbers add up to what is done. `images_classified` only grows and is what the metrics show.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dueby_api.grid import Share
from dueby_worker.telemetry.step_statistics import Steps

State = Literal["starting", "warming", "running", "tails", "done"]
STATES: tuple[State, ...] = ("starting", "warming", "running", "tails", "done")
# How long a worker may load its model or wait for a store (which is asked for 10 minutes before it is given up) ...
_MAX_WAIT_S = 900.0
# ... and how long a mini-batch may be in the model, at least, or in times of the longest one so far.
_MAX_STEP_S = 120.0
_MAX_STEPS = 10


@dataclass(kw_only=True)
class Progress:
    """Counters of one worker; every method holds the lock for microseconds."""

    worker: str
    share: Share
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    state: State = "starting"
    steps: Steps = field(default_factory=Steps)
    images_done: int = 0
    images_failed: int = 0
    images_classified: int = 0
    parts_committed: int = 0
    parts_doubled: int = 0
    next_part: int = 0
    in_flight: int = 0
    is_computing: bool = False
    """Whether the loop is in the model, and not waiting for input or for the sink."""
    startup_us: int | None = None
    last_batch_at: float | None = None
    parity: dict[str, Any] | None = None
    list_parts: Callable[[], Sequence[tuple[int, int]]] | None = None
    """Lists the sink: runs of the parts that are there, each with its first part and the one after its last."""

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.next_part = self.share.first
        self._last_sign = self.clock()

    def enter(self, state: State) -> None:
        """The worker is now in this state; a later one is never left for an earlier one."""
        with self.lock:
            self.state = max(self.state, state, key=STATES.index)
            self._last_sign = self.clock()

    def start_up(self, startup_us: int) -> None:
        """The first mini-batch begins, so long after the process's creation."""
        with self.lock:
            self.startup_us = startup_us

    def step(self, *, step_us: int, model_us: int, images: int) -> None:
        """A mini-batch is done."""
        with self.lock:
            self.steps.add(step_us=step_us, model_us=model_us, images=images)
            self.last_batch_at = self.wall_clock()
            self._last_sign = self.clock()

    def classified(self, *, images: int, failed: int) -> None:
        """So many rows came to an open part, some of them with an error."""
        with self.lock:
            self.images_done += images
            self.images_failed += failed
            self.images_classified += images

    def committed(self) -> None:
        """A part of this worker's is in the sink."""
        with self.lock:
            self.parts_committed += 1

    def doubled(self, *, images: int, failed: int) -> None:
        """A part was somebody else's after all."""
        with self.lock:
            self.parts_doubled += 1
            self.images_done -= images
            self.images_failed -= failed

    def why_stuck(self) -> str | None:
        """Why this worker should be started anew, or None while it may be left alone."""
        with self.lock:
            if self.state == "done":
                return None
            silent_s = self.clock() - self._last_sign
            longest_us = max(self.steps.longest_us, self.steps.warmup_us or 0)
            patience_s = _MAX_WAIT_S
            if self.is_computing and self.steps.count:
                patience_s = max(_MAX_STEP_S, _MAX_STEPS * longest_us / 1e6)
            return f"no mini-batch for {silent_s:.0f} s" if silent_s > patience_s else None

    @property
    def is_ready(self) -> bool:
        """Whether the first mini-batch is over."""
        return self.steps.warmup_us is not None or self.state == "done"

    def document(self) -> dict[str, Any]:
        """What /progress shows."""
        with self.lock:
            return {
                "worker": self.worker,
                "state": self.state,
                "imagesDone": self.images_done,
                "imagesFailed": self.images_failed,
                "partsCommitted": self.parts_committed,
                "partsDoubled": self.parts_doubled,
                "batches": self.steps.count + (self.steps.warmup_us is not None),
                "share": [self.share.first, self.share.end],
                "nextPart": self.next_part,
                "stepMicros": self.steps.recent_us,
                "stepMicrosMean": self.steps.mean_us,
                "modelMicros": self.steps.recent_model_us,
                "modelMicrosMean": self.steps.mean_model_us,
                "warmupMicros": self.steps.warmup_us,
                "startupMicros": self.startup_us,
                "imagesPerSecond": self.steps.images_per_second,
                "lastBatchAt": self.last_batch_at,
                "parity": self.parity,
            }

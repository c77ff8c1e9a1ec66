"""What a worker has done so far, as one object that the loop writes and the server reads.

`images_done` counts the images of parts that this worker put into the sink, and those classified in its open parts. If
a part turns out to be in the sink already, because another worker was faster, its images are subtracted again, so that
the workers' numbers add up to what is done. `images_classified` only grows; it is what the metrics show.
"""

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal, get_args

from dueby_api.grid import Share
from dueby_api.start_parts import StartPart
from dueby_api.step_messages import MAX_STORE_ERROR, ParityCheck, StoreWait, WorkerPhase, WorkerProgress

# In the order in which a worker goes through them; "done" and "spent" are two ways to end.
PHASES: tuple[WorkerPhase, ...] = get_args(WorkerPhase)
_ENDED: tuple[WorkerPhase, ...] = ("done", "spent")
# How long a worker may load its model or wait for a store, which is retried for 10 minutes before it is given up.
_MAX_WAIT_S = 900.0
# How long a mini-batch may be in the model: at least so long ...
_MIN_STEP_LIMIT_S = 120.0
# ... and at least so many times as long as the longest one so far.
_STEP_LIMIT_FACTOR = 10
# Upper bounds in seconds, from a small model on a GPU to a large one on a core.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# Steps that count as recent.
_RECENT = 50
# A first request that takes so long counts as a wait, too: a server that accepts and never answers fails after minutes.
SLOW_S = 30.0


class StoreWaits:
    """The calls to the sink, or those to the source's stores, that wait. Thread-safe.

    A store that is full or away shows nowhere but in a step's log, unless the step says so: a worker's parts wait in
    memory, and it looks like one that hangs.
    """

    def __init__(self, store: Literal["sink", "source"]) -> None:
        self._store: Literal["sink", "source"] = store
        self._lock = threading.Lock()
        self._calls: dict[object, tuple[float, str]] = {}
        """When a call that is not over began, and how it failed last; empty if it hasn't."""

    def begin(self, call: object, *, at_s: float) -> None:
        """Note that the call begins, at this reading of the monotonic clock."""
        with self._lock:
            self._calls[call] = at_s, ""

    def fail(self, call: object, failure: Exception) -> None:
        """Note that the call has failed and will be repeated."""
        with self._lock:
            self._calls[call] = self._calls[call][0], str(failure)

    def end(self, call: object) -> None:
        """Note that the call is over."""
        with self._lock:
            self._calls.pop(call, None)

    def longest(self, *, now_s: float, work_s: float | None = None) -> StoreWait | None:
        """Return the wait that began first; None while no call waits. Time before `work_s` is not counted."""
        with self._lock:
            waits = [(at_s, error) for at_s, error in self._calls.values() if error or now_s - at_s >= SLOW_S]
        since_s, error = min(waits, default=(None, ""))
        if since_s is None:
            return None
        if work_s is not None:
            since_s = max(since_s, work_s)
        return StoreWait(store=self._store, error=error[:MAX_STORE_ERROR], seconds=round(max(0.0, now_s - since_s), 3))


@dataclass(kw_only=True)
class StepStatistics:
    """The steps so far, in microseconds.

    A step is the time between two consecutive results, which is what the plan counts in; it includes waiting for input.
    What the model took, and how long the loop waited for images, is kept beside it, so that a worker that starves can
    be told from a slow one. The first step is the warm-up and is kept apart.
    """

    warmup_us: int | None = None
    count: int = 0
    """Steady steps."""
    total_us: int = 0
    model_total_us: int = 0
    input_total_us: int = 0
    longest_us: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """Steady steps by BUCKETS_S; the last are those above all bounds."""
    _recent: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def add(self, *, step_us: int, model_us: int, images: int, input_us: int = 0) -> None:
        """Add a step, of which the model took `model_us`, and waiting for images `input_us`. Padding is no image."""
        if self.warmup_us is None:
            self.warmup_us = step_us
            return
        self.count += 1
        self.total_us += step_us
        self.model_total_us += model_us
        self.input_total_us += min(input_us, step_us)
        self.longest_us = max(self.longest_us, step_us)
        self.buckets[bisect_left(BUCKETS_S, step_us / 1e6)] += 1
        self._recent.append((step_us, model_us, images))

    @property
    def batches(self) -> int:
        """All mini-batches so far, including the first."""
        return self.count + (self.warmup_us is not None)

    @property
    def recent_us(self) -> int | None:
        """Mean of the recent steady steps."""
        return round(sum(step for step, _, _ in self._recent) / len(self._recent)) if self._recent else None

    @property
    def recent_model_us(self) -> int | None:
        """Mean time that the model took of the recent steady steps."""
        return round(sum(model for _, model, _ in self._recent) / len(self._recent)) if self._recent else None

    @property
    def mean_us(self) -> int | None:
        """Mean of all steady steps."""
        return round(self.total_us / self.count) if self.count else None

    @property
    def mean_model_us(self) -> int | None:
        """Mean time that the model took of all steady steps."""
        return round(self.model_total_us / self.count) if self.count else None

    @property
    def input_wait(self) -> float | None:
        """Share of all steady steps in which the loop waited for images."""
        return round(self.input_total_us / self.total_us, 3) if self.total_us else None

    @property
    def images_per_second(self) -> float | None:
        """Rate over the recent steady steps."""
        elapsed_us = sum(step for step, _, _ in self._recent)
        return round(sum(images for _, _, images in self._recent) * 1e6 / elapsed_us, 1) if elapsed_us else None


@dataclass(kw_only=True)
class ProgressTracker:
    """Counters of one worker. Thread-safe; every method holds the lock for microseconds."""

    worker: str
    share: Share
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    state: WorkerPhase = "starting"
    steps: StepStatistics = field(default_factory=StepStatistics)
    images_done: int = 0
    images_failed: int = 0
    images_classified: int = 0
    parts_committed: int = 0
    parts_doubled: int = 0
    next_part: int = 0
    in_flight: int = 0
    """Mini-batches submitted and not collected."""
    is_computing: bool = False
    """Whether the loop is in the model, and not waiting for input or for the sink."""
    is_leaving: bool = False
    """Whether the worker was told to stop and finishes its open part."""
    startup_us: int | None = None
    start_ends_us: dict[StartPart, int] = field(default_factory=dict)
    """How old the process was when each part of its start-up was over, in their order."""
    last_batch_at: float | None = None
    """When the last mini-batch was done, in seconds since 1970 by this machine's clock: for people only."""
    parity: ParityCheck | None = None
    list_parts: Callable[[], Sequence[tuple[int, int]]] | None = None
    """Lists the parts in the sink as runs, each as its first part and the one after its last. None before the sink is
    open.
    """

    find_observed_requests: Callable[[], float | None] = lambda: None
    """Finds how many requests a second the images' store gave when it refused more."""
    sink_waits: StoreWaits = field(default_factory=lambda: StoreWaits("sink"))
    source_waits: StoreWaits = field(default_factory=lambda: StoreWaits("source"))

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.next_part = self.share.first
        self._last_sign_s = self.clock()
        self._last_batch_s: float | None = None

    def enter(self, state: WorkerPhase) -> None:
        """Note that the worker is in this phase now. A phase is never left for an earlier one."""
        with self.lock:
            self.state = max(self.state, state, key=PHASES.index)
            self._last_sign_s = self.clock()

    def end_start_part(self, part: StartPart, age_us: int) -> None:
        """Note that a part of the start-up is over, so long after the process was created."""
        with self.lock:
            self.start_ends_us[part] = age_us

    def start_first_batch(self, startup_us: int) -> None:
        """Note that the first mini-batch begins, so long after the process was created."""
        with self.lock:
            self.startup_us = self.start_ends_us["images"] = startup_us

    def add_step(self, *, step_us: int, model_us: int, images: int, input_us: int = 0) -> None:
        """Count a mini-batch that is done, with how long the loop waited for images meanwhile."""
        with self.lock:
            self.steps.add(step_us=step_us, model_us=model_us, images=images, input_us=input_us)
            self.last_batch_at = self.wall_clock()
            self._last_sign_s = self._last_batch_s = self.clock()

    def add_rows(self, *, images: int, failed: int) -> None:
        """Count rows that were added to an open part, `failed` of them with an error."""
        with self.lock:
            self.images_done += images
            self.images_failed += failed
            self.images_classified += images

    def add_committed_part(self) -> None:
        """Count a part that this worker put into the sink."""
        with self.lock:
            self.parts_committed += 1

    def add_doubled_part(self, *, images: int, failed: int) -> None:
        """Count a part that another worker put into the sink first, and subtract its rows."""
        with self.lock:
            self.parts_doubled += 1
            self.images_done -= images
            self.images_failed -= failed

    def why_stuck(self) -> str | None:
        """Return why this worker should be restarted; None while it may be left alone."""
        with self.lock:
            if self.state in _ENDED:
                return None
            silent_s = self.clock() - self._last_sign_s
            longest_us = max(self.steps.longest_us, self.steps.warmup_us or 0)
            limit_s = _MAX_WAIT_S
            # The first mini-batches may compile, and before them nobody knows how long a step is.
            if self.is_computing and self.steps.count:
                limit_s = max(_MIN_STEP_LIMIT_S, _STEP_LIMIT_FACTOR * longest_us / 1e6)
            return f"no mini-batch for {silent_s:.0f} s" if silent_s > limit_s else None

    @property
    def seconds_since_batch(self) -> float | None:
        """Age of the last mini-batch; None before there is one."""
        return None if self._last_batch_s is None else round(self.clock() - self._last_batch_s, 3)

    @property
    def waits_for(self) -> StoreWait | None:
        """The store that the worker waits for, the sink before the source; None while it waits for none."""
        now_s = self.clock()
        # While mini-batches are done, a call to the source that waits is about one bad image and holds nobody up.
        return self.sink_waits.longest(now_s=now_s) or self.source_waits.longest(now_s=now_s, work_s=self._last_batch_s)

    @property
    def is_ready(self) -> bool:
        """Whether the first mini-batch is over."""
        return self.steps.warmup_us is not None or self.state in _ENDED

    def report(self) -> WorkerProgress:
        with self.lock:
            return WorkerProgress(
                worker=self.worker,
                state=self.state,
                images_done=self.images_done,
                images_failed=self.images_failed,
                parts_committed=self.parts_committed,
                parts_doubled=self.parts_doubled,
                batches=self.steps.batches,
                share=(self.share.first, self.share.end),
                next_part=self.next_part,
                step_us=self.steps.recent_us,
                mean_step_us=self.steps.mean_us,
                model_us=self.steps.recent_model_us,
                mean_model_us=self.steps.mean_model_us,
                warmup_us=self.steps.warmup_us,
                startup_us=self.startup_us,
                start_parts=self._start_parts(),
                images_per_second=self.steps.images_per_second,
                seconds_since_batch=self.seconds_since_batch,
                waits_for=self.waits_for,
                input_wait=self.steps.input_wait,
                observed_requests_per_second=self.find_observed_requests(),
                leaving=self.is_leaving,
                parity=self.parity,
            )

    def _start_parts(self) -> dict[str, int]:
        # The kernel tells a process's age to 10 ms, so that of a later moment may look smaller.
        ends = list(accumulate(self.start_ends_us.values(), max, initial=0))
        return {part: end - begin for part, begin, end in zip(self.start_ends_us, ends, ends[1:], strict=False)}

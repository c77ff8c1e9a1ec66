"""The hot path: mini-batches from the feed through the engine into parts.

Nothing here is done once per image. While a mini-batch is in the model, the feed's thread fills the next one and the
commits' thread writes finished parts; this one only hands over. A step is timed from one result to the next.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dueby_worker.engines.interface import Engine, TopK
from dueby_worker.output.parts import OpenPart
from dueby_worker.telemetry.progress import Progress
from dueby_worker.work.feed import Drained, Feed, MiniBatch, Piece


@dataclass(kw_only=True)
class Loop:
    """One worker's loop, from its first mini-batch to its last."""

    engine: Engine
    feed: Feed
    progress: Progress
    commit: Callable[[OpenPart], None]
    is_in_sink: Callable[[int], bool]
    """Whether a part is known to be in the sink."""
    on_warm_up: Callable[[], None] = lambda: None
    """Told that the first mini-batch is about to be submitted."""
    on_first: Callable[[MiniBatch, TopK], None] = lambda batch, top: None
    """Told the first mini-batch and its result."""
    clock_ns: Callable[[], int] = time.perf_counter_ns
    _in_flight: deque[MiniBatch] = field(default_factory=deque)
    _open: set[OpenPart] = field(default_factory=set)
    _last_ns: int = 0
    _model_ns: int = 0

    def run(self) -> None:
        """Until the feed ends."""
        for fed in self.feed:
            if isinstance(fed, Drained):
                while self._in_flight:
                    self._collect()
                self._settle_doubles()
            elif all(self._is_done(piece.part) for piece in fed.pieces):
                self.feed.give_back(fed)
            else:
                self._submit(fed)
                if len(self._in_flight) == self.engine.depth:
                    self._collect()

    def _submit(self, batch: MiniBatch) -> None:
        if not self._last_ns:
            self.on_warm_up()
            self.progress.enter("warming")
            self._last_ns = self.clock_ns()
        started = self._enter_model()
        self.engine.submit(batch.pixels)
        self._leave_model(started)
        self._in_flight.append(batch)
        self.progress.in_flight = len(self._in_flight)

    def _collect(self) -> None:
        """Wait for the oldest mini-batch and hand its rows over."""
        started = self._enter_model()
        top = self.engine.collect()
        now = self._leave_model(started)
        batch = self._in_flight.popleft()
        self.progress.in_flight = len(self._in_flight)
        is_first = self.progress.steps.warmup_us is None
        self.progress.step(step_us=(now - self._last_ns) // 1000, model_us=self._model_ns // 1000, images=batch.images)
        self._last_ns, self._model_ns = now, 0
        if is_first:
            self.on_first(batch, top)
            self.progress.enter("running")
            self._last_ns = self.clock_ns()
        for piece in batch.pieces:
            self._hand_over(piece, top)
        self.feed.give_back(batch)

    def _hand_over(self, piece: Piece, top: TopK) -> None:
        part, end = piece.part, piece.slot + len(piece.positions)
        if self._is_done(part):
            return
        self._open.add(part)
        part.put(np.array(piece.positions), top.classes[piece.slot : end], top.scores[piece.slot : end], piece.errors)
        self.progress.classified(images=len(piece.positions), failed=len(piece.errors))
        if part.is_complete:
            self._open.remove(part)
            self.commit(part)

    def _is_done(self, part: OpenPart) -> bool:
        """Whether somebody else has put the part into the sink meanwhile."""
        return not part.is_retry and self.is_in_sink(part.part)

    def _settle_doubles(self) -> None:
        """Take the rows of open parts off again that are others' now."""
        for part in [part for part in self._open if self._is_done(part)]:
            self._open.remove(part)
            self.progress.doubled(images=part.received, failed=part.failed)

    def _enter_model(self) -> int:
        self.progress.is_computing = True
        return self.clock_ns()

    def _leave_model(self, started: int) -> int:
        now = self.clock_ns()
        self.progress.is_computing = False
        self._model_ns += now - started
        return now

"""The hot path: take mini-batches from the feed, run them through the engine, and hand their rows to parts.

Nothing here happens once per image. While a mini-batch is in the model, the feed's thread fills the next one and the
thread of the commits writes finished parts; this thread only hands over. A step is timed from one result to the next.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from dueby_worker.engines.interface import Engine
from dueby_worker.models.columns import Columns
from dueby_worker.output.parts import OpenPart
from dueby_worker.telemetry.progress import ProgressTracker
from dueby_worker.work.feed import Drained, Feed, MiniBatch, Piece


@dataclass(kw_only=True)
class InferenceLoop:
    """One worker's loop, from its first mini-batch to its last."""

    engine: Engine
    feed: Feed
    progress: ProgressTracker
    commit: Callable[[OpenPart], None]
    is_in_sink: Callable[[int], bool]
    """Whether a part is known to be in the sink."""
    on_warm_up: Callable[[], None] = lambda: None
    """Called when the first mini-batch is about to be submitted."""
    on_first: Callable[[MiniBatch, Columns], None] = lambda batch, columns: None
    """Called with the first mini-batch and its result."""
    on_skip: Callable[[], None] = lambda: None
    """Called when a mini-batch is not run because its parts are in the sink."""
    clock_ns: Callable[[], int] = time.perf_counter_ns
    open_part: OpenPart | None = None
    """The part of the next row to come from the model; None while nothing is known to come."""
    _in_flight: deque[MiniBatch] = field(default_factory=deque)
    _open: set[OpenPart] = field(default_factory=set)
    _last_ns: int = 0
    """When the previous result came; 0 before the first mini-batch."""
    _model_ns: int = 0
    """Time in the model since then."""
    _input_ns: int = 0
    """Time since then in which there was no mini-batch to take."""

    def run(self) -> None:
        """Run until the feed ends."""
        for fed in self._timed(self.feed):
            if isinstance(fed, Drained):
                while self._in_flight:
                    self._collect()
                self._subtract_doubles()
            elif all(self._is_done_elsewhere(piece.part) for piece in fed.pieces):
                self.on_skip()
                self.feed.give_back(fed)
            else:
                self._submit(fed)
                if len(self._in_flight) == self.engine.depth:
                    self._collect()

    def _timed(self, feed: Iterable[MiniBatch | Drained]) -> Iterator[MiniBatch | Drained]:
        """Yield what is fed, and note how long each was waited for."""
        waiting = iter(feed)
        while True:
            asked_ns = self.clock_ns()
            fed = next(waiting, None)
            self._input_ns += self.clock_ns() - asked_ns
            if fed is None:
                return
            yield fed

    def _submit(self, batch: MiniBatch) -> None:
        if not self._last_ns:
            self.on_warm_up()
            self.progress.enter("warming")
            self._last_ns = self.clock_ns()
        started_ns = self._enter_model()
        self.engine.submit(batch.pixels)
        self._leave_model(started_ns)
        self._in_flight.append(batch)
        self.open_part = self.open_part or batch.pieces[0].part
        self.progress.in_flight = len(self._in_flight)

    def _collect(self) -> None:
        """Wait for the oldest mini-batch and hand its rows over."""
        started_ns = self._enter_model()
        columns = self.engine.collect()
        now_ns = self._leave_model(started_ns)
        batch = self._in_flight.popleft()
        self.progress.in_flight = len(self._in_flight)
        is_first = self.progress.steps.warmup_us is None
        self.progress.add_step(
            step_us=(now_ns - self._last_ns) // 1000,
            model_us=self._model_ns // 1000,
            images=batch.images,
            input_us=self._input_ns // 1000,
        )
        self._last_ns, self._model_ns, self._input_ns = now_ns, 0, 0
        if is_first:
            self.on_first(batch, columns)
            self.progress.enter("running")
            # What on_first took is no part of the next step.
            self._last_ns = self.clock_ns()
        for piece in batch.pieces:
            self._hand_over(piece, columns)
        self.open_part = self._next_part(after=batch.pieces[-1].part)
        self.feed.give_back(batch)

    def _next_part(self, *, after: OpenPart) -> OpenPart | None:
        if not after.is_complete:
            return after
        return self._in_flight[0].pieces[0].part if self._in_flight else None

    def _hand_over(self, piece: Piece, columns: Columns) -> None:
        part, end = piece.part, piece.slot + len(piece.positions)
        if self._is_done_elsewhere(part):
            return
        self._open.add(part)
        part.put(
            np.array(piece.positions),
            {name: values[piece.slot : end] for name, values in columns.items()},
            errors=piece.errors,
            warnings=piece.warnings,
        )
        self.progress.add_rows(images=len(piece.positions), failed=len(piece.errors))
        if part.is_complete:
            self._open.remove(part)
            self.commit(part)

    def _is_done_elsewhere(self, part: OpenPart) -> bool:
        """Return whether another worker has put the part into the sink in the meantime."""
        # A retry is meant to replace a part that is in the sink.
        return not part.is_retry and self.is_in_sink(part.part)

    def _subtract_doubles(self) -> None:
        """Subtract the rows of open parts that another worker has finished."""
        for part in [part for part in self._open if self._is_done_elsewhere(part)]:
            self._open.remove(part)
            self.progress.add_doubled_part(images=part.received, failed=part.failed)

    def _enter_model(self) -> int:
        self.progress.is_computing = True
        return self.clock_ns()

    def _leave_model(self, started_ns: int) -> int:
        now_ns = self.clock_ns()
        self.progress.is_computing = False
        self._model_ns += now_ns - started_ns
        return now_ns

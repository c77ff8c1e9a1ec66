"""Leave on SIGTERM without losing the open part, if the time that the worker is granted is enough for it.

Nothing stops for it: mini-batches and commits go on, in their threads, until the part is in the sink, and then the
process exits. What was computed of the next part by then is dropped, and whoever takes that part over computes it
again. A part that can't be expected in time is dropped at once, so that the device is free.

Parts have one order, so the open part's rows come next, and its commit comes after those of the parts before it.
"""

import logging
from dataclasses import dataclass
from math import ceil, inf

from dueby_worker.output.parts import OpenPart
from dueby_worker.output.sink import KnownParts
from dueby_worker.telemetry.progress import ProgressTracker
from dueby_worker.work.commits import Commits
from dueby_worker.work.loop import InferenceLoop

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Departure:
    """How one worker leaves. `leave` is called in a thread of its own, at any moment of the loop."""

    grace_s: float
    """The time that the worker has after it was told to stop."""
    mini_batch_size: int
    loop: InferenceLoop
    commits: Commits
    known_parts: KnownParts
    progress: ProgressTracker

    def leave(self) -> None:
        """Return when what can be finished in time is in the sink, at once if nothing can, or when the time is over."""
        # A retry's part is known to be in the sink, with its old rows, and is not waited for.
        begun = (self.loop.open_part, self.commits.newest)
        wanted = {part.part for part in begun if part is not None and self._expected_s(part) <= self.grace_s}
        if wanted:
            log.info("told to stop; leaving once what is begun is in the sink, in %.0f s at most", self.grace_s)
            self.progress.is_leaving = True
            self.known_parts.wait_for(wanted, limit_s=self.grace_s)

    def _expected_s(self, part: OpenPart) -> float:
        """Return how long the part will take until it is in the sink."""
        seen = self.progress.report()
        if seen.waits_for:
            return inf
        if part.is_complete:
            return self.commits.last_took_s
        if seen.step_us is None or seen.seconds_since_batch is None:
            return inf
        # A mini-batch that takes longer than usual is the measure of the others: the worker may hang.
        step_s = max(seen.step_us / 1e6, seen.seconds_since_batch)
        return ceil(part.left / self.mini_batch_size) * step_s + self.commits.last_took_s

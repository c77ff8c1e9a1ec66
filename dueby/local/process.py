"""One worker's process on this machine, and what was last heard of it.

It is observed as a pod is, by scraping `/progress` with a short timeout; a scrape that fails says nothing, the end of
the process does.

Times are by a clock that nobody sets while a run is under way. A time of day that is put right in the middle of a run
would make every worker look as if it had hung for that long.
"""

import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from dueby.local.this_machine import Slot
from dueby_api.errors import Invalid
from dueby_api.schema import Kind, decode
from dueby_api.step_config import CAREFUL_AFTER
from dueby_api.step_messages import WorkerProgress, WorkResult
from dueby_planner.schedule.job import GONE, Assignment, WorkerModel, WorkerState, worker_model

# It goes on while a laptop sleeps, and so does a deadline. Only Linux has it by this name.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_OFFSET_NS = time.time_ns() - time.clock_gettime_ns(_STEADY)
# A worker that is busy for longer is asked again at the next tick.
SCRAPE_TIMEOUT_S = 1.0


def now_us() -> int:
    """Return the time in microseconds since 1970, as this process's first look at the time of day has it."""
    return (_OFFSET_NS + time.clock_gettime_ns(_STEADY)) // 1000


@dataclass(kw_only=True)
class Process:
    """A worker's process and what was last heard of it."""

    assignment: Assignment
    slot: Slot
    process: subprocess.Popen[bytes]
    created_us: int
    folder: Path
    part_size: int
    losses: int = 0
    """Workers of this run that were lost before it was started."""
    state: WorkerState = "starting"
    progress: WorkerProgress = field(default_factory=WorkerProgress)
    read_us: int = 0
    """When it said so."""
    ended_us: int | None = None
    kill_at_s: float | None = None
    """When it is killed if it is still there, by the monotonic clock; None unless it was told to go."""

    @property
    def is_gone(self) -> bool:
        """Whether it does nothing more, or was told to go."""
        return self.state in GONE

    @property
    def has_slot(self) -> bool:
        """Whether it is still there, so that nobody else may have its slot."""
        return self.ended_us is None

    @property
    def is_careful(self) -> bool:
        """Whether no image can be what it is lost to."""
        return self.losses >= CAREFUL_AFTER

    def refresh(self) -> None:
        """Look at the process, then ask it how far it is."""
        code = self.process.poll()
        if code is not None:
            self.ended_us = now_us()
            if (result := self.last_words(WorkResult)) and result.progress.worker:
                self.progress, self.read_us = result.progress, self.ended_us
            self.state = self._end_state(code)
            return
        if self.kill_at_s is not None and time.monotonic() > self.kill_at_s:
            self.process.kill()
        try:
            port = int((self.folder / "port").read_text())
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/progress", timeout=SCRAPE_TIMEOUT_S) as answer:
                self.progress = decode(WorkerProgress, answer.read())
            self.read_us = now_us()
        # Not listening yet, too busy, or killed while it answers: no news.
        except (OSError, HTTPException, ValueError, Invalid):
            return
        if self.progress.batches and not self.is_gone:
            self.state = "running"

    def model(self) -> WorkerModel:
        """Return the worker as it was last seen."""
        return worker_model(
            self.assignment,
            self.state,
            created_us=self.created_us,
            progress=self.progress,
            read_us=self.read_us,
            # Nobody else looks after processes of this machine: one that doesn't answer hangs, too.
            answers_since_us=self.created_us,
            part_size=self.part_size,
        )

    def last_words(self, kind: type[Kind]) -> Kind | None:
        """Return the process's last words; None if it left none of this kind."""
        try:
            return decode(kind, (self.folder / "last-words.json").read_bytes())
        except (OSError, Invalid):
            return None

    def log_tail(self) -> str:
        try:
            text = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return "it left no log"
        return " / ".join(text.splitlines()[-3:]) or "it left no word"

    def _end_state(self, code: int) -> WorkerState:
        if code:
            return self.state if self.is_gone else "lost"
        return "spent" if self.progress.state == "spent" else "done"

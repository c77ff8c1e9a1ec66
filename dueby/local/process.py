"""A worker's process on this machine, and what was last heard of it.

It is observed as a pod is, by scraping `/progress` with a short timeout; a scrape that fails says nothing, the end of
the process does.
"""

import subprocess
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from dueby.local.clock import now_us
from dueby.local.slots import Slot
from dueby_api.errors import Invalid
from dueby_api.schema import Spec, decode
from dueby_api.step_config import CAREFUL_AFTER
from dueby_api.step_messages import WorkerProgress, WorkResult
from dueby_operator.model.job_model import GONE, Assignment, WorkerModel, WorkerState, worker_model

# A worker that is busy for longer is asked again at the next tick.
SCRAPE_TIMEOUT_S = 1.0
# A worker is gone 2 s after SIGTERM; a hanging one is killed then.
STOP_TIMEOUT_S = 2.0
Kind = TypeVar("Kind", bound=Spec)


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
    state_if_stopped: WorkerState | None = None
    """What it is once it is gone, if it was told to stop; None while it wasn't."""

    @property
    def is_gone(self) -> bool:
        """Whether it does nothing more."""
        return self.state in GONE

    @property
    def is_careful(self) -> bool:
        """Whether no image can be what it is lost to."""
        return self.losses >= CAREFUL_AFTER


def stop(processes: Iterable[Process], state: WorkerState) -> None:
    """Send SIGTERM, and SIGKILL to who doesn't go; return when they are gone. `state` is what they are then."""
    stopping = [process for process in processes if not process.is_gone]
    for process in stopping:
        process.state_if_stopped = state
        process.process.terminate()
    give_up = time.monotonic() + STOP_TIMEOUT_S
    for process in stopping:
        try:
            process.process.wait(max(0.0, give_up - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.process.kill()
            process.process.wait()


def log_tail(folder: Path, lines: int = 3) -> str:
    """Return the end of a worker's log."""
    try:
        text = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "it left no log"
    return " / ".join(text.splitlines()[-lines:]) or "it left no word"


def last_words(kind: type[Kind], folder: Path) -> Kind | None:
    """Return the process's last words; None if it left none of this kind."""
    try:
        return decode(kind, (folder / "last-words.json").read_bytes())
    except (OSError, Invalid):
        return None


def refresh(process: Process) -> None:
    """Look at the process, then ask it how far it is."""
    code = process.process.poll()
    if code is not None:
        process.ended_us = now_us()
        if (result := last_words(WorkResult, process.folder)) and result.progress.worker:
            process.progress, process.read_us = result.progress, process.ended_us
        process.state = _end_state(process, code)
        return
    try:
        port = int((process.folder / "port").read_text())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/progress", timeout=SCRAPE_TIMEOUT_S) as answer:
            process.progress = decode(WorkerProgress, answer.read())
        process.read_us = now_us()
    except (OSError, ValueError, Invalid):  # not listening yet, or too busy to answer: no news
        return
    if process.progress.batches:
        process.state = "running"


def _end_state(process: Process, code: int) -> WorkerState:
    if code:
        return process.state_if_stopped or "lost"
    return "spent" if process.progress.state == "spent" else "done"


def model_of(process: Process) -> WorkerModel:
    return worker_model(
        process.assignment,
        process.state,
        created_us=process.created_us,
        progress=process.progress,
        read_us=process.read_us,
        # Nobody else looks after processes of this machine: one that doesn't answer hangs, too.
        answers_since_us=process.created_us,
        part_size=process.part_size,
    )

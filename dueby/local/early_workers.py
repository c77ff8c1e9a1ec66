"""Workers of a job that are started before its plan, and load the model while its source is indexed.

One waits with its model in memory, and with nothing on its device, until the plan has work for its slot. Then it is a
worker like any other: it goes on with the configuration that it would have been started with. Those that the plan has
no work for are killed, which nothing is lost by (dueby_worker/steps/early.py). A slot isn't theirs before the plan says
so.
"""

import json
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from dueby.local.slots import Slot
from dueby.local.this_machine import cache_folder
from dueby.local.worker_process import EnvironmentOf, start_worker
from dueby_api.engines import EngineName
from dueby_api.inference_job import InferenceJob
from dueby_operator.model.step_configs import early_config

# A line, and nothing else, tells an early worker that its configuration is there.
_LINE = b"\n"


@dataclass(frozen=True, kw_only=True)
class EarlyWorker:
    """A process that loads its model and then waits to be told."""

    slot: Slot
    engine: EngineName
    folder: Path
    process: subprocess.Popen[bytes]

    def tell(self) -> None:
        """Have it go on: its configuration is there.

        If it has ended meanwhile, it counts as a worker that was lost, and the next decision makes up for it.
        """
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.write(_LINE)
        self._let_go()

    def kill(self) -> None:
        """End it."""
        self.process.kill()
        self._let_go()
        self.process.wait()

    def _let_go(self) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):  # of a line that nobody reads
            self.process.stdin.close()


class EarlyWorkers:
    """The early workers of one job. They may be ended from any thread."""

    def __init__(self) -> None:
        self._waiting: dict[str, EarlyWorker] = {}
        self._is_over = False
        self._lock = Lock()

    def start(
        self,
        job: InferenceJob,
        devices: Sequence[tuple[Slot, EngineName]],
        *,
        folder: Path,
        environment_of: EnvironmentOf,
    ) -> None:
        """Start one on each slot, for an engine, unless it is known by now that none is needed."""
        for number, (slot, engine) in enumerate(devices):
            with self._lock:
                if self._is_over:
                    return
                worker_folder = folder / f"early{number}"
                self._waiting[slot.name] = _start(
                    job, slot, engine, folder=worker_folder, environment_of=environment_of
                )

    def take(self, slot: Slot, engine: EngineName) -> EarlyWorker | None:
        """Return the one that waits on that slot for that engine, which is now the caller's; None if none does."""
        with self._lock:
            worker = self._waiting.pop(slot.name, None)
        if worker is None or (worker.engine == engine and worker.process.poll() is None):
            return worker
        worker.kill()
        return None

    def end(self) -> None:
        """End those that still wait; none is started any more."""
        with self._lock:
            self._is_over = True
            waiting, self._waiting = self._waiting, {}
        for worker in waiting.values():
            worker.kill()


def _start(
    job: InferenceJob, slot: Slot, engine: EngineName, *, folder: Path, environment_of: EnvironmentOf
) -> EarlyWorker:
    folder.mkdir(parents=True)
    own = {"cores": slot.cores, "cacheDir": str(cache_folder())}
    document = {**early_config(job, engine, threads=slot.threads), **own}
    path = folder / "early.json"
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    process = start_worker(
        job,
        slot,
        engine,
        folder=folder,
        scratch=folder.parent,
        environment_of=environment_of,
        options=["--early", str(path)],
        is_told_later=True,
    )
    return EarlyWorker(slot=slot, engine=engine, folder=folder, process=process)

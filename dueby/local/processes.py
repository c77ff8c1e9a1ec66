"""The local backend: a process where the cluster has a pod.

Each worker gets its configuration as a file, its slot's cores or GPU, a log of its own and a port that it writes down.
Workers die with this process, however it dies, so that nothing is left running behind a user's back.
"""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from dueby.local.early_workers import EarlyWorkers
from dueby.local.process import Process, now_us
from dueby.local.this_machine import Slot
from dueby.local.worker_process import EnvironmentOf, config_path, start_worker
from dueby_api.engines import EngineName
from dueby_api.errors import DueByError, Invalid, Transient
from dueby_api.inference_job import InferenceJob
from dueby_api.step_messages import EXIT_INVALID, EXIT_TRY_AGAIN, StepError
from dueby_api.words import counted
from dueby_operator.model.step_configs import common_config, own_config
from dueby_planner.schedule.job import Assignment, WorkerModel, WorkerState

# How often workers are looked at.
TICK_S = 0.5
# A worker that is told to go may take so long to finish its open part ...
GRACE_S = 30
# ... and is gone 2 s later, or 2 s after Ctrl-C; a hanging one is killed then.
STOP_TIMEOUT_S = 2.0


class SinkBegun(Invalid):
    """The sink holds rows of this very job, in parts of another size than the workers were told."""

    def __init__(self, field: str, message: str, *, part_size: int) -> None:
        super().__init__(field, message)
        self.part_size = part_size


class Processes:
    """The workers of one job on this machine."""

    def __init__(
        self,
        job: InferenceJob,
        slots: Sequence[Slot],
        *,
        folder: Path,
        cache_folder: Path,
        images: int,
        fingerprint: str | None,
        retry_failed: bool,
        environment_of: EnvironmentOf,
        on_machine: list[Process] | None = None,
        early: EarlyWorkers | None = None,
    ) -> None:
        """`on_machine` are the processes of all jobs that share the slots; those of this job are added to it.

        `early` are those that were started before there was a plan.
        """
        self.job = job
        self.slots = tuple(slots)
        self.on_machine = [] if on_machine is None else on_machine
        self.folder = folder
        self.cache_folder = cache_folder
        self.images = images
        self.fingerprint = fingerprint
        self.retry_failed = retry_failed
        self.environment_of = environment_of
        self.early = early or EarlyWorkers()
        self.started: list[Process] = []
        self.scrapers = ThreadPoolExecutor(16, thread_name_prefix="scrape")

    def start(self, assignments: Iterable[Assignment], *, part_size: int) -> None:
        """Start a worker for each assignment, on a free slot of its class."""
        added = list(assignments)
        alive = [process.assignment for process in self.started if not process.is_gone]
        shares = [[a.share.first, a.share.end] for a in (*alive, *added)]
        for rank, assignment in enumerate(added, start=len(alive)):
            process = self._start(assignment, part_size=part_size, shares=shares, rank=rank)
            self.started.append(process)
            self.on_machine.append(process)

    def dismiss(self, workers: Iterable[str]) -> None:
        """Have workers finish their open parts, if GRACE_S are enough, and go. They have their slots until then."""
        for process in self._there(workers):
            process.state, process.kill_at_s = "stopped", time.monotonic() + GRACE_S + STOP_TIMEOUT_S
            process.process.terminate()

    def stop(self, workers: Iterable[str], *, are_lost: bool = False) -> None:
        """Have workers drop their open parts, and kill who doesn't go; return when they are gone.

        Workers that are given up, since they hang, count as lost: the next decision makes up for them.
        """
        _stop(self._there(workers), "lost" if are_lost else "stopped")
        self.observe()

    def stop_all(self) -> None:
        """Stop every worker that is still there."""
        self.early.end()
        stop_together([self])

    def end_early(self) -> None:
        """End the early workers that have been given no work: the plan does without them."""
        self.early.end()

    def observe(self) -> tuple[WorkerModel, ...]:
        list(self.scrapers.map(Process.refresh, [process for process in self.started if process.has_slot]))
        return tuple(process.model() for process in self.started)

    def raise_fault(self) -> None:
        """Raise what a worker said was wrong with the job: no other worker would do better.

        It is SinkBegun if another run has begun the sink since this one looked at it.
        """
        for process in self.started:
            if process.state == "lost" and process.process.returncode == EXIT_INVALID:
                error = process.last_words(StepError) or StepError()
                if error.part_size:
                    raise SinkBegun(error.field, error.error, part_size=error.part_size)
                raise Invalid(error.field or "spec", error.error or process.log_tail())

    def fault_of_losses(self) -> DueByError:
        """Return the error to raise when workers are lost again and again."""
        lost = [p for p in self.started if p.state == "lost"]
        last = lost[-1]
        said = last.last_words(StepError)
        words = (said.sentence if said else "") or last.log_tail()
        if last.process.returncode == EXIT_TRY_AGAIN:
            return Transient(f"worker {last.assignment.worker} gave up: {words}")
        code = last.process.returncode
        how = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
        return DueByError(f"{counted(len(lost), 'worker')} ended before their time, the last with {how}: {words}")

    def free_slot(self, device_class: str) -> Slot:
        """Return a slot of the class that no worker has, of this job or of another."""
        used = {process.slot.name for process in self.on_machine if process.has_slot}
        return next(slot for slot in self.slots if slot.device_class == device_class and slot.name not in used)

    def _there(self, workers: Iterable[str]) -> list[Process]:
        named = set(workers)
        return [process for process in self.started if process.assignment.worker in named and process.has_slot]

    def _start(self, assignment: Assignment, *, part_size: int, shares: list[list[int]], rank: int) -> Process:
        slot = self.free_slot(assignment.device_class)
        losses = sum(process.state == "lost" for process in self.started)
        early = self.early.take(slot, assignment.choice.engine)
        folder = early.folder if early else self.folder / assignment.worker
        folder.mkdir(parents=True, exist_ok=early is not None)
        document = self._config(assignment, slot, folder, part_size=part_size, shares=shares, rank=rank)
        config_path(folder).write_text(json.dumps(document, indent=1), encoding="utf-8")
        if early:
            early.tell()
        return Process(
            assignment=assignment,
            slot=slot,
            process=early.process if early else self._start_process(assignment.choice.engine, slot, folder, losses),
            created_us=now_us(),
            folder=folder,
            part_size=part_size,
            losses=losses,
        )

    def _start_process(self, engine: EngineName, slot: Slot, folder: Path, losses: int) -> subprocess.Popen[bytes]:
        return start_worker(
            self.job,
            slot,
            engine,
            folder=folder,
            scratch=self.folder,
            environment_of=self.environment_of,
            losses=losses,
        )

    def _config(
        self, assignment: Assignment, slot: Slot, folder: Path, *, part_size: int, shares: list[list[int]], rank: int
    ) -> dict[str, Any]:
        common = common_config(
            self.job,
            assignment,
            threads=slot.threads,
            images=self.images,
            part_size=part_size,
            fingerprint=self.fingerprint,
        )
        return {
            **common,
            **own_config(assignment, rank=rank, source=self.job.spec.source),
            "cores": None if slot.cores is None else list(slot.cores),
            "shares": shares,
            "retryFailed": self.retry_failed,
            "graceSeconds": GRACE_S,
            "portFile": str(folder / "port"),
            "cacheDir": str(self.cache_folder),
        }


def stop_together(jobs: Iterable[Processes]) -> None:
    """Have every worker of these jobs drop its open part, all at once; return when they are gone."""
    all_of_them = tuple(jobs)
    _stop([process for job in all_of_them for process in job.started if process.has_slot], "stopped")
    for job in all_of_them:
        job.observe()


def wait_for_an_end(processes: Iterable[Process], limit_s: float) -> None:
    """Wait until one of the processes has ended that weren't known to have, but no longer than this."""
    ends = select.poll()
    with ExitStack() as stack:
        for process in processes:
            # It isn't reaped before it is observed, so its number is still its own. Some kernels know no such thing.
            with suppress(OSError):
                if process.has_slot:
                    descriptor = os.pidfd_open(process.process.pid)
                    stack.callback(os.close, descriptor)
                    ends.register(descriptor, select.POLLIN)
        ends.poll(limit_s * 1000)


def _stop(stopping: Sequence[Process], state: WorkerState) -> None:
    for process in stopping:
        process.state = state
        # SIGTERM would leave them the time to finish.
        process.process.send_signal(signal.SIGINT)
    give_up = time.monotonic() + STOP_TIMEOUT_S
    for process in stopping:
        try:
            process.process.wait(max(0.0, give_up - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.process.kill()
            process.process.wait()

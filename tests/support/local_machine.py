"""This machine in small: the loop of `dueby run`, with processes that only sleep, and a clock that the test moves.

A worker does what its profile says, from the front of its job's images on. What it says of itself is made up of that;
that it is started, stopped and gone is real.
"""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dueby.local.loop import Loop, Seams
from dueby.local.process import Process
from dueby.local.processes import Processes
from dueby.local.record import Record
from dueby.local.running_job import JobEnd, JobSeams, LocalJob, Status, first_snapshot
from dueby.local.steps import Indexed
from dueby.local.this_machine import LocalPool, Slot
from dueby_api.errors import DueByError
from dueby_api.gpu_profile import parse_profile
from dueby_api.grid import Grid
from dueby_api.inference_job import InferenceJob
from dueby_api.input_cost import FREE
from dueby_api.parts import Parts, parts_of_runs
from dueby_api.step_messages import WorkerProgress
from dueby_planner.schedule.job import Assignment, WorkerModel
from support.planner import job as job_of
from support.run import profile_document

SECOND = 1_000_000
NOW = 1_795_572_005 * SECOND
# 8 images a step of 100 ms, two seconds after its start.
LATENCY_US, STARTUP_US = 100_000, 2 * SECOND


@dataclass(kw_only=True)
class Clock:
    """A clock that the loop's sleep moves, and how long things take by it."""

    now_us: int = NOW
    leaving_us: int = 3 * SECOND
    """How long a worker takes to go after it was told to."""

    def sleep(self, seconds: float) -> None:
        self.now_us += round(seconds * SECOND)


class SleepingProcesses(Processes):
    """Processes that sleep. What they have done by the clock, they say when they are observed."""

    def __init__(self, job: InferenceJob, slots: Sequence[Slot], *, clock: Clock, folder: Path, images: int) -> None:
        super().__init__(
            job,
            slots,
            folder=folder,
            cache_folder=folder,
            images=images,
            fingerprint=None,
            retry_failed=False,
            environment_of=lambda *_: {},
            on_machine=None,
        )
        self.clock = clock
        self.done = 0.0
        self.is_idle = False
        self.seen_us = clock.now_us
        self.fault: DueByError | None = None
        self.told_us: dict[str, int] = {}

    def _start(self, assignment: Assignment, *, part_size: int, shares: list[list[int]], rank: int) -> Process:
        return Process(
            assignment=assignment,
            slot=self.free_slot(assignment.device_class),
            # Deaf to SIGTERM, as a worker is that finishes its part.
            process=subprocess.Popen(["sh", "-c", "trap '' TERM; exec sleep 3600"]),
            created_us=self.clock.now_us,
            folder=self.folder,
            part_size=part_size,
        )

    def observe(self) -> tuple[WorkerModel, ...]:
        for process in self.started:
            self._leave(process)
            if process.has_slot and process.process.poll() is not None:
                process.ended_us = self.clock.now_us
                process.state = process.state if process.is_gone else "lost"
            elif not process.is_gone and not self.is_idle:
                self._work(process)
        self.seen_us = self.clock.now_us
        return tuple(process.model() for process in self.started)

    def _leave(self, process: Process) -> None:
        """Let a worker that was told to go be gone in its time."""
        if process.is_gone and process.has_slot:
            told_us = self.told_us.setdefault(process.assignment.worker, self.clock.now_us)
            if self.clock.now_us >= told_us + self.clock.leaving_us:
                process.process.kill()
                process.process.wait()

    def raise_fault(self) -> None:
        if self.fault:
            raise self.fault

    def parts_there(self, images: int, part_size: int) -> Parts:
        grid = Grid(images=images, part_size=part_size)
        whole = grid.parts if self.done >= images else int(self.done) // part_size
        return parts_of_runs([(0, whole)] if whole else [])

    def _work(self, process: Process) -> None:
        warm_us = process.created_us + STARTUP_US
        worked_us = max(0, self.clock.now_us - max(self.seen_us, warm_us))
        self.done = min(self.images, self.done + worked_us / LATENCY_US * 8)
        before = process.progress.images_done
        done = before + round(worked_us / LATENCY_US * 8)
        process.state = "running" if done else "starting"
        process.read_us = self.clock.now_us
        process.progress = WorkerProgress(
            worker=process.assignment.worker,
            state="running",
            batches=done // 8,
            images_done=done,
            parts_committed=done // process.part_size,
            step_us=LATENCY_US if done else None,
            seconds_since_batch=0.0 if done else None,
        )


@dataclass(kw_only=True)
class LocalMachine:
    """A machine with so many slices of one core, and the jobs of one command."""

    folder: Path
    slices: int = 2
    clock: Clock = field(default_factory=Clock)
    ends: dict[str, JobEnd] = field(default_factory=dict)
    shown: list[Sequence[Status]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    coming: list[tuple[int, LocalJob]] = field(default_factory=list)
    edits: dict[str, list[tuple[int, InferenceJob]]] = field(default_factory=dict)
    on_machine: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        profile = profile_document(latency_us=LATENCY_US, startup_us=STARTUP_US - LATENCY_US, slices=self.slices)
        profile["spec"]["model"] = {"name": "efficientnet_b0", "imageSize": 224, "precision": "fp32"}
        slots = tuple(Slot(name=f"cpu-1/{place}", device_class="cpu-1", threads=1) for place in range(self.slices))
        self.pool = LocalPool(profiles=(parse_profile(profile),), counts={"cpu-1": self.slices}, slots=slots)

    def add(self, name: str, *, images: int, comes_after_s: int = 0, **spec: Any) -> LocalJob:
        """A job that is indexed after so many seconds."""
        job = named(name, **spec)
        processes = SleepingProcesses(job, self.pool.slots, clock=self.clock, folder=self.folder, images=images)
        processes.on_machine = self.on_machine
        indexed = Indexed(images=images, fingerprint=None, part_size=None, cost=FREE)
        record = Record(start_us=NOW, deadline_us=job.spec.deadline_us(accepted_us=NOW), images=images, cost=FREE)
        seams = JobSeams(
            parts_there=processes.parts_there,
            keep=lambda *_: None,
            edited_job=lambda: self._edited(name),
            say=lambda sentence: self.said.append(f"{name}: {sentence}"),
            show_plan=lambda _: None,
        )
        snapshot = first_snapshot(job, indexed, parts_there=parts_of_runs([]), accepted_us=NOW)
        running = LocalJob(snapshot, self.pool, processes=processes, record=record, seams=seams)
        self.coming.append((NOW + comes_after_s * SECOND, running))
        return running

    def edit(self, name: str, *, after_s: int, **spec: Any) -> None:
        """Edit a job's manifest after so many seconds."""
        self.edits.setdefault(name, []).append((NOW + after_s * SECOND, named(name, **spec)))

    def run(self, *, each_time: Callable[[], None] = lambda: None) -> None:
        """Run the loop until all jobs are over."""

        def show(statuses: Sequence[Status]) -> None:
            self.shown.append(statuses)
            assert len({p.slot.name for p in self._alive()}) == len(self._alive()), "two workers have one slot"
            each_time()

        seams = Seams(
            arrived=self._arrived,
            ended=lambda job, end: self.ends.update({job.name: replace(end)}),
            show=show,
            now_us=lambda: self.clock.now_us,
            sleep_s=self.clock.sleep,
        )
        Loop(self.pool, seams).run()

    def ended_s(self, name: str) -> float:
        """When the job ended, in seconds after the beginning."""
        return (self.ends[name].now_us - NOW) / SECOND

    def is_after(self, seconds: float) -> bool:
        """Whether so many seconds are over."""
        return self.clock.now_us - NOW > seconds * SECOND

    def _alive(self) -> list[Process]:
        return [process for process in self.on_machine if process.has_slot]

    def _arrived(self, may_wait: bool) -> Sequence[LocalJob] | None:
        if not self.coming:
            return None
        found = [job for at_us, job in self.coming if at_us <= self.clock.now_us]
        self.coming = [(at_us, job) for at_us, job in self.coming if at_us > self.clock.now_us]
        if may_wait and not found:
            self.clock.sleep(1)
        return found

    def _edited(self, name: str) -> InferenceJob | None:
        due = [job for at_us, job in self.edits.get(name, ()) if at_us <= self.clock.now_us]
        self.edits[name] = [(at_us, job) for at_us, job in self.edits.get(name, ()) if at_us > self.clock.now_us]
        return due[-1] if due else None


def named(name: str, **spec: Any) -> InferenceJob:
    job = job_of(**spec)
    return job.replace(metadata=job.metadata.replace(name=name))

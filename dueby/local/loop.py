"""The control loop without a cluster: gather -> decide -> apply, twice a second, until every part is there.

What it needs of the world is handed in as `Seams` (the sink, the manifest, the screen, the clock), so that the loop is
the same under test, and this package imports nothing of the worker's.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from dueby.local.processes import Processes
from dueby.local.record import Record
from dueby_api.inference_job import InferenceJob
from dueby_api.schema import Spec
from dueby_api.units import MICROS_PER_SECOND
from dueby_operator.control.model import GONE, Decision, Finish, JobView, Refuse, Start, Stop
from dueby_operator.control.workers import decide, images_left
from dueby_planner.deadline_classes import Verdict

TICK_S = 0.5
# The documents of a run are rewritten so often, for whoever looks at a run that was killed.
KEEP_EVERY_US = 10 * MICROS_PER_SECOND
# So many workers lost in a row, with no part committed in between, are no accident.
MAX_LOSSES = 6

Ended = Literal["Complete", "Stopped", "Refused"]


@dataclass(frozen=True, kw_only=True)
class Status:
    """What people see of a running job."""

    view: JobView
    decision: Decision
    processes: Processes
    done: int
    """Images classified, in parts of the sink or in open ones."""
    failed: int
    """Of this run's."""
    images_per_second: float


@dataclass(frozen=True, kw_only=True)
class Seams:
    """What the loop needs of the world."""

    parts_there: Callable[[int, int], frozenset[int]]
    """Parts in the sink, of a grid of N images in parts of so many."""
    keep: Callable[[str, bytes], None]
    """Write a document into the run's folder of the sink."""
    edited_job: Callable[[], InferenceJob | None]
    """The job as it was edited since the last call; None while it wasn't."""
    show: Callable[[Status], None]
    say: Callable[[str], None]
    """A sentence for people."""
    show_plan: Callable[[Verdict], None]
    now_us: Callable[[], int]
    sleep_s: Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the loop ended."""

    ended: Ended
    view: JobView
    verdict: Verdict | None
    """Of the plan that was started first, or that was refused."""


class Loop:
    """One job's control loop; its only state is the last view and the record."""

    def __init__(self, view: JobView, *, processes: Processes, record: Record, seams: Seams) -> None:
        self.view = view
        self.processes = processes
        self.record = record
        self.seams = seams
        self.verdict: Verdict | None = None
        self.kept_us = 0
        self.commits = -1
        self.losses_since_commit = 0
        self.gave_up_on_worker = False

    def run(self) -> Outcome:
        """Until the job is over. The workers are gone when it returns or raises."""
        try:
            while True:
                self.gather()
                decision = decide(self.view)
                ended = self.apply(decision)
                self.show(decision)
                if ended:
                    return Outcome(ended=ended, view=self.view, verdict=self.verdict)
                self.seams.sleep_s(TICK_S)
        finally:
            self.processes.stop_all()
            self.keep()

    def gather(self) -> None:
        """Look at the workers, the sink and the manifest."""
        before = {w.assignment.worker for w in self.view.workers if w.state == "lost"}
        workers = self.processes.observe()
        self.processes.raise_fault()
        lost = {w.assignment.worker for w in workers if w.state == "lost"} - before
        self.view = replace(
            self.view,
            now_us=self.seams.now_us(),
            workers=workers,
            news="WorkerLost" if lost or self.gave_up_on_worker else None,
            parts_there=self._parts_there(len(lost)),
        )
        self.gave_up_on_worker = False
        for name in sorted(lost):
            self.seams.say(f"worker {name} was lost")
        self._take_edit()

    def apply(self, decision: Decision) -> Ended | None:
        """Carry the decision out; how the job ended, if it did."""
        self.view = replace(self.view, memory=decision.memory)
        for action in decision.actions:
            if isinstance(action, Finish):
                return "Complete" if action.complete else "Stopped"
            if isinstance(action, Refuse):
                self.verdict = action.verdict
                return "Refused"
            if isinstance(action, Start):
                self._start(action)
            elif isinstance(action, Stop):
                self._stop(action)
        return None

    def show(self, decision: Decision) -> None:
        """Tell the screen and the record."""
        now_us, done = self.view.now_us, self.view.images - images_left(self.view)
        started = self.processes.started
        failed = sum(process.progress.images_failed for process in started)
        rate = sum(p.progress.images_per_second or 0.0 for p in started if p.state not in GONE)
        self.record.sample(started, now_us=now_us, done=done, failed=failed)
        if now_us - self.kept_us >= KEEP_EVERY_US:
            self.keep()
        self.seams.show(
            Status(
                view=self.view,
                decision=decision,
                processes=self.processes,
                done=done,
                failed=failed,
                images_per_second=rate,
            )
        )

    def keep(self) -> None:
        """Write what is known of the run into its folder."""
        self.kept_us = self.view.now_us
        self.seams.keep("plan.json", _json(self.record.plan_file()))
        self.seams.keep("progress.json", _json(self.record.progress_file(self.processes.started)))

    def _start(self, start: Start) -> None:
        before = sum(worker.state not in GONE for worker in self.view.workers)
        if start.verdict:
            self.verdict = start.verdict
            if start.verdict.plan:
                promised_us = self.view.now_us + start.verdict.plan.expected_finish_us
                self.view = replace(self.view, promised_us=promised_us)
            self.seams.show_plan(start.verdict)
        self.view = replace(self.view, part_size=start.part_size, revision=self.view.revision + 1)
        self.record.started(start, now_us=self.view.now_us, before=before)
        if start.reason not in ("Started", "Resumed"):
            self.seams.say(self.record.replans[-1].message or "")
        self.processes.start(start.assignments, part_size=start.part_size)

    def _stop(self, stop: Stop) -> None:
        before = sum(worker.state not in GONE for worker in self.view.workers)
        after = before - len(stop.workers)
        self.record.replanned(stop.reason, now_us=self.view.now_us, before=before, after=after)
        self.seams.say(self.record.replans[-1].message or "")
        self.gave_up_on_worker = stop.reason == "WorkerLost"
        self.processes.stop(stop.workers)

    def _parts_there(self, lost: int) -> frozenset[int]:
        """List the sink when a worker says that it has committed, or has ended; a listing of S3 isn't free."""
        if not self.view.part_size:
            return self.view.parts_there
        started = self.processes.started
        commits = sum(p.progress.parts_committed + (p.state in GONE) for p in started)
        if commits == self.commits:
            return self.view.parts_there
        self.commits = commits
        there = self.seams.parts_there(self.view.images, self.view.part_size)
        grew = len(there) > len(self.view.parts_there)
        self.losses_since_commit = 0 if grew else self.losses_since_commit + lost
        if self.losses_since_commit >= MAX_LOSSES:
            raise self.processes.fault_of_losses()
        return there

    def _take_edit(self) -> None:
        job = self.seams.edited_job()
        if job is None:
            return
        accepted_us = self.record.start_us
        self.view = replace(
            self.view,
            spec=job.spec,
            deadline_us=job.spec.deadline_us(accepted_us=accepted_us),
            promised_us=None,
            news=self.view.news or "Edited",
        )
        self.record.deadline_us = self.view.deadline_us


def _json(document: Spec) -> bytes:
    return json.dumps(document.document(), ensure_ascii=False, separators=(",", ":")).encode()

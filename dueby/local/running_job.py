"""One job in the control loop of this machine: as it was last seen, its processes, and the record of its run.

What it needs of the world is handed in as `JobSeams` (the sink, the manifest, the screen), so that it is the same under
test, and this package imports nothing of the worker's.

To a decision, what the index step found stands where the operator's status has it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from dueby.local.processes import Processes
from dueby.local.record import Record
from dueby.local.steps import Indexed
from dueby.local.this_machine import LocalPool
from dueby.planning import problem_of
from dueby_api.conditions import Reason
from dueby_api.errors import DueByError, Invalid
from dueby_api.inference_job import InferenceJob
from dueby_api.parts import Parts
from dueby_api.schema import Spec
from dueby_api.status import JobStatus
from dueby_api.units import MICROS_PER_SECOND
from dueby_api.words import counted
from dueby_operator.control.conditions import has_reason, is_over
from dueby_operator.control.job_decision import JobDecision
from dueby_operator.control.work.stores import waits_sentence
from dueby_operator.model.actions import StartStep, StartWorkers, StopWorkers
from dueby_operator.model.conditions import NewCondition, merge_conditions
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_planner.deadline_classes import Verdict, judge
from dueby_planner.model.cost import cost_limit_of
from dueby_planner.model.max_cost import require_prices
from dueby_planner.profiles.pool import build_pool
from dueby_planner.schedule.job import ScheduledJob
from dueby_planner.schedule.request import Refuse, Wait, WorkDecision

# None: the profiles of this machine are one's own, and all that they say is believed.
NAMESPACE = ""
# The documents of a run are rewritten so often, for whoever looks at a run that was killed.
KEEP_EVERY_US = 10 * MICROS_PER_SECOND
# As often as people are shown how far the job is.
LIST_EVERY_US = 10 * MICROS_PER_SECOND
# So many careful workers lost in a row, with no part committed in between, are no accident, and no image's doing. Other
# workers don't count: all of them may come to the same image before a careful one has done its part.
MAX_LOSSES = 6

Ended = Literal["Complete", "Stopped", "Refused", "Failed"]


@dataclass(frozen=True, kw_only=True)
class Status:
    """What people see of a job."""

    name: str
    model: ScheduledJob
    work: WorkDecision
    status: JobStatus
    processes: Processes
    failed: int
    """Images of this run that could not be read."""
    images_per_second: float
    waits: str
    """Which store the workers wait for, and what to do about it; empty if for none."""


@dataclass(frozen=True, kw_only=True)
class JobSeams:
    """What a job needs of the world."""

    parts_there: Callable[[int, int], Parts | None]
    """Parts in the sink, of a grid of N images in parts of so many; None if the sink is away just now."""
    keep: Callable[[str, bytes], None]
    """Write a document into the run's folder of the sink, unless the sink is full or away just now."""
    edited_job: Callable[[], InferenceJob | None]
    """The job as it was edited since the last call; None while it wasn't."""
    say: Callable[[str], None]
    """A sentence for people."""
    show_plan: Callable[[Verdict], None]


@dataclass(frozen=True, kw_only=True)
class JobEnd:
    """How a job ended."""

    ended: Ended
    now_us: int
    """When, in microseconds since 1970."""
    model: ScheduledJob | None = None
    """As the last decision saw it; None if the job failed."""
    verdict: Verdict | None = None
    """Of the plan that was started first, or that was refused."""
    sentence: str = ""
    """Why it was refused beside other jobs."""
    error: DueByError | None = None
    """What was wrong, if it failed."""


class LocalJob:
    """One job's part of the loop. Its state is the job as it was last seen, and the record."""

    def __init__(
        self, job: JobSnapshot, pool: LocalPool, *, processes: Processes, record: Record, seams: JobSeams
    ) -> None:
        """Raise Invalid if the job can't be planned on the pool at all."""
        self.job = job
        self.pool = pool
        self.processes = processes
        self.record = record
        self.seams = seams
        self.edited: InferenceJob | None = None
        """The manifest as it was edited last; None if it never was."""
        self.now_us = job.created_us
        self.verdict: Verdict | None = None
        self.kept_us = 0
        self.may_wait = False
        """Whether it is known that the devices of this machine can do it at some time."""
        self.commits = -1
        self.listed_us = 0
        self.losses_since_commit = 0
        self._require_pool(job.manifest)

    @property
    def name(self) -> str:
        return self.job.name

    def look(self, now_us: int) -> None:
        """Look at the workers, the sink and the manifest. Raise DueByError if the job can't go on."""
        before = {worker.name for worker in self.job.workers if worker.state == "lost"}
        workers = self.processes.observe()
        self.processes.raise_fault()
        lost = {worker.name for worker in workers if worker.state == "lost"} - before
        careful = {process.assignment.worker for process in self.processes.started if process.is_careful}
        self.now_us = now_us
        self.job = replace(
            self.job,
            workers=workers,
            progress={process.assignment.worker: process.progress for process in self.processes.started},
            parts_there=self._parts_there(len(lost & careful)),
        )
        for name in sorted(lost):
            self.seams.say(f"worker {name} was lost")
        self._take_edit()

    def follow(self, decision: JobDecision, *, is_alone: bool) -> tuple[Status | None, JobEnd | None]:
        """Carry the decision out; return what there is to show, and how the job ends, if it does.

        Raise DueByError if something is wrong with the job. `is_alone` is whether no other job could make room for it.
        """
        model, work = _decided(decision)
        if isinstance(work.action, Refuse) and (is_alone or is_over(decision.status)):
            refused = work.action
            verdict, sentence = refused.verdict, refused.sentence
            return None, JobEnd(ended="Refused", now_us=self.now_us, model=model, verdict=verdict, sentence=sentence)
        if isinstance(work.action, Wait) and not self.processes.started and (never := self._refuse_for_ever(model)):
            return None, JobEnd(ended="Refused", now_us=self.now_us, model=model, verdict=never)
        self._act(decision)
        self.processes.end_early()
        shown = self._show(model, work, decision.status)
        ended = _end_of(decision)
        if ended is None:
            return shown, None
        # The sink is ahead of what the workers said before it was listed.
        self.processes.observe()
        self.record.close(self.processes.started, now_us=self.now_us)
        return shown, JobEnd(ended=ended, now_us=self.now_us, model=model, verdict=self.verdict)

    def keep(self) -> None:
        """Write what is known of the run into its folder. One that has never begun, as a job was refused, has none."""
        if not self.record.samples:
            return
        self.kept_us = self.now_us
        self.seams.keep("plan.json", _json(self.record.plan_file()))
        self.seams.keep("progress.json", _json(self.record.progress_file(self.processes.started)))

    def _refuse_for_ever(self, model: ScheduledJob) -> Verdict | None:
        """Return the refusal of a job that no time is long enough for on this machine; None if it only waits.

        In a cluster it waits for more devices, which a machine doesn't get.
        """
        if not self.may_wait:
            time_us = model.deadline_us - model.now_us
            problem = problem_of(
                model.spec, self.pool.profiles, self.pool.counts, images=model.images_left, time_us=time_us
            )
            if problem.earliest_us() is None:
                return judge(problem, model.spec.deadline_class)
        self.may_wait = True
        return None

    def _act(self, decision: JobDecision) -> None:
        before = sum(not worker.is_gone for worker in self.job.workers)
        self.job = replace(self.job, status=decision.status, memory=decision.memory)
        for action in decision.actions:
            match action:
                case StartWorkers():
                    self._start(action, before)
                case StopWorkers():
                    self._stop(action, before)

    def _start(self, start: StartWorkers, before: int) -> None:
        if start.verdict:
            self.verdict = start.verdict
            self.seams.show_plan(start.verdict)
        self.record.started(start, now_us=self.now_us, before=before, by_windows=self.job.status.plan)
        if start.reason not in ("Started", "Resumed"):
            self.seams.say(self.record.replans[-1].message or "")
        self.processes.start(start.assignments, part_size=start.part_size)

    def _stop(self, stop: StopWorkers, before: int) -> None:
        after = before - len(stop.workers)
        self.record.replanned(stop.reason, now_us=self.now_us, before=before, after=after)
        self.seams.say(self.record.replans[-1].message or "")
        if stop.reason == "WorkerLost":
            self.processes.stop(stop.workers, are_lost=True)
        else:
            self.processes.dismiss(stop.workers)

    def _show(self, model: ScheduledJob, work: WorkDecision, status: JobStatus) -> Status:
        """Tell the record; return what the screen shows."""
        started = self.processes.started
        failed = sum(process.progress.images_failed for process in started)
        rate = sum(process.progress.images_per_second or 0.0 for process in started if not process.is_gone)
        if started or model.is_complete:
            self.record.sample(started, now_us=self.now_us, done=model.images_done, failed=failed)
        if self.now_us - self.kept_us >= KEEP_EVERY_US:
            self.keep()
        return Status(
            name=self.name,
            model=model,
            work=work,
            status=status,
            processes=self.processes,
            failed=failed,
            images_per_second=rate,
            waits=waits_sentence(status),
        )

    def _parts_there(self, lost: int) -> Parts:
        """List the sink when a worker says that it has committed, or has ended; a listing of S3 isn't free.

        Another run may put parts into it, too, so it is listed now and then in any case.
        """
        plan, images = self.job.status.plan, self.job.status.images
        if plan is None or images is None or not self.processes.started:
            return self.job.parts_there
        started = self.processes.started
        commits = sum(process.progress.parts_committed + (not process.has_slot) for process in started)
        self.losses_since_commit += lost
        if commits == self.commits and self.now_us - self.listed_us < LIST_EVERY_US:
            return self.job.parts_there
        self.listed_us = self.now_us
        parts = self.seams.parts_there(images, plan.part_size)
        if parts is not None:
            self.commits = commits
            if len(parts) > len(self.job.parts_there):
                self.losses_since_commit = 0
        if self.losses_since_commit >= MAX_LOSSES:
            raise self.processes.fault_of_losses()
        return self.job.parts_there if parts is None else parts

    def _take_edit(self) -> None:
        edited = self.seams.edited_job()
        if edited is None:
            return
        job = as_decided(edited)
        try:
            self._require_pool(job)
        except Invalid as error:
            self.seams.say(f"the edit is not taken: {error}")
            return
        self.edited = self.processes.job = edited
        self.may_wait = False
        self.job = replace(self.job, manifest=job, generation=self.job.generation + 1)
        self.record.deadline_us = job.spec.deadline_us(accepted_us=self.record.start_us)

    def _require_pool(self, manifest: InferenceJob | Invalid) -> None:
        """Raise Invalid if this machine has nothing that the job may use."""
        if isinstance(manifest, Invalid):
            raise manifest
        pool = build_pool(manifest.spec, self.pool.profiles, self.pool.counts, cores=self.pool.cores)
        classes = [group.device_class for group in pool.groups if group.count]
        require_prices(cost_limit_of(manifest.spec), manifest.spec.objective, self.pool.tariff, classes)


def _decided(decision: JobDecision) -> tuple[ScheduledJob, WorkDecision]:
    """Return what the workers were decided on and what was decided; raise if it did not come to that."""
    if decision.fault:  # here a bug stops the process, as bugs do
        raise decision.fault.error
    if decision.scheduled is None or decision.work is None:
        raise DueByError(decision.status.message or "the job can't be planned")
    return decision.scheduled, decision.work


def _end_of(decision: JobDecision) -> Ended | None:
    """Return how the job ends with this decision; None if it goes on. Raise if something is wrong with the job."""
    if StartStep(step="finish") in decision.actions:
        return "Complete"
    if has_reason(decision.status, Reason.STOPPED):
        return "Stopped"
    if is_over(decision.status):
        raise DueByError(decision.status.message or "the job has failed")
    return None


def _json(document: Spec) -> bytes:
    return json.dumps(document.document(), ensure_ascii=False, separators=(",", ":")).encode()


def first_snapshot(job: InferenceJob, indexed: Indexed, *, parts_there: Parts, accepted_us: int) -> JobSnapshot:
    """Return an indexed job before its first plan. `parts_there` are those of a sink that was begun before."""
    conditions = [NewCondition(reason=Reason.INDEXED, message=f"{counted(indexed.images, 'image')}.")]
    return JobSnapshot(
        namespace=NAMESPACE,
        name=job.metadata.name,
        uid=job.metadata.name,
        created_us=accepted_us,
        manifest=as_decided(job),
        status=JobStatus(
            images=indexed.images,
            fingerprint=indexed.fingerprint,
            input_cost=indexed.cost,
            agreement=indexed.agreement,
            part_size=indexed.part_size,
            conditions=merge_conditions((), conditions, generation=1, now_us=accepted_us),
        ),
        parts_there=parts_there,
    )


def as_decided(job: InferenceJob) -> InferenceJob:
    """Return the job without what only a cluster has: a queue to wait in, and somebody who would resume it."""
    return job.replace(spec=job.spec.replace(queue_name="", suspend=False))

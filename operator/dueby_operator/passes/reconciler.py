"""The control loop of the cluster: gather -> decide -> apply -> write each status once, if it changed -> Events.

All jobs are decided on together, each against what the jobs before it have left; then what was decided is carried out
for many of them at once. A job whose write isn't answered is left alone until it is, and the others go on. The loop
keeps nothing that it could not find again: decisions lie in each job's status, its Jobs and their ConfigMaps, so that
an operator that was killed anywhere goes on where it stopped. What it does remember between two passes are readings of
lag, and when a status was written.

Of many calls to the API server at once, one that isn't answered holds up nobody else. A request whose answer is lost
takes until its time limit, and a pass that waited for it would leave all jobs alone for so long. So it is left under
way once no other call has come back for PATIENCE_S, and the pass ends without it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from dueby_api.conditions import Reason
from dueby_api.errors import DueByError, Invalid, Transient
from dueby_api.inference_job import InferenceJob
from dueby_operator import paths
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.control.budgets import use_by_now
from dueby_operator.control.clear import is_leaving
from dueby_operator.control.conditions import is_over
from dueby_operator.control.decide import Decisions, decide
from dueby_operator.control.events import events_between
from dueby_operator.control.faults import is_resting
from dueby_operator.control.job_decision import JobDecision, refuse, suffer
from dueby_operator.control.render import render
from dueby_operator.control.snapshot import ClusterSnapshot, SeenUse
from dueby_operator.control.trial import needs_trial
from dueby_operator.gathering.gather import Gatherer
from dueby_operator.jobs.manifests import Owner
from dueby_operator.kube.apply import NameTaken, NotYetGone, carry_out, reason_of, try_pod
from dueby_operator.kube.client import Conflict, Kube, Missing, Refused, WebhookAway
from dueby_operator.kube.served_apis import ServedAPIs
from dueby_operator.model.actions import MAKING, StartWorkers
from dueby_operator.model.devices import Devices
from dueby_operator.model.job_snapshot import Fault, JobMemory, JobSnapshot, Stage
from dueby_operator.model.writes import Delete, Put, Write
from dueby_operator.passes.decision_log import EVERYBODY, DecisionLog, FaultLog
from dueby_operator.passes.event_poster import EventPoster
from dueby_operator.passes.pace import PassTime
from dueby_operator.passes.status_writer import JobStatusWriter, StoredStatus, least_status

Answer = TypeVar("Answer")
Call = Callable[[], Coroutine[Any, Any, Answer]]
# Calls that are begun at once.
AT_ONCE = 16
# An API server that is there answers within milliseconds, and an admission webhook within a second.
PATIENCE_S = 1.0
# Between two passes: while there is a job to watch, and otherwise.
BUSY_S, IDLE_S = 2.0, 30.0
log = logging.getLogger(__name__)


class UnderWay:
    """Makes calls, and keeps those that nobody waits for any more until they are over."""

    def __init__(self, *, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._tasks: set[asyncio.Task[Any]] = set()
        """Kept here, since asyncio itself keeps no task alive."""

    async def make(self, calls: Iterable[Call[Answer]]) -> list[Answer]:
        """Make the calls, AT_ONCE of them at a time; return what those return that aren't late.

        Late calls go on. Those that had no turn because of them aren't made. Raise what a call raises.
        """
        turns, begun = asyncio.Semaphore(AT_ONCE), set[asyncio.Task[Any] | None]()

        async def take_turn(call: Call[Answer]) -> Answer:
            async with turns:
                begun.add(asyncio.current_task())
                return await call()

        tasks = [self._keep(asyncio.create_task(take_turn(call))) for call in calls]
        pending = set(tasks)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, timeout=self._patience_s)
                if not done:
                    break
        except BaseException:
            _cancel(pending)
            raise
        _cancel(pending - begun)
        return [task.result() for task in tasks if task not in pending]

    def _keep(self, task: asyncio.Task[Answer]) -> asyncio.Task[Answer]:
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # asyncio logs those that nobody asks for, such as that a term is over


def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()


class Reconciler:
    """The loop, one pass at a time."""

    def __init__(
        self,
        kube: Kube,
        gatherer: Gatherer,
        *,
        now_us: Callable[[], int],
        faults: FaultLog | None = None,
        served: ServedAPIs | None = None,
        pass_time: PassTime | None = None,
    ) -> None:
        self._kube = kube
        self._time = pass_time or PassTime()
        self._served = served or ServedAPIs(kube)
        self._gatherer = gatherer
        self._now_us = now_us
        self._memories: dict[str, JobMemory] = {}
        """By the job's uid."""
        self._statuses, self._events, self._log = JobStatusWriter(kube), EventPoster(kube), DecisionLog()
        self._calls = UnderWay()
        self._applying: dict[str, JobDecision] = {}
        """What was decided about jobs and is still being written, by their uid."""
        self._news: list[JobDecision] = []
        """Decisions that were carried out, and whose Events are still to be posted."""
        self._deleted: set[str] = set()
        """The uids of jobs that were deleted, and that may be listed as over for a minute yet."""
        self.snapshot: ClusterSnapshot
        """Of the last pass, with the statuses that it has decided on."""
        self._seen: Mapping[str, SeenUse] = {}
        """What jobs had used of budgets by the last pass, by uid, those among them that have been deleted."""
        self.left: Devices
        """What the last pass has left."""
        self.unused: Mapping[str, int] = {}
        """By device class, devices that the last pass left idle although jobs wait that could use them."""
        self._faults = faults or FaultLog()
        self._away: dict[str, str] = {}
        """By namespace, what this pass has heard of a webhook without which nothing can be made there."""

    async def reconcile(self) -> float:
        """Gather, decide and apply once; return the seconds until the next pass is due.

        Raise OlderDefinition if what is decided couldn't be kept.
        """
        await self._served.require_current()
        applying = dict(self._applying)
        gathered = await self._gatherer.gather(self._memories, now_us=self._now_us())
        self.snapshot = snapshot = replace(_with_under_way(gathered, applying), seen=self._seen)
        self._seen = use_by_now(snapshot)
        self._time.begin_deciding()
        decisions = await asyncio.to_thread(decide, snapshot, has_time=self._time.has_time)
        self._time.note_progress()
        self.left, self.unused = decisions.left.devices, decisions.left.unused
        self._forget_all_but(snapshot.jobs)
        for fault in decisions.faults:
            self._faults.record(fault, about="")
        for fault in decisions.left.faults:
            self._faults.record(fault, about=EVERYBODY)
        await self._write_profiles(decisions)
        await self._write_all(decisions.clearing, "clearing")
        decided = await self._apply_jobs(decisions)
        statuses = {decision.job.uid: decision.status for decision in decided}
        jobs = tuple(replace(job, status=statuses.get(job.uid, job.status)) for job in snapshot.jobs)
        self.snapshot = replace(snapshot, jobs=jobs)
        await self._write_all(decisions.upkeep, "profiling")
        # What can't be read now may be read in a moment.
        waits = any(job.unreadable or is_leaving(job, now_us=snapshot.now_us) for job in snapshot.jobs)
        pause_s = BUSY_S if decisions.jobs or applying or waits else IDLE_S
        return min(pause_s, self._gatherer.seconds_to_profiling(snapshot.now_us) or pause_s)

    def _forget_all_but(self, jobs: Sequence[JobSnapshot]) -> None:
        uids = {job.uid for job in jobs}
        self._memories = {uid: memory for uid, memory in self._memories.items() if uid in uids}
        for memory in (self._statuses, self._events, self._log):
            memory.forget_all_but(uids)
        self._deleted &= uids

    async def _write_profiles(self, decisions: Decisions) -> None:
        """Write the classes' profiles as nodes and jobs have made them by now."""
        puts = [Put(kind=paths.profiles_path(), document=profile.document()) for profile in decisions.new_profiles]
        uids = {profile.name: profile.metadata.uid or "" for profile in self.snapshot.profiles}
        deletes = [Delete(path=paths.profiles_path(name), uid=uids[name]) for name in decisions.gone_profiles]
        await self._write_all([*puts, *deletes], "profiling")

    async def _apply_jobs(self, decisions: Decisions) -> list[JobDecision]:
        """Carry the decisions out; return them as the API server's refusals have changed them, but for late ones."""
        self._away = self._away if self._applying else {}  # whoever is late may wait for it still
        devices = decisions.left.devices
        if not isinstance(devices, ClusterDevices):
            raise TypeError("the cluster's devices became something else in the decision")
        # What starts or ends workers goes first, what only tells of them after it.
        ordered = sorted(decisions.jobs, key=lambda decision: not decision.actions)
        decided = await self._calls.make(partial(self._apply, decision, devices) for decision in ordered)
        news, self._news = self._news, []
        for decision in news:
            self._log.tell(decision.job, decision.actions, decision.events)
        now_us = self.snapshot.now_us
        due = [event for decision in news for event in self._events.take(decision.job, decision.events, now_us=now_us)]
        await self._calls.make(partial(self._events.post, event) for event in due)
        return decided

    async def _apply(self, decision: JobDecision, devices: ClusterDevices) -> JobDecision:
        """Do what was decided about a job; return it as it is after that, with the Events of what was written."""
        job, now_us = decision.job, self.snapshot.now_us
        self._applying[job.uid] = decision
        try:
            decision, stored = await self._carry_out_and_tell(decision, devices)
        except Exception as error:  # whatever it is, it is this job's alone
            if not decision.fault:
                decision = suffer(decision, Fault(stage="applying", error=error), now_us=now_us)
            stored = await self._tell_of_fault(decision)
        finally:
            del self._applying[job.uid]
        self._time.note_progress()
        if decision.fault:
            self._faults.record(decision.fault, about=f"{job.namespace}/{job.name}")
        decision = replace(decision, events=events_between(job.status, stored.status))
        self._memories[job.uid] = memory_after(decision, now_us=now_us)
        self._news.append(decision)
        return decision

    async def _carry_out_and_tell(
        self, decision: JobDecision, devices: ClusterDevices
    ) -> tuple[JobDecision, StoredStatus]:
        """Return the decision as far as it was carried out, and what is stored then."""
        job, is_begun = decision.job, False
        stored = StoredStatus(status=job.status, version=job.resource_version)
        try:
            decision = await self._try(decision, devices)
            if decision.is_told_first:
                stored = await self._write_status(decision, stored)
            is_begun = bool(decision.actions)
            decision = await self._carry_out(decision, devices)
            stored = await self._write_status(decision, stored)
        except (Conflict, Missing, Transient) as error:
            # Somebody was quicker, or the server slow: the next pass shows it. What has begun is not begun again at
            # once, so that a Job that can't be created is no row of lost workers.
            _log_failure(job, error)
            memory = decision.memory if is_begun or decision.fault else job.memory
            actions = decision.actions if is_begun else ()
            return replace(decision, status=stored.status, memory=memory, actions=actions), stored
        return decision, stored

    async def _tell_of_fault(self, decision: JobDecision) -> StoredStatus:
        """Write the status that names the fault; where the API server refuses that, too, the least one that does."""
        job = decision.job
        read = StoredStatus(status=job.status, version=job.resource_version)
        for status in (decision.status, least_status(decision.status)):
            try:
                return await self._write_status(replace(decision, status=status), read)
            except (Conflict, Missing, Transient) as error:
                _log_failure(job, error)
                return read
            except Refused as error:
                log.warning("%s/%s: the API server refuses the status: %s", job.namespace, job.name, error)
            except Exception as error:  # a fault while one is reported is as much this job's alone
                self._faults.record(Fault(stage="applying", error=error), about=f"{job.namespace}/{job.name}")
        return read

    async def _try(self, decision: JobDecision, devices: ClusterDevices) -> JobDecision:
        """Return the decision; of a job whose pods the API server would not take, its refusal and nothing else."""
        job, manifest, now_us = decision.job, decision.manifest, self.snapshot.now_us
        if not isinstance(manifest, InferenceJob) or decision.fault or is_over(decision.status):
            return decision
        if not needs_trial(job, now_us=now_us):
            return decision
        try:
            self._require_webhooks(job.namespace)
            await try_pod(self._kube, Owner(job=manifest, namespace=job.namespace, uid=job.uid), devices)
        except (WebhookAway, Refused, Invalid) as error:
            self._note_webhook(error, job.namespace)
            reason = Reason.INVALID_JOB if isinstance(error, Invalid) else reason_of(error)
            before = decision.status.replace(plan=job.status.plan, conditions=job.status.conditions)
            undone = replace(decision, actions=(), status=before)
            return refuse(undone, reason, str(error), now_us=now_us)
        return decision

    async def _carry_out(self, decision: JobDecision, devices: ClusterDevices) -> JobDecision:
        """Carry the actions out; return the decision as the API server's refusal changes it, if there is one."""
        if not isinstance(decision.manifest, InferenceJob):
            return decision
        now_us, namespace = self.snapshot.now_us, decision.job.namespace
        try:
            if any(isinstance(action, MAKING) for action in decision.actions):
                self._require_webhooks(namespace)
            writes = render(decision.actions, decision.job, decision.manifest, devices)
            await carry_out(self._kube, writes, served=self._served)
        except (NameTaken, NotYetGone, WebhookAway, Refused, Invalid) as error:
            self._note_webhook(error, namespace)
            return refuse(decision, reason_of(error), str(error), now_us=now_us)
        return decision

    def _require_webhooks(self, namespace: str) -> None:
        """Raise WebhookAway if this pass has heard of one that is.

        One that hangs takes ten seconds and more for each job, and the pass waits for all of them.
        """
        if away := self._away.get(namespace):
            raise WebhookAway(away)

    def _note_webhook(self, error: DueByError, namespace: str) -> None:
        if isinstance(error, WebhookAway):
            self._away[namespace] = str(error)

    async def _write_status(self, decision: JobDecision, stored: StoredStatus) -> StoredStatus:
        return await self._statuses.write(decision, stored, now_us=self.snapshot.now_us)

    async def _write(self, write: Write, stage: Stage) -> None:
        """Carry out a write that no job waits for."""
        if isinstance(write, Delete) and write.uid in self._deleted:
            return
        self._time.note_progress()  # earlier ones have been answered
        try:
            await carry_out(self._kube, [write], served=self._served)
            if isinstance(write, Delete) and stage == "clearing":
                self._deleted.add(write.uid)
        except (NameTaken, Refused) as error:
            log.warning("%s: a write is refused: %s", stage, error)
        except DueByError as error:  # the next pass shows it
            if not isinstance(error, Missing):  # somebody has deleted it meanwhile
                log.info("%s: a write failed: %s", stage, error)
        except Exception as error:  # whatever it is, jobs don't wait for it
            self._faults.record(Fault(stage=stage, error=error), about="")

    async def _write_all(self, writes: Iterable[Write], stage: Stage) -> None:
        await self._calls.make(partial(self._write, write, stage) for write in writes)


def _log_failure(job: JobSnapshot, error: DueByError) -> None:
    """Log what kept a decision from being carried out, but not that the job was deleted meanwhile."""
    if not isinstance(error, Missing):
        log.info("%s/%s: %s", job.namespace, job.name, error)


def memory_after(decision: JobDecision, *, now_us: int) -> JobMemory:
    """Return what is remembered of a job once the decision is carried out: one that went well ends a row of faults."""
    memory = decision.memory
    if decision.fault or memory.left_out or is_resting(memory, now_us=now_us):
        return decision.memory
    return replace(decision.memory, faults=0, retry_us=0)


def _with_under_way(snapshot: ClusterSnapshot, applying: Mapping[str, JobDecision]) -> ClusterSnapshot:
    """Return the snapshot with what was decided before about jobs of which that is still being written."""
    jobs = (_under_way(job, applying[job.uid]) if job.uid in applying else job for job in snapshot.jobs)
    devices = snapshot.devices
    for job in (job for job in snapshot.jobs if job.uid in applying):
        devices = _without_workers_to_come(devices, job, applying[job.uid])
    return replace(snapshot, jobs=tuple(jobs), devices=devices) if applying else snapshot


def _without_workers_to_come(devices: Devices, job: JobSnapshot, decision: JobDecision) -> Devices:
    """Return the devices without those of workers that are being started, and whose Jobs aren't listed yet."""
    listed = {worker_job.revision for worker_job in job.worker_jobs}
    starts = (action for action in decision.actions if isinstance(action, StartWorkers))
    to_come = [assignment for start in starts if start.revision not in listed for assignment in start.assignments]
    if isinstance(decision.manifest, InferenceJob):
        for device_class, count in Counter(assignment.device_class for assignment in to_come).items():
            devices = devices.without(job.namespace, decision.manifest.spec, device_class=device_class, count=count)
    return devices


def _under_way(job: JobSnapshot, decision: JobDecision) -> JobSnapshot:
    # That it is over counts once it is stored: then its Jobs are deleted.
    status = job.status if is_over(decision.status) else decision.status
    return replace(job, is_under_way=True, status=status)

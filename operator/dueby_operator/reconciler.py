"""The control loop of the cluster: gather -> decide -> apply -> write each status once, if it changed -> Events.

All jobs are decided on together, each against what the jobs before it have left; then what was decided is carried out
for many of them at once. The loop keeps nothing that it could not find again: decisions lie in each job's status,
its Jobs and their ConfigMaps, so that an operator that was killed anywhere goes on where it stopped. What it does
remember between two passes are readings of lag, and when a status was written.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dueby_api.conditions import ConditionType
from dueby_api.errors import DueByError, Invalid, Transient
from dueby_api.inference_job import API_VERSION, InferenceJob
from dueby_api.status import JobStatus
from dueby_api.units import format_time
from dueby_operator import paths
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.control.decide import Decisions, decide
from dueby_operator.control.events import NewEvent, events_between
from dueby_operator.control.faults import is_resting
from dueby_operator.control.job_decision import JobDecision, refuse, suffer
from dueby_operator.control.render import render
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.fault_log import EVERYBODY, FaultLog
from dueby_operator.jobs import names
from dueby_operator.kube.apply import NameTaken, NotYetGone, carry_out, reason_of
from dueby_operator.kube.client import Conflict, Kube, Missing, Refused, WebhookAway
from dueby_operator.kube.gather import Gatherer
from dueby_operator.model.actions import MAKING
from dueby_operator.model.devices import Devices
from dueby_operator.model.fault import Fault, Stage
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.memory import JobMemory
from dueby_operator.model.writes import Delete, Put, Write

# Between two passes: while there is a job to attend to, and otherwise.
BUSY_S, IDLE_S = 2.0, 30.0
# Jobs, and other objects, that are written at once.
AT_ONCE = 16
# Progress, and what messages say of it, changes in every pass. If nothing else has, it is written this often: otherwise
# 100 jobs were 50 writes a second, and each is another row of `kubectl get --watch`.
PROGRESS_US = 10_000_000
# Kubernetes keeps no longer message of an Event.
MAX_EVENT = 1024
COMPONENT = "dueby-operator"
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StoredStatus:
    """A job's status as the API server has it."""

    status: JobStatus
    version: str
    """The job's resourceVersion."""


class Reconciler:
    """The loop, one pass at a time."""

    def __init__(
        self, kube: Kube, gatherer: Gatherer, *, now_us: Callable[[], int], faults: FaultLog | None = None
    ) -> None:
        self._kube = kube
        self._gatherer = gatherer
        self._now_us = now_us
        self._memories: dict[str, JobMemory] = {}
        """By the job's uid."""
        self._written_us: dict[str, int] = {}
        """When a job's status was written last, by its uid."""
        self._deleted: set[str] = set()
        """The uids of jobs that were deleted, and that may be listed as over for a minute yet."""
        self.snapshot: ClusterSnapshot
        """Of the last pass, with the statuses that it has decided on."""
        self.left: Devices
        """What the last pass has left."""
        self.unused: Mapping[str, int] = {}
        """By device class, devices that the last pass left idle although jobs wait that could use them."""
        self._faults = faults or FaultLog()
        self._away: dict[str, str] = {}
        """By namespace, what this pass was told of a webhook without which nothing can be made there."""

    async def reconcile(self) -> float:
        """Gather, decide and apply once; return the seconds until the next pass is due."""
        self.snapshot = snapshot = await self._gatherer.gather(self._memories, now_us=self._now_us())
        decisions = await asyncio.to_thread(decide, snapshot)
        self.left, self.unused = decisions.left.devices, decisions.left.unused
        self._forget_all_but(snapshot.jobs)
        for fault in decisions.faults:
            self._faults.record(fault, about="")
        for fault in decisions.left.faults:
            self._faults.record(fault, about=EVERYBODY)
        await self._write_profiles(decisions)
        await self._in_turns([self._write(write, "clearing") for write in decisions.clearing])
        decided = await self._apply_jobs(decisions)
        statuses = {decision.job.uid: decision.status for decision in decided}
        jobs = tuple(replace(job, status=statuses.get(job.uid, job.status)) for job in snapshot.jobs)
        self.snapshot = replace(snapshot, jobs=jobs)
        await self._in_turns([self._write(write, "profiling") for write in decisions.upkeep])
        pause_s = BUSY_S if decisions.jobs else IDLE_S
        return min(pause_s, self._gatherer.seconds_to_profiling(snapshot.now_us) or pause_s)

    def _forget_all_but(self, jobs: Sequence[JobSnapshot]) -> None:
        known = {job.uid for job in jobs}
        self._memories = {uid: memory for uid, memory in self._memories.items() if uid in known}
        self._written_us = {uid: written for uid, written in self._written_us.items() if uid in known}
        self._deleted &= known

    async def _write_profiles(self, decisions: Decisions) -> None:
        """Write the classes' profiles as nodes and jobs have made them by now."""
        puts = [Put(kind=paths.profiles_path(), document=profile.document()) for profile in decisions.new_profiles]
        uids = {profile.name: profile.metadata.uid or "" for profile in self.snapshot.profiles}
        deletes = [Delete(path=paths.profiles_path(name), uid=uids[name]) for name in decisions.gone_profiles]
        writes: list[Write] = [*puts, *deletes]
        for write in writes:
            await self._write(write, "profiling")

    async def _apply_jobs(self, decisions: Decisions) -> list[JobDecision]:
        """Carry the decisions out; return them as the API server's refusals have changed them."""
        turns, self._away = asyncio.Semaphore(AT_ONCE), {}
        devices = decisions.left.devices
        if not isinstance(devices, ClusterDevices):
            raise TypeError("the cluster's devices became something else in the decision")
        # What starts or ends workers goes first, what only tells of them after it.
        ordered = sorted(decisions.jobs, key=lambda decision: not decision.actions)
        decided = await asyncio.gather(*(self._apply(decision, devices, turns) for decision in ordered))
        now_us = self.snapshot.now_us
        self._memories |= {decision.job.uid: memory_after(decision, now_us=now_us) for decision in decided}
        await self._in_turns([self._post(event, decision.job) for decision in decided for event in decision.events])
        return decided

    async def _apply(self, decision: JobDecision, devices: ClusterDevices, turns: asyncio.Semaphore) -> JobDecision:
        """Do what was decided about a job; return it as it is after that, with the Events of what was written."""
        job = decision.job
        async with turns:
            try:
                decision, stored = await self._carry_out_and_tell(decision, devices)
            except Exception as error:  # whatever it is, it is this job's alone
                if not decision.fault:
                    decision = suffer(decision, Fault(stage="applying", error=error), now_us=self.snapshot.now_us)
                stored = await self._tell_of_fault(decision)
        if decision.fault:
            self._faults.record(decision.fault, about=f"{job.namespace}/{job.name}")
        return replace(decision, events=events_between(job.status, stored.status))

    async def _carry_out_and_tell(
        self, decision: JobDecision, devices: ClusterDevices
    ) -> tuple[JobDecision, StoredStatus]:
        """Return the decision as far as it was carried out, and what is stored then."""
        job, is_begun = decision.job, False
        stored = StoredStatus(status=job.status, version=job.resource_version)
        try:
            if decision.starts_workers:
                stored = await self._write_status(decision, stored)
            is_begun = bool(decision.actions)
            decision = await self._carry_out(decision, devices)
            stored = await self._write_status(decision, stored)
        except (Conflict, Missing, Transient) as error:
            # Somebody was quicker, or the server slow: the next pass shows it. What has begun is not begun again at
            # once, so that a Job that can't be created is no row of lost workers.
            log.info("%s/%s: %s", job.namespace, job.name, error)
            memory = decision.memory if is_begun or decision.fault else job.memory
            return replace(decision, status=stored.status, memory=memory), stored
        return decision, stored

    async def _tell_of_fault(self, decision: JobDecision) -> StoredStatus:
        """Write the status that names the fault; where the API server refuses that, too, the least one that does."""
        job = decision.job
        read = StoredStatus(status=job.status, version=job.resource_version)
        for status in (decision.status, least_status(decision.status)):
            try:
                return await self._write_status(replace(decision, status=status), read)
            except (Conflict, Missing, Transient) as error:
                log.info("%s/%s: %s", job.namespace, job.name, error)
                return read
            except Refused as error:
                log.warning("%s/%s: the API server refuses the status: %s", job.namespace, job.name, error)
            except Exception as error:  # a fault while one is told of is as much this job's alone
                self._faults.record(Fault(stage="applying", error=error), about=f"{job.namespace}/{job.name}")
        return read

    async def _carry_out(self, decision: JobDecision, devices: ClusterDevices) -> JobDecision:
        """Carry the actions out; return the decision as the API server's refusal changes it, if there is one."""
        if not isinstance(decision.manifest, InferenceJob):
            return decision
        now_us, namespace = self.snapshot.now_us, decision.job.namespace
        try:
            # One that hangs takes ten seconds and more for each job, and the pass waits for all of them.
            if (away := self._away.get(namespace)) and any(isinstance(action, MAKING) for action in decision.actions):
                raise WebhookAway(away)
            await carry_out(self._kube, render(decision.actions, decision.job, decision.manifest, devices))
        except (NameTaken, NotYetGone, WebhookAway, Refused, Invalid) as error:
            if isinstance(error, WebhookAway):
                self._away[namespace] = str(error)
            return refuse(decision, reason_of(error), str(error), now_us=now_us)
        return decision

    async def _write_status(self, decision: JobDecision, stored: StoredStatus) -> StoredStatus:
        """Write the status if it has changed, progress alone not in every pass; return what is stored then."""
        job, status = decision.job, decision.status
        if status == stored.status:
            return stored
        is_progress = without_words(status) == without_words(stored.status)
        now_us = self.snapshot.now_us
        if is_progress and now_us < self._written_us.get(job.uid, 0) + PROGRESS_US:
            return stored
        body = {
            "apiVersion": API_VERSION,
            "kind": "InferenceJob",
            # With the version, so that a job that was edited meanwhile is a Conflict and is decided on anew.
            "metadata": {
                "name": job.name,
                "namespace": job.namespace,
                "uid": job.uid,
                "resourceVersion": stored.version,
            },
            "status": status.document(),
        }
        written = await self._kube.replace(paths.jobs_path(job.namespace, job.name, "status"), body)
        self._written_us[job.uid] = now_us
        return StoredStatus(status=status, version=str(written["metadata"]["resourceVersion"]))

    async def _post(self, event: NewEvent, job: JobSnapshot) -> None:
        document = event_document(event, job, now_us=self.snapshot.now_us)
        try:
            await self._kube.create(paths.core_path("events", job.namespace), document)
        except DueByError as error:  # a namespace that is going away takes no more of them
            log.info("an Event was not taken: %s", error)

    async def _write(self, write: Write, stage: Stage) -> None:
        """Carry out a write that no job waits for."""
        if isinstance(write, Delete) and write.uid in self._deleted:
            return
        try:
            await carry_out(self._kube, [write])
            if isinstance(write, Delete) and stage == "clearing":
                self._deleted.add(write.uid)
        except (NameTaken, Refused) as error:
            log.warning("%s: a write is refused: %s", stage, error)
        except DueByError as error:  # the next pass shows it
            log.info("%s: a write failed: %s", stage, error)
        except Exception as error:  # whatever it is, jobs don't wait for it
            self._faults.record(Fault(stage=stage, error=error), about="")

    async def _in_turns(self, calls: Sequence[Coroutine[Any, Any, None]]) -> None:
        turns = asyncio.Semaphore(AT_ONCE)

        async def take_turn(call: Coroutine[Any, Any, None]) -> None:
            async with turns:
                await call

        await asyncio.gather(*(take_turn(call) for call in calls))


def memory_after(decision: JobDecision, *, now_us: int) -> JobMemory:
    """Return what is remembered of a job once the decision is carried out: one that went well ends a row of faults."""
    if decision.fault or is_resting(decision.memory, now_us=now_us):
        return decision.memory
    return replace(decision.memory, faults=0, retry_us=0)


def without_words(status: JobStatus) -> JobStatus:
    """Return the status without what changes while nothing happens: progress, and the messages beside reasons."""
    conditions = tuple(found.replace(message="") for found in status.conditions)
    return status.replace(progress=None, message=None, conditions=conditions)


def least_status(status: JobStatus) -> JobStatus:
    """Return the least that a status can say: whether the job has failed, and why."""
    return JobStatus(
        observed_generation=status.observed_generation,
        phase=status.phase,
        conditions=tuple(found for found in status.conditions if found.type == ConditionType.FAILED),
        message=status.message,
    )


def event_document(event: NewEvent, job: JobSnapshot, *, now_us: int) -> dict[str, Any]:
    """Return the Event as the API server takes it."""
    owner = names.job_owner(job.name, job.uid)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{job.name}.", "namespace": job.namespace, "labels": names.MANAGED},
        "involvedObject": {
            **{name: owner[name] for name in ("apiVersion", "kind", "name", "uid")},
            "namespace": job.namespace,
        },
        "type": "Warning" if event.is_warning else "Normal",
        "reason": event.reason,
        "message": event.message[:MAX_EVENT],
        "source": {"component": COMPONENT},
        "firstTimestamp": format_time(now_us),
        "lastTimestamp": format_time(now_us),
        "count": 1,
    }

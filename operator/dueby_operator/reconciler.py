"""The control loop of the cluster: gather -> decide -> apply -> write each status once, if it changed -> Events.

All jobs are decided on in the order of their deadlines, each against what the ones before it left free; then what was
decided is carried out for many of them at once. The loop keeps nothing that it could not find again: what was decided
lies in the job's status, its Jobs and their ConfigMaps, so that an operator that was killed anywhere goes on where it
stopped. What it does remember are immutable ConfigMaps, readings of lag, and since when something is missing.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from dueby_api.errors import DueByError, Transient
from dueby_api.inference_job import parse_job
from dueby_api.units import parse_duration_us
from dueby_operator.cluster.nodes import Node, PodRow
from dueby_operator.control.case import Case
from dueby_operator.control.conditions import condition, is_over, is_true
from dueby_operator.control.world import Document, World
from dueby_operator.control.writes import carry_out
from dueby_operator.jobs import names
from dueby_operator.jobs.events import events_between
from dueby_operator.jobs.manifests import Setting
from dueby_operator.jobs.pod_state import is_complete, is_failed, micros_of
from dueby_operator.kube.client import Conflict, Kube, Missing, Refused
from dueby_operator.kube.gather import gather
from dueby_operator.kube.progress import Observer
from dueby_operator.kube.reflector import Reflector
from dueby_operator.profiling.documents import rates
from dueby_operator.profiling.scheduled_loop import NodeProfiling

# Between two looks: while there is a job to attend to, and otherwise.
BUSY_S, IDLE_S = 2.0, 30.0
# How long the workers of a complete job may take to end.
LEAVE_US = 20_000_000
# Jobs that are written at once.
AT_ONCE = 16
# Progress changes at every look. Where nothing else has, it is written so often: else 100 jobs were 50 writes a second.
PROGRESS_US = 10_000_000
log = logging.getLogger(__name__)


class Controller:
    """The loop, one look at a time."""

    def __init__(
        self,
        kube: Kube,
        setting: Setting,
        *,
        observer: Observer,
        nodes: Reflector[Node],
        pods: Reflector[PodRow],
        now_us: Callable[[], int],
    ) -> None:
        self.kube = kube
        self.setting = setting
        self.observer = observer
        self.nodes = nodes
        self.pods = pods
        self.now_us = now_us
        self.node_profiling = NodeProfiling(kube, setting)
        self.world: World
        """Of the last look."""

    async def tick(self) -> float:
        """Look once and do what is to do; seconds until it should be looked again."""
        self.world = world = await gather(self.kube, self.nodes, self.pods, now_us=self.now_us())
        self.observer.forget_all_but(world)
        await self._keep_profiles(world)
        await self._tell_rates(world)
        there = [document for document in world.jobs if "deletionTimestamp" not in document["metadata"]]
        open_jobs = sorted((d for d in there if not is_over(d.get("status", {}))), key=_deadline_of)
        for document in there:
            if is_over(document.get("status", {})):
                await self._clear(document, world)
        memories = self.observer.memories
        cases = [
            Case(seen, world, setting=self.setting, memory=memories[seen.document["metadata"]["uid"]])
            for seen in await self.observer.see(open_jobs, world)
        ]
        for case in cases:  # one after the other: each takes from what is free
            await asyncio.to_thread(case.decide)
        await self._keep_profiles(world)
        turns = asyncio.Semaphore(AT_ONCE)
        # What starts or ends workers goes first, what only tells of them after it.
        news = await asyncio.gather(
            *(self._apply(case, turns) for case in sorted(cases, key=lambda case: not case.writes))
        )
        await asyncio.gather(*(self._post(event, turns) for events in news for event in events))
        return min(BUSY_S if cases else IDLE_S, await self.node_profiling.look(world))

    async def _apply(self, case: Case, turns: asyncio.Semaphore) -> list[Document]:
        """Do what was decided; the Events of what has changed by it."""
        before = case.document.get("status", {})
        async with turns:
            try:
                if case.is_start:
                    await self._write_status(case)
                try:
                    await carry_out(self.kube, case.writes)
                except Refused as error:
                    case.refuse(error)
                await self._write_status(case)
            except (Conflict, Missing, Transient) as error:  # somebody was quicker, or slow: the next look shows it
                log.info("%s/%s: %s", case.namespace, case.name, error)
        return events_between(case.document, before, case.document.get("status", {}), now_us=case.world.now_us)

    async def _keep_profiles(self, world: World) -> None:
        """The classes' profiles as nodes and jobs have made them by now."""
        writes, world.profile_writes = world.profile_writes, []
        try:
            await carry_out(self.kube, writes)
        except (Conflict, Missing, Refused, Transient) as error:
            log.info("a profile was not written: %s", error)

    async def _tell_rates(self, world: World) -> None:
        """What the column Images/s of profiles shows."""
        try:
            await carry_out(self.kube, rates(world.profiles))
        except (Missing, Refused, Transient) as error:
            log.info("a profile's status was not written: %s", error)

    async def _write_status(self, case: Case) -> None:
        """Write it, if it has changed; progress alone not at every look."""
        status, before, memory = case.status(), case.document.get("status", {}), case.memory
        if status == before:
            return
        is_progress = {**status, "progress": None} == {**before, "progress": None}
        if is_progress and case.world.now_us < memory.written_us + PROGRESS_US:
            return
        path = names.jobs_path(case.namespace, case.name, "status")
        written = await self.kube.replace(path, {**case.document, "status": status})
        case.document = {**case.document, "metadata": written["metadata"], "status": status}
        memory.written_us = case.world.now_us

    async def _post(self, event: Document, turns: asyncio.Semaphore) -> None:
        try:
            async with turns:
                await self.kube.create(names.core_path("events", event["metadata"]["namespace"]), event)
        except (Missing, Refused, Transient) as error:  # a namespace that is going away takes no more of them
            log.info("an Event was not taken: %s", error)

    async def _clear(self, document: Document, world: World) -> None:
        """Take the workers of a job away that is over, and the job itself once its time to live is over, too."""
        status, metadata = document.get("status", {}), document["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        ended_us = max(
            micros_of(condition(status, kind).get("lastTransitionTime")) or 0 for kind in ("Complete", "Failed")
        )
        # Workers of a complete job end by themselves, but for those that never found a node.
        if is_true(status, "Failed") or world.now_us > ended_us + LEAVE_US:
            for job in world.batch.get((namespace, name), ()):
                has_devices = job["metadata"]["labels"][names.STEP] in ("work", names.PROFILE)
                if has_devices and not (is_complete(job) or is_failed(job)):
                    await self.kube.delete(names.batch_path(namespace, job["metadata"]["name"]))
        ttl = document["spec"].get("ttlAfterFinished")
        if ttl and ended_us and world.now_us > ended_us + parse_duration_us(ttl):
            await self.kube.delete(names.jobs_path(namespace, name))


def _deadline_of(document: Mapping[str, Any]) -> tuple[int, str]:
    """The order in which jobs are served: by deadline, then by age."""
    made = document["metadata"]["creationTimestamp"]
    try:
        spec = parse_job(document).spec
    except DueByError:
        return 0, made
    return spec.deadline_us(accepted_us=micros_of(made) or 0), made

"""The control loop of the cluster: gather -> decide -> apply -> write each status once, if it changed.

One job at a time in the order of deadlines, each against what the ones before it left free. It keeps nothing that it
could not find again: what was decided lies in the job's status, its Jobs and their ConfigMaps, so that an operator
that was killed anywhere goes on where it stopped. What it does remember are immutable ConfigMaps, and readings of lag.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from dueby.operator import names
from dueby.operator.case import Case
from dueby.operator.conditions import Say, condition, is_over
from dueby.operator.inventory import read_node, take_pod
from dueby.operator.kube import Conflict, Kube, Missing, Refused
from dueby.operator.manifests import Setting, read_assignments
from dueby.operator.sight import Crew, Seen, micros_of, progress_of_ended, running_pods, unscheduled
from dueby.operator.view import Assignment
from dueby.operator.world import Document, Memories, World
from dueby.planner.errors import DueByError, Invalid
from dueby.planner.job import parse_job
from dueby.planner.profiles import parse_profile
from dueby.planner.shares import Grid
from dueby.planner.units import parse_duration_us

# Between two looks: while there is a job to attend to, and otherwise.
BUSY_S, IDLE_S = 2.0, 30.0
log = logging.getLogger(__name__)
Ask = Callable[[Mapping[str, Any], str], Awaitable[Document | None]]


class Controller:
    """The loop's hands: everything that it does to the cluster."""

    def __init__(self, kube: Kube, setting: Setting, *, ask: Ask, now_us: Callable[[], int]) -> None:
        """`ask` gets a page of a worker's pod, or None while it doesn't answer."""
        self.kube = kube
        self.setting = setting
        self.ask = ask
        self.now_us = now_us
        self.memories: dict[str, Memories] = defaultdict(Memories)
        self.assignments: dict[str, list[Assignment]] = {}
        self.world: World
        """Of the last look."""

    async def tick(self) -> float:
        """Look once and do what is to do; seconds until it should be looked again."""
        self.world = world = await self.gather()
        waiting = False
        for document in sorted(world.jobs, key=_deadline_of):
            if "deletionTimestamp" in document["metadata"]:
                continue
            if is_over(document.get("status", {})):
                await self._expire(document, world.now_us)
                continue
            waiting = True
            try:
                await self._attend(document, world)
            except (Conflict, Missing) as error:  # somebody was quicker: the next look shows it
                log.info("%s: %s", document["metadata"]["name"], error)
        known = {document["metadata"]["uid"] for document in world.jobs}
        for uid in self.memories.keys() - known:
            del self.memories[uid]
        there = {batch["metadata"]["uid"] for found in world.batch.values() for batch in found}
        for uid in self.assignments.keys() - there:
            del self.assignments[uid]
        return BUSY_S if waiting else IDLE_S

    async def gather(self) -> World:
        """Everything that is to know, in five lists."""
        profiles, nodes = [], {}
        jobs = [document async for document in self.kube.items(names.jobs_path())]
        async for document in self.kube.items(names.profiles_path()):
            try:
                profiles.append(parse_profile(document))
            except Invalid as error:
                log.warning("GPUProfile %s is left out: %s", document["metadata"]["name"], error)
        async for document in self.kube.items(names.core_path("nodes")):
            node = read_node(document)
            nodes[node.name] = node
        ours, pods = defaultdict(list), defaultdict(list)
        async for pod in self.kube.items(names.core_path("pods")):
            take_pod(nodes, pod)
            if name := pod["metadata"].get("labels", {}).get(names.JOB):
                pods[pod["metadata"]["namespace"], name].append(pod)
        async for batch in self.kube.items(names.batch_path(), labelSelector=names.JOB):
            ours[batch["metadata"]["namespace"], batch["metadata"]["labels"][names.JOB]].append(batch)
        wanted: Counter[str] = Counter()
        for key, found in ours.items():
            for batch in found:
                if device_class := batch["metadata"].get("annotations", {}).get(names.DEVICE_CLASS):
                    wanted[device_class] += unscheduled(batch, pods[key])
        return World(
            now_us=self.now_us(),
            nodes=nodes,
            profiles=tuple(profiles),
            jobs=jobs,
            batch=dict(ours),
            pods=dict(pods),
            unscheduled=wanted,
        )

    async def _attend(self, document: Document, world: World) -> None:
        """Bring one job a step further and write its status."""
        seen = await self._see(document, world)
        memory = self.memories[document["metadata"]["uid"]]
        case = Case(document, seen, world, kube=self.kube, setting=self.setting, memory=memory)
        try:
            await case.advance()
        except Invalid as error:
            case.refuse(error)
        except Refused as error:
            case.say(Say(type="Failed", status="True", reason="InvalidTemplate", message=str(error)))
        await case.write()

    async def _see(self, document: Document, world: World) -> Seen:
        key = document["metadata"]["namespace"], document["metadata"]["name"]
        uid = document["metadata"]["uid"]
        batch = [b for b in world.batch.get(key, ()) if _is_owned(b, uid)]
        pods = world.pods.get(key, [])
        crews = [
            Crew(job=job, assignments=await self._assignments_of(job))
            for job in batch
            if job["metadata"]["labels"][names.STEP] == "work"
        ]
        steps = {
            job["metadata"]["labels"][names.STEP]: job
            for job in batch
            if job["metadata"]["labels"][names.STEP] != "work"
        }
        seen = Seen(document=document, steps=steps, crews=crews, pods=pods)
        asked = running_pods(seen)
        answers = await asyncio.gather(*(self.ask(pod, "/progress") for pod in asked))
        progress = {pod["metadata"]["name"]: answer for pod, answer in zip(asked, answers, strict=True) if answer}
        progress |= progress_of_ended(pods)
        seen = replace(seen, progress=progress)
        return replace(seen, parts_there=await self._parts_there(seen, self.memories[uid]))

    async def _assignments_of(self, job: Document) -> list[Assignment]:
        uid = job["metadata"]["uid"]
        if uid not in self.assignments:
            path = names.core_path("configmaps", job["metadata"]["namespace"], job["metadata"]["name"])
            self.assignments[uid] = read_assignments(await self.kube.get(path))
        return self.assignments[uid]

    async def _parts_there(self, seen: Seen, memory: Memories) -> frozenset[int]:
        """Of what is in the sink, one running worker is asked, when somebody says that there is more."""
        status = seen.document.get("status", {})
        size, images = status.get("plan", {}).get("partSize"), status.get("images")
        if not size or not images:
            return frozenset()
        if any(worker.state == "done" for worker in seen.workers):  # which they are once every part is there
            return frozenset(range(Grid(images=images, part_size=size).parts))
        commits = sum(int(progress.get("partsCommitted") or 0) for progress in seen.progress.values())
        if commits != memory.commits:
            for pod in running_pods(seen):
                answer = await self.ask(pod, "/parts")
                if answer and "runs" in answer:
                    runs = answer["runs"]
                    memory.parts_there |= frozenset(part for first, end in runs for part in range(first, end))
                    memory.commits = commits
                    break
        return memory.parts_there

    async def _expire(self, document: Document, now_us: int) -> None:
        """Delete a finished job whose time to live is over."""
        ttl = document["spec"].get("ttlAfterFinished")
        status = document.get("status", {})
        ended = max(
            (micros_of(condition(status, kind).get("lastTransitionTime")) or 0 for kind in ("Complete", "Failed")),
            default=0,
        )
        if ttl and ended and now_us > ended + parse_duration_us(ttl):
            name, namespace = document["metadata"]["name"], document["metadata"]["namespace"]
            await self.kube.delete(names.jobs_path(namespace, name))


def _deadline_of(document: Mapping[str, Any]) -> tuple[int, str]:
    """The order in which jobs are served: by deadline, then by age."""
    made = document["metadata"]["creationTimestamp"]
    try:
        spec = parse_job(document).spec
    except DueByError:
        return 0, made
    return spec.deadline_us(accepted_us=micros_of(made) or 0), made


def _is_owned(document: Mapping[str, Any], uid: str) -> bool:
    return any(owner["uid"] == uid for owner in document["metadata"].get("ownerReferences", ()))

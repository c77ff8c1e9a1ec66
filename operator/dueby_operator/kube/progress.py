"""What is to know of one job: its Jobs and pods, and what its workers answer, all asked at once and none for long."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dueby_api.grid import Grid
from dueby_operator.cluster.node_heartbeat import Silence
from dueby_operator.control.model import Assignment
from dueby_operator.control.world import Document, Memories, World
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import read_assignments
from dueby_operator.jobs.pod_state import Crew, Seen, absent_workers, progress_of_ended, running_pods
from dueby_operator.kube.client import Kube, Missing

log = logging.getLogger(__name__)
Ask = Callable[[Mapping[str, Any], str], Awaitable[Document | None]]


class Observer:
    """The loop's eyes, with what they remember."""

    def __init__(self, kube: Kube, *, ask: Ask) -> None:
        """`ask` gets a page of a worker's pod, or None while it doesn't answer."""
        self._kube = kube
        self._ask = ask
        self._assignments: dict[str, list[Assignment]] = {}
        self._silence = Silence()
        self.memories: dict[str, Memories] = defaultdict(Memories)

    async def see(self, documents: Sequence[Document], world: World) -> list[Seen]:
        """These jobs, without any whose ConfigMap is gone; the world knows afterwards which nodes are silent."""
        looks = await asyncio.gather(*(self._see_or_skip(document, world) for document in documents))
        found = [seen for seen in looks if seen]
        world.silent_nodes = await self._silent_nodes(found, now_us=world.now_us)
        return [self._with_time(seen, world) for seen in found]

    def forget_all_but(self, world: World) -> None:
        """What isn't there any more needn't be remembered."""
        known = {document["metadata"]["uid"] for document in world.jobs}
        there = {batch["metadata"]["uid"] for found in world.batch.values() for batch in found}
        for uid in self.memories.keys() - known:
            del self.memories[uid]
        for uid in self._assignments.keys() - there:
            del self._assignments[uid]

    async def _see_or_skip(self, document: Document, world: World) -> Seen | None:
        try:
            return await self._see(document, world)
        except Missing as error:
            log.warning("%s is left alone: %s", document["metadata"]["name"], error)
            return None

    async def _see(self, document: Document, world: World) -> Seen:
        key = document["metadata"]["namespace"], document["metadata"]["name"]
        uid = document["metadata"]["uid"]
        batch = [b for b in world.batch.get(key, ()) if _is_owned(b, uid)]
        by_step: dict[str, list[Document]] = defaultdict(list)
        for job in batch:
            by_step[job["metadata"]["labels"][names.STEP]].append(job)
        crews = [Crew(job=job, assignments=await self._assignments_of(job)) for job in by_step.pop("work", ())]
        seen = Seen(
            document=document,
            profiling=by_step.pop(names.PROFILE, ()),
            steps={step: jobs[-1] for step, jobs in by_step.items()},
            crews=crews,
            pods=world.pods.get(key, []),
        )
        asked = [*running_pods(seen), *running_pods(seen, names.PROFILE)]
        answers = await asyncio.gather(*(self._ask(pod, "/progress") for pod in asked))
        progress = {pod["metadata"]["name"]: answer for pod, answer in zip(asked, answers, strict=True) if answer}
        seen = replace(seen, progress=progress | progress_of_ended(seen.pods))
        return replace(seen, parts_there=await self._parts_there(seen, self.memories[uid]))

    async def _assignments_of(self, job: Document) -> list[Assignment]:
        uid = job["metadata"]["uid"]
        if uid not in self._assignments:
            path = names.core_path("configmaps", job["metadata"]["namespace"], job["metadata"]["name"])
            self._assignments[uid] = read_assignments(await self._kube.get(path))
        return self._assignments[uid]

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
                answer = await self._ask(pod, "/parts")
                if answer and "runs" in answer:
                    runs = answer["runs"]
                    memory.parts_there |= frozenset(part for first, end in runs for part in range(first, end))
                    memory.commits = commits
                    break
        return memory.parts_there

    async def _silent_nodes(self, found: Sequence[Seen], *, now_us: int) -> frozenset[str]:
        """The nodes of workers that don't answer, if the nodes don't either."""
        asked = {
            str(pod["spec"]["nodeName"])
            for seen in found
            for pod in running_pods(seen)
            if pod["metadata"]["name"] not in seen.progress
        }
        self._silence.forget_all_but(asked)
        silent = await asyncio.gather(*(self._is_silent(node, now_us) for node in sorted(asked)))
        return frozenset(node for node, is_silent in zip(sorted(asked), silent, strict=True) if is_silent)

    async def _is_silent(self, node: str, now_us: int) -> bool:
        try:
            lease = await self._kube.get(names.node_lease_path(node))
        except Missing:  # the node is gone, and Kubernetes knows
            return True
        return self._silence.note(node, str(lease["spec"].get("renewTime")), now_us=now_us)

    def _with_time(self, seen: Seen, world: World) -> Seen:
        since = self.memories[seen.document["metadata"]["uid"]].absent_since
        absent = set(absent_workers(seen))
        for key in since.keys() - absent:
            del since[key]
        for key in absent - since.keys():
            since[key] = world.now_us
        return replace(seen, now_us=world.now_us, silent_nodes=world.silent_nodes, absent_since=dict(since))


def _is_owned(document: Mapping[str, Any], uid: str) -> bool:
    return any(owner["uid"] == uid for owner in document["metadata"].get("ownerReferences", ()))

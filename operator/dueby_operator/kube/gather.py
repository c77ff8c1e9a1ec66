"""What is to know of the cluster at one moment: four lists, and the tables of nodes and pods that watches keep."""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, parse_profile
from dueby_api.status import ProfileStatus, read_status
from dueby_operator.cluster import quotas
from dueby_operator.cluster.kueue import Queue, read_queue
from dueby_operator.cluster.nodes import Node, PodRow, requests_of, set_apart, take_pods
from dueby_operator.control.conditions import is_over
from dueby_operator.control.world import Key, World
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import unscheduled
from dueby_operator.kube.client import Kube
from dueby_operator.kube.reflector import Reflector
from dueby_operator.profiling.class_profiles import keep_up

Document = dict[str, Any]
log = logging.getLogger(__name__)


async def gather(kube: Kube, nodes: Reflector[Node], pods: Reflector[PodRow], *, now_us: int) -> World:
    """The world as it is now."""
    jobs, profiles, batch, quota_list = await asyncio.gather(
        kube.list(names.jobs_path()),
        kube.list(names.profiles_path()),
        kube.list(names.batch_path(), labelSelector=names.JOB),
        kube.list(names.core_path("resourcequotas")),
    )
    rows = await pods.rows()
    batch_of: dict[Key, list[Document]] = defaultdict(list)
    pods_of: dict[Key, list[Document]] = defaultdict(list)
    for found in batch:
        batch_of[_job_of(found)].append(found)
    ours = [dict(row.ours) for row in rows if row.ours is not None]
    for pod in ours:
        if names.JOB in pod["metadata"]["labels"]:
            pods_of[_job_of(pod)].append(pod)
    kept = keep_up(read_profiles(profiles))
    world = World(
        now_us=now_us,
        nodes=set_apart(take_pods(await nodes.rows(), rows), kept.slow),
        profiles=kept.profiles,
        profile_writes=list(kept.writes),
        jobs=jobs,
        batch=batch_of,
        pods=pods_of,
        unscheduled=_unscheduled(batch_of, pods_of),
        room=quotas.room_by_namespace(quota_list),
        profiled=[pod for pod in ours if names.PROFILED in pod["metadata"]["labels"]],
        generations={found["metadata"]["name"]: int(found["metadata"].get("generation") or 1) for found in profiles},
    )
    world.queues = await _queues(kube, jobs)
    for key, found_jobs in batch_of.items():
        for found in found_jobs:
            _take_podless(world, found, pods_of[key])
    return world


async def _queues(kube: Kube, jobs: list[Document]) -> dict[Key, Queue | None]:
    """The queues that jobs name which aren't over."""
    asked = {
        (job["metadata"]["namespace"], str(job["spec"]["queueName"]))
        for job in jobs
        if job["spec"].get("queueName") and not is_over(job.get("status", {}))
    }
    return {key: await read_queue(kube, *key) for key in sorted(asked)}


def read_profiles(documents: list[Document]) -> tuple[GPUProfile, ...]:
    """Those that make sense; the others are logged."""
    profiles = []
    for document in documents:
        try:
            profiles.append(parse_profile(document).replace(status=read_status(ProfileStatus, document)))
        except Invalid as error:
            log.warning("GPUProfile %s is left out: %s", document["metadata"]["name"], error)
    return tuple(profiles)


def _job_of(document: Mapping[str, Any]) -> Key:
    return document["metadata"]["namespace"], document["metadata"]["labels"][names.JOB]


def _unscheduled(batch: dict[Key, list[Document]], pods: dict[Key, list[Document]]) -> Counter[str]:
    """Workers by device class that are wanted and on no node yet."""
    wanted: Counter[str] = Counter()
    for key, found in batch.items():
        for job in found:
            if device_class := job["metadata"].get("annotations", {}).get(names.DEVICE_CLASS):
                wanted[device_class] += unscheduled(job, pods[key])
    return wanted


def _take_podless(world: World, job: Document, pods: list[Document]) -> None:
    """Of a quota, what the Job's pods will use that its controller hasn't made yet."""
    room = world.room.get(job["metadata"]["namespace"])
    if not room:
        return
    made = sum(pod["metadata"]["labels"].get(names.JOB_OF_POD) == job["metadata"]["name"] for pod in pods)
    missing = int(job["spec"].get("completions") or 0) - made
    if missing > 0 and not job["spec"].get("suspend"):
        quotas.take(room, {**requests_of(job["spec"]["template"]), "pods": 1.0}, missing)

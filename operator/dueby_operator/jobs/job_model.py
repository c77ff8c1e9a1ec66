"""The view that decide() takes of a job in a cluster. Pure."""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Literal

from dueby_api.inference_job import InferenceJob, JobSpec
from dueby_api.input_cost import InputCost
from dueby_api.schema import validate
from dueby_operator.cluster.nodes import CPU_CLASS, DeviceKind, Need
from dueby_operator.cluster.quotas import most_pods
from dueby_operator.control.model import GONE, JobView, WorkerView
from dueby_operator.control.world import Memories, World
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import TOLERATIONS, Setting, worker_requests
from dueby_operator.jobs.pod_state import Seen, micros_of
from dueby_planner.profiles.class_profiles import matching

SO_FAR_SOFT = ("Relaxed", "BestEffort")


def job_view(
    job: InferenceJob,
    seen: Seen,
    world: World,
    setting: Setting,
    memory: Memories,
    *,
    status: Mapping[str, Any],
    deadline_us: int,
) -> JobView:
    """The job with its workers, and the devices that are free or its own."""
    profiles = tuple(matching(world.profiles, job.spec.model))
    classes = sorted({profile.spec.device_class for profile in profiles})
    workers = tuple(_of_class(worker, classes) for worker in seen.workers)
    own = Counter(w.assignment.device_class for w in workers if w.state not in GONE and w.state != "queued")
    revision = max((crew.revision for crew in seen.crews), default=0)
    if job.spec.queue_name:
        free, most_more = _quota(job, seen, world, setting, classes=classes, unused=revision > 0), None
    else:
        free, most_more = _free_now(job, seen, world, setting, classes=classes)
    plan = status.get("plan") or {}
    news = _news(seen, memory)
    return JobView(
        spec=_planned_as(job.spec, classes),
        now_us=world.now_us,
        deadline_us=deadline_us,
        promised_us=None if news == "Edited" else micros_of(plan.get("expectedFinish")),
        images=status["images"],
        cost=validate(InputCost, status.get("inputCost") or {}),
        profiles=profiles,
        counts={name: free[name] + own[name] for name in classes},
        most=None if most_more is None else most_more + sum(own.values()),
        is_one_class=bool(job.spec.queue_name),
        cpus=setting.gpu_worker_cpus,
        part_size=plan.get("partSize"),
        parts_there=seen.parts_there,
        revision=revision,
        workers=workers,
        news=news,
        memory=memory.lag,
    )


def _of_class(worker: WorkerView, classes: Collection[str]) -> WorkerView:
    """The worker; on a node that was slow, and has recovered, it has a device of the class that the node is of."""
    assignment = worker.assignment
    if assignment.device_class in classes:
        return worker
    return replace(worker, assignment=replace(assignment, device_class=names.class_of(assignment.device_class)))


def _planned_as(spec: JobSpec, classes: Collection[str]) -> JobSpec:
    """Without slow nodes on which its model was never measured, if it has others.

    Relaxed and BestEffort need a calendar of all jobs; until there is one they are planned as Soft.
    """
    named = tuple(name for name in spec.gpus.classes if name in classes or not names.node_of(name))
    spec = spec.replace(gpus=spec.gpus.replace(classes=named or spec.gpus.classes))
    return spec.replace(deadline_class="Soft") if spec.deadline_class in SO_FAR_SOFT else spec


def _news(seen: Seen, memory: Memories) -> Literal["WorkerLost", "Edited", "Admitted"] | None:
    """What has happened since the last decision, the worst of it."""
    state = {worker.assignment.worker: worker.state for worker in seen.workers}
    if any(state[name] == "lost" for name in state.keys() - memory.lost):
        return "WorkerLost"
    if memory.generation not in (None, seen.document["metadata"]["generation"]):
        return "Edited"
    return "Admitted" if any(state.get(name) in ("starting", "running") for name in memory.queued) else None


def _free_now(
    job: InferenceJob, seen: Seen, world: World, setting: Setting, *, classes: list[str]
) -> tuple[dict[str, int], int | None]:
    """Devices of each class that more workers could have, and how many together; None where no quota bounds that."""
    asked = {name: worker_requests(job, setting, name) for name in classes}
    free = {}
    for name in classes:
        found = world.count_free(
            name,
            need=Need(cpu=asked[name]["cpu"], memory=asked[name]["memory"]),
            tolerations=(*TOLERATIONS, *job.spec.worker.tolerations),
            selector=job.spec.worker.node_selector,
        )
        free[name] = max(0, found - world.unscheduled[name])
    room = world.room[seen.namespace]
    if not room or not classes:
        return free, None
    most = {name: most_pods(room, {**asked[name], **world.kinds.get(name, DeviceKind()).request}) for name in classes}
    within = {name: int(min(free[name], most[name])) for name in classes}
    # What classes share is bounded for the one that asks for most of it, so that any mixture fits.
    together = min(most_pods(room, asked[name]) for name in classes)
    return within, None if together == math.inf else int(together)


def free_for_one(
    job: InferenceJob, seen: Seen, world: World, setting: Setting, *, classes: list[str]
) -> dict[str, int]:
    """Devices of each class of which a pod could have one now, by the nodes and by what any quota leaves."""
    free, _ = _free_now(job, seen, world, setting, classes=classes)
    if not job.spec.queue_name:
        return free
    unused = _quota(job, seen, world, setting, classes=classes, unused=True)
    return {name: min(free[name], unused[name]) for name in classes}


def _quota(
    job: InferenceJob, seen: Seen, world: World, setting: Setting, *, classes: list[str], unused: bool
) -> dict[str, int]:
    """Workers of each class that the job's queue covers; of GPUs no more than there are, whoever has them now."""
    queue = world.queues.get((seen.namespace, job.spec.queue_name))
    found = {}
    for name in classes:
        kind = world.kinds.get(name, DeviceKind())
        asked = {**worker_requests(job, setting, name), **kind.request}
        found[name] = queue.most(kind, asked, unused=unused) if queue else 0
        if not CPU_CLASS.match(name):
            there = sum(node.devices[name].count for node in world.nodes.values() if name in node.devices)
            found[name] = min(found[name], there)
    return found

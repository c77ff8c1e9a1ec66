"""The view that decide() takes of a job in a cluster. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from dueby.operator.inventory import DeviceKind, Need, device_kinds, free_devices
from dueby.operator.manifests import TOLERATIONS, Setting, worker_requests
from dueby.operator.quotas import most_pods
from dueby.operator.sight import Seen, micros_of
from dueby.operator.view import GONE, JobView
from dueby.operator.world import Memories, World
from dueby.planner.input_cost import read_input_cost
from dueby.planner.job import InferenceJob
from dueby.planner.pool import matching


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
    workers = seen.workers
    profiles = tuple(matching(world.profiles, job.spec.model))
    classes = sorted({profile.spec.device_class for profile in profiles})
    own = Counter(worker.assignment.device_class for worker in workers if worker.state not in GONE)
    free, most_more = free_now(job, seen, world, setting, classes=classes)
    lost = {worker.assignment.worker for worker in workers if worker.state == "lost"} - memory.lost
    is_edited = memory.generation not in (None, seen.document["metadata"]["generation"])
    plan = status.get("plan") or {}
    return JobView(
        spec=job.spec,
        now_us=world.now_us,
        deadline_us=deadline_us,
        promised_us=None if is_edited else micros_of(plan.get("expectedFinish")),
        images=status["images"],
        cost=read_input_cost(status.get("inputCost") or {}),
        profiles=profiles,
        counts={name: free[name] + own[name] for name in classes},
        most=None if most_more is None else most_more + sum(own.values()),
        cpus=setting.gpu_worker_cpus,
        part_size=plan.get("partSize"),
        parts_there=seen.parts_there,
        revision=max((crew.revision for crew in seen.crews), default=0),
        workers=workers,
        news="WorkerLost" if lost else "Edited" if is_edited else None,
        memory=memory.lag,
    )


def free_now(
    job: InferenceJob, seen: Seen, world: World, setting: Setting, *, classes: list[str]
) -> tuple[dict[str, int], int | None]:
    """Devices of each class that more workers could have, and how many together; None where no quota bounds that."""
    asked = {name: worker_requests(job, setting, name) for name in classes}
    nodes = [node for node in world.nodes.values() if node.name not in world.silent_nodes]
    free = {}
    for name in classes:
        found = free_devices(
            nodes,
            name,
            need=Need(cpu=asked[name]["cpu"], memory=asked[name]["memory"]),
            tolerations=(*TOLERATIONS, *job.spec.worker.tolerations),
            selector=job.spec.worker.node_selector,
        )
        free[name] = max(0, found - world.unscheduled[name])
    room = world.room[seen.document["metadata"]["namespace"]]
    if not room or not classes:
        return free, None
    kinds = device_kinds(world.nodes.values())
    most = {name: most_pods(room, {**asked[name], **kinds.get(name, DeviceKind()).request}) for name in classes}
    within = {name: int(min(free[name], most[name])) for name in classes}
    # What classes share is bounded for the one that asks for most of it, so that any mixture fits.
    together = min(most_pods(room, asked[name]) for name in classes)
    return within, None if together == float("inf") else int(together)

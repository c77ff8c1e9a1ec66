"""The view that decide() takes of a job in a cluster. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from dueby.operator.inventory import Need, free_devices, quantity
from dueby.operator.manifests import Setting
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
    free = free_devices(
        world.nodes.values(),
        classes=classes,
        need=Need(cpu=float(setting.gpu_worker_cpus), memory=quantity(setting.worker_memory)),
        tolerations=job.spec.worker.tolerations,
        selector=job.spec.worker.node_selector,
    )
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
        counts={name: max(0, free[name] - world.unscheduled[name]) + own[name] for name in classes},
        cpus=setting.gpu_worker_cpus,
        part_size=plan.get("partSize"),
        parts_there=seen.parts_there,
        revision=max((crew.revision for crew in seen.crews), default=0),
        workers=workers,
        news="WorkerLost" if lost else "Edited" if is_edited else None,
        memory=memory.lag,
    )

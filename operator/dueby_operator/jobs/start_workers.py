"""The Jobs of the workers that a decision starts: one for each device class, with everyone's shares. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob
from dueby_operator.control.model import Assignment, JobView, Start
from dueby_operator.control.world import World
from dueby_operator.control.writes import Create
from dueby_operator.jobs.manifests import Fixed, Setting, worker_objects, worker_requests


def start_workers(
    job: InferenceJob,
    document: Mapping[str, Any],
    world: World,
    setting: Setting,
    *,
    view: JobView,
    start: Start,
    revision: int,
    fingerprint: str | None,
) -> list[Create]:
    """What is to be created; the world has that much less for whoever comes next."""
    before = [worker.assignment.share for worker in view.workers]
    shares = [(share.first, share.end) for share in [*before, *(a.share for a in start.assignments)]]
    by_class: dict[str, list[tuple[int, Assignment]]] = defaultdict(list)
    for rank, assignment in enumerate(start.assignments, len(before)):
        revised = replace(assignment, revision=revision)
        by_class[assignment.device_class].append((rank, revised))
    fixed = Fixed(images=view.images, part_size=start.part_size, fingerprint=fingerprint)
    made = []
    for device_class, ranked in by_class.items():
        device = world.kind_of(device_class)
        if device is None:
            raise Invalid("spec.gpus.classes", f"no node has devices of the class {device_class}")
        config_map, work = worker_objects(
            job,
            document,
            setting,
            fixed=fixed,
            assignments=[assignment for _, assignment in ranked],
            shares=shares,
            ranks=[rank for rank, _ in ranked],
            device=device,
            avoid=world.avoided(device_class),
        )
        made.append(Create(config_map=config_map, job=work))
        asked = {**worker_requests(job, setting, device_class), **device.request}
        world.reserve(str(document["metadata"]["namespace"]), device_class, asked, len(ranked))
    return made

"""The longest names and the largest objects that the operator makes, for an API server that is asked what it thinks."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dueby_api.grid import Share
from dueby_api.inference_job import Model, parse_job
from dueby_operator.cluster.nodes import DeviceKind
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import MAX_WORKERS_OF_JOB, Objects, Owner, step_objects, worker_objects
from dueby_operator.model.actions import StartWorkers, StepName
from dueby_operator.objects.jobs import CronJob
from dueby_operator.objects.parse import parse
from dueby_operator.profiling.on_demand_jobs import private_objects, shared_job
from dueby_operator.profiling.scheduled_jobs import cron_job, job_now
from dueby_operator.settings import OperatorSettings, ProfilerSettings
from dueby_planner.schedule.job import MAX_WORKERS
from support.decisions import infj
from support.operator import worker
from support.profiling import gpu_node

Document = dict[str, Any]
# Kubernetes allows an Indexed Job so many pods. What is appended to a CronJob's name is a time in minutes.
MOST_PODS, CRON_TIME = 100_000, "9999999999"
UID = "8a4f0f0a-0000-4000-8000-000000000000"
PRODUCT = "N" * 63
NODE = ".".join(["n" * 63, "n" * 63, "n" * 63, "n" * 61])
# A slow node's own class, of 128 letters at most in a job; of nodes of longer names a part stands for it here.
CLASS = f"{PRODUCT}@{NODE}"[:128].rstrip(".")
GPU = DeviceKind(resource="nvidia.com/gpu", selector={"nvidia.com/gpu.product": PRODUCT})
SETTINGS = OperatorSettings(image="dueby/worker:1")
STEPS: tuple[StepName, ...] = ("index", "finish")


def largest_objects(namespace: str) -> Iterator[Document]:
    """Yield Jobs, ConfigMaps and CronJobs of a job of 40 letters, on nodes of 253."""
    document = infj(metadata={"name": "j" * 40, "namespace": namespace})
    owner = Owner(job=parse_job(document), namespace=namespace, uid=UID)
    for made in (
        _workers(owner),
        private_objects(owner, SETTINGS, device_class=CLASS, device=GPU),
        *(step_objects(owner, SETTINGS, step) for step in STEPS),
    ):
        yield made.config_map
        yield made.job if made.job["spec"].get("completionMode") is None else with_most_pods(made.job)
    profiler = ProfilerSettings(namespace=namespace, name="dueby-profiler")
    yield with_most_pods(shared_job(owner.job, SETTINGS, profiler, namespace=namespace, device_class=CLASS, device=GPU))
    yield from _on_a_node(profiler)


def with_most_pods(job: Document) -> Document:
    """Return the Indexed Job with as many pods as one may have."""
    return {**job, "spec": {**job["spec"], "completions": MOST_PODS, "parallelism": 1}}


def _workers(owner: Owner) -> Objects:
    """Return what starts the last workers that a job may have had."""
    assignment = worker(device_class=CLASS).assignment
    last = [
        replace(
            assignment, worker=f"w{number}", revision=10**9, share=Share(first=10**7 + number, end=10**7 + number + 1)
        )
        for number in range(MAX_WORKERS - MAX_WORKERS_OF_JOB, MAX_WORKERS)
    ]
    start = StartWorkers(
        assignments=tuple(last),
        before=tuple(Share(first=10**7 + n, end=10**7 + n + 1) for n in range(MAX_WORKERS - MAX_WORKERS_OF_JOB)),
        revision=10**9,
        images=10**12,
        part_size=65_536,
        fingerprint="f" * 64,
        reason="Started",
    )
    return worker_objects(owner, SETTINGS, start, assignments=last, device=GPU, chunk=99)


def _on_a_node(profiler: ProfilerSettings) -> Iterator[Document]:
    """Yield a node's CronJob, and the Jobs that are made of it: by Kubernetes, and by the operator."""
    models = [Model(name="m" * 63, image_size=size) for size in range(224, 256)]
    document = cron_job(replace(gpu_node(NODE), uid=UID), PRODUCT, GPU, models, SETTINGS, profiler)
    yield document
    cron = parse(CronJob, {**document, "metadata": {**document["metadata"], "uid": UID}})
    for name in (f"{cron.name}-{CRON_TIME}", names.again_name(cron.name, "2026-11-25T02:00:00Z")):
        yield with_most_pods(job_now(cron, name, reason="DriverChanged"))

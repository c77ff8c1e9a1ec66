"""The Jobs that measure a device class for jobs without a profile: one pod on one free device. Pure.

    for everybody        in the operator's namespace, with its image: no tenant can touch it, and all jobs that wait for
                         the same share it. It keeps to where the job's workers may be, and gives way to all workers
    for one job alone    in the job's namespace, where the job has an image or variables of its own, or the operator has
                         no namespace. What comes of it is the tenant's word, so nobody else uses it

The pod of one job is as its workers would be, so that what it measures is what they will see: its image, its
environment, its cores. It reads no image and writes no row, so it has none of the job's volumes, secrets and
identities, but the secrets that its image is pulled with.
"""

import json
from collections.abc import Collection
from typing import Any

from dueby_api.classifiers import is_own
from dueby_api.engines import runs_on_cpu
from dueby_api.inference_job import InferenceJob, JobSpec, Worker
from dueby_api.subject import model_subject
from dueby_operator.cluster.nodes import DeviceKind
from dueby_operator.cluster.requests import cpus_of
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import Objects, Owner, config_map_document, job_document, queue_up
from dueby_operator.jobs.pod_templates import LISTENS, DeviceRequest, cache_config, device_pod, told_by
from dueby_operator.model.step_configs import profile_config
from dueby_operator.profiling.release_pods import LIMIT_S, RUNS, Measuring, measuring_job, subject_of
from dueby_operator.settings import OperatorSettings, ProfilerSettings

# A node may fail during the first attempt. What fails twice would fail again, and a GPU was busy with it for minutes.
RETRIES = 1
# What is measured for everybody waits this long for a device to be idle, and its Job is kept as long: what was measured
# is read within seconds, and what failed is tried again then.
PATIENCE_S = KEPT_S = 3600
Document = dict[str, Any]


def shared_name(spec: JobSpec, device_class: str, *, image: str) -> str:
    """Return the name of the Job that measures a class for everybody who waits for the same, on the same nodes.

    Jobs that select other nodes have another one, so that nobody waits for a node that somebody else has chosen.
    """
    tolerations = [toleration.document() for toleration in spec.worker.tolerations]
    place = json.dumps([spec.worker.node_selector, tolerations], sort_keys=True)
    return names.on_demand_name(device_class, str(model_subject(spec.model)), image, place)


def shared_job(
    job: InferenceJob,
    settings: OperatorSettings,
    profiler: ProfilerSettings,
    *,
    namespace: str,
    device_class: str,
    device: DeviceKind,
    avoid: Collection[str] = (),
) -> Document:
    """Return the Job that measures a class for everybody, begun for a job of this namespace."""
    worker, model = job.spec.worker, subject_of(job.spec.model)
    name = shared_name(job.spec, device_class, image=settings.image)
    labels = {**names.MANAGED, names.PROFILED: name, names.ON_DEMAND: "true", names.STEP: names.PROFILE}
    about = {names.DEVICE_CLASS: device_class, names.MODEL: str(model_subject(model)), names.BEGUN_FOR: namespace}
    measuring = Measuring(
        name=name,
        subjects=[model],
        device_class=device_class,
        device=device,
        priority=profiler.on_demand_priority,
        labels=labels,
        about=about,
        limits={"backoffLimit": RETRIES, "activeDeadlineSeconds": PATIENCE_S, "ttlSecondsAfterFinished": KEPT_S},
        avoid=avoid,
        worker=Worker(tolerations=worker.tolerations, node_selector=worker.node_selector),
    )
    body = measuring_job(measuring, settings, profiler)
    body["metadata"] = {"name": name, "namespace": profiler.namespace, **body["metadata"]}
    return {"apiVersion": "batch/v1", "kind": "Job", **body}


def private_objects(
    owner: Owner,
    settings: OperatorSettings,
    *,
    device_class: str,
    device: DeviceKind,
    avoid: Collection[str] = (),
) -> Objects:
    """Return ConfigMap and Job of what is measured for this job alone."""
    subject = str(model_subject(owner.job.spec.model))
    name = names.profiling_name(owner.name, owner.uid, device_class=device_class, model=subject)
    labels = names.labels(owner.name, names.PROFILE)
    cpus = cpus_of(device_class, settings)
    on_cpu = device.resource is None or runs_on_cpu(owner.job.spec.model.engine)
    config = {
        **profile_config(owner.job, device_class, gpu=not on_cpu, threads=cpus),
        **LISTENS,
        **cache_config(settings),
    }
    request = DeviceRequest(device=device, cpus=cpus, on_cpu=on_cpu, avoid=avoid)
    bare = _without_data(owner.job)
    pod = device_pod(bare, settings, request, runs=RUNS, told=told_by(name), labels=labels)
    # Indexed, although there is only one, since its status says which have ended, as that of a Job of workers does.
    spec = {
        "completionMode": "Indexed",
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": RETRIES,
        "activeDeadlineSeconds": LIMIT_S,
    }
    job = job_document(name, owner, labels=labels, pod=pod, spec=spec)
    job["metadata"]["annotations"] = {names.DEVICE_CLASS: device_class, names.MODEL: subject}
    queue_up(owner.job, job)
    return Objects(config_map=config_map_document(name, owner, {"config.json": config}, labels), job=job)


def _without_data(job: InferenceJob) -> Worker:
    """Return the job's workers without what leads to its data. Of the environment, what the job itself says stays.

    A network of the job's own is in one of its volumes, and is what is measured.
    """
    worker, has_file = job.spec.worker, is_own(job.spec.model.name)
    return worker.replace(
        volumes=worker.volumes if has_file else (),
        volume_mounts=worker.volume_mounts if has_file else (),
        env=tuple(one for one in worker.env if one.value_from is None),
        env_from=(),
        service_account_name=None,
    )

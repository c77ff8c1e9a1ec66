"""The Job that measures a device class for a job: one pod on one free device, which leaves the profile behind. Pure.

The pod is as a worker's would be, so that what it measures is what workers will see: its image, its environment, its
cores. It reads no image and writes no row, so it has none of the job's volumes, secrets and identities.
"""

from collections.abc import Collection, Mapping
from typing import Any

from dueby_api.engines import runs_on_cpu
from dueby_api.inference_job import InferenceJob, Model
from dueby_operator.cluster.nodes import DeviceKind
from dueby_operator.control.step_configs import profile_config
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import (
    CONFIG_FOLDER,
    PORT,
    Setting,
    config_map_document,
    cpus_of,
    device_pod,
    job_document,
    queue_up,
)

# With the image's pull; measuring itself takes 45 s, more where engines take long to build.
LIMIT_S = 600
RETRIES = 1
Document = dict[str, Any]


def subject_of(model: Model) -> str:
    """What is measured, as far as a profile depends on it."""
    return f"{model.name}-{model.image_size}-{model.precision}-{model.engine}"


def profile_objects(
    job: InferenceJob,
    document: Mapping[str, Any],
    setting: Setting,
    *,
    device_class: str,
    device: DeviceKind,
    avoid: Collection[str] = (),
) -> tuple[Document, Document]:
    """ConfigMap and Job."""
    subject = subject_of(job.spec.model)
    name = names.profiling_name(job.metadata.name, device_class, subject)
    labels = names.labels(job.metadata.name, names.PROFILE)
    cpus = cpus_of(device_class, setting)
    on_cpu = device.resource is None or runs_on_cpu(job.spec.model.engine)
    config = {
        **profile_config(job, device_class, gpu=not on_cpu, threads=cpus),
        "host": "0.0.0.0",
        "port": PORT,
    }
    pod = device_pod(
        _without_data(job),
        setting,
        step=names.PROFILE,
        cpus=cpus,
        on_cpu=on_cpu,
        config_map=name,
        labels=labels,
        device=device,
        avoid=avoid,
    )
    pod["spec"]["containers"][0] |= {
        "command": ["python", "-m", "dueby_profiler"],
        "args": ["--config", f"{CONFIG_FOLDER}/config.json"],
        "ports": [{"name": "http", "containerPort": PORT}],
    }
    # Indexed, although there is only one, since its status says which have ended, as a crew's does.
    spec = {
        "completionMode": "Indexed",
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": RETRIES,
        "activeDeadlineSeconds": LIMIT_S,
    }
    made = job_document(name, document, labels=labels, pod=pod, spec=spec)
    made["metadata"]["annotations"] = {names.DEVICE_CLASS: device_class, names.MODEL: subject}
    queue_up(job, made)
    return config_map_document(name, document, {"config.json": config}, labels), made


def _without_data(job: InferenceJob) -> InferenceJob:
    worker = job.spec.worker.replace(volumes=(), volume_mounts=(), env_from=(), service_account_name=None)
    return job.replace(spec=job.spec.replace(worker=worker))

"""The Job that measures a device class for a job: one pod on one free device, which leaves the profile behind. Pure.

The pod is as a worker's would be, so that what it measures is what workers will see: its image, its environment, its
cores. It reads no image and writes no row, so it has none of the job's volumes, secrets and identities, but the
secrets that its image is pulled with.
"""

from collections.abc import Collection

from dueby_api.engines import runs_on_cpu
from dueby_api.inference_job import InferenceJob
from dueby_api.subject import model_subject
from dueby_operator.cluster.nodes import DeviceKind
from dueby_operator.cluster.requests import cpus_of
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import Objects, Owner, config_map_document, job_document, queue_up
from dueby_operator.jobs.pod_templates import CONFIG_FOLDER, PORT, DeviceRequest, device_pod
from dueby_operator.model.step_configs import profile_config
from dueby_operator.settings import OperatorSettings

# Includes the image's pull. Measuring itself takes 45 s, more where engines take long to build.
LIMIT_S = 600
# A node may fail during the first attempt. What fails twice would fail again, and a GPU was busy with it for minutes.
RETRIES = 1
COMMAND = ["python", "-m", "dueby_profiler"]
ARGUMENTS = ["--config", f"{CONFIG_FOLDER}/config.json"]


def profile_objects(
    owner: Owner,
    settings: OperatorSettings,
    *,
    device_class: str,
    device: DeviceKind,
    avoid: Collection[str] = (),
) -> Objects:
    """Return ConfigMap and Job."""
    subject = str(model_subject(owner.job.spec.model))
    name = names.profiling_name(owner.name, owner.uid, device_class=device_class, model=subject)
    labels = names.labels(owner.name, names.PROFILE)
    cpus = cpus_of(device_class, settings)
    on_cpu = device.resource is None or runs_on_cpu(owner.job.spec.model.engine)
    config = {
        **profile_config(owner.job, device_class, gpu=not on_cpu, threads=cpus),
        "host": "0.0.0.0",
        "port": PORT,
    }
    request = DeviceRequest(device=device, cpus=cpus, on_cpu=on_cpu, avoid=avoid)
    bare = _without_data(owner.job)
    pod = device_pod(bare, settings, request, step=names.PROFILE, config_map=name, labels=labels)
    pod["spec"]["containers"][0] |= {
        "command": COMMAND,
        "args": ARGUMENTS,
        "ports": [{"name": "http", "containerPort": PORT}],
    }
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


def _without_data(job: InferenceJob) -> InferenceJob:
    """Return the job without what leads to its data. Of the environment, what is written in the job itself stays."""
    worker = job.spec.worker
    bare = worker.replace(
        volumes=(),
        volume_mounts=(),
        env=tuple(one for one in worker.env if "valueFrom" not in one),
        env_from=(),
        service_account_name=None,
    )
    return job.replace(spec=job.spec.replace(worker=bare))

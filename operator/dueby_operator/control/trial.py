"""The pod that a job is tried with before anything is reserved for it: it is never made. Pure.

The API server says of a pod what it doesn't say of a Job: that a LimitRange, Pod Security or a missing service account
forbids it. And it says it before the job waits for devices, or holds some: a mount without its volume, a request above
its limit. With what admission has made of the pod it is seen whether the sink is on a volume.

A job is tried when its spec is new, and again while the API server forbids its pods, or makes none.
"""

from typing import Any

from dueby_api.conditions import Reason
from dueby_api.engines import runs_on_cpu
from dueby_api.errors import Invalid
from dueby_api.inference_job import BUCKETS, InferenceJob, JobSpec
from dueby_api.places import place_of
from dueby_api.schema import LenientSpec
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.nodes import CPU_CLASS, DeviceKind
from dueby_operator.cluster.requests import cpus_of
from dueby_operator.control.conditions import has_reason, is_done_with
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import Owner
from dueby_operator.jobs.pod_templates import DeviceRequest, worker_pod
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import CONTAINER

Document = dict[str, Any]
_WHAT_TO_DO = (
    "Mount a volume that all nodes share, such as a persistentVolumeClaim, with spec.worker.volumes and volumeMounts, "
    f"or use {BUCKETS}"
)
# Of what a pod that is refused for these asks for there may be enough later.
_PASSING = ("exceeded quota",)


class _Mount(LenientSpec, frozen=True, kw_only=True):
    name: str = ""
    mount_path: str = ""
    read_only: bool = False


class _Container(LenientSpec, frozen=True, kw_only=True):
    name: str = ""
    volume_mounts: tuple[_Mount, ...] = ()


class _Volume(LenientSpec, frozen=True, kw_only=True):
    name: str = ""
    empty_dir: dict[str, Any] | None = None


class _PodSpec(LenientSpec, frozen=True, kw_only=True):
    containers: tuple[_Container, ...] = ()
    volumes: tuple[_Volume, ...] = ()


class _Pod(LenientSpec, frozen=True, kw_only=True):
    spec: _PodSpec = _PodSpec()


def needs_trial(job: JobSnapshot, *, now_us: int) -> bool:
    """Return whether it is asked again what the API server says of the job's pods. Pods that work are answer enough."""
    if job.has_workers or is_done_with(job) or now_us < job.memory.refused_until_us:
        return False
    is_new = job.status.observed_generation != job.generation
    return is_new or has_reason(job.status, Reason.FORBIDDEN, Reason.PODS_NOT_CREATED)


def trial_pod(owner: Owner, devices: ClusterDevices) -> Document:
    """Return a worker's pod of the class that asks for least, of those that the job may use."""
    spec = owner.job.spec
    classes = devices.classes_of(spec)
    named = spec.gpus.classes or [name for name in classes if not CPU_CLASS.match(name)]
    usable = sorted(classes.intersection(named))
    device_class = min(usable, key=lambda name: cpus_of(name, devices.settings), default="")
    request = DeviceRequest(
        device=devices.kind_of(device_class) or DeviceKind(),
        cpus=cpus_of(device_class, devices.settings),
        on_cpu=runs_on_cpu(spec.model.engine),
        memory=devices.worker_memory(spec.model, device_class),
    )
    labels = names.labels(owner.name, "work")
    pod = worker_pod(owner.job, devices.settings, request, config_map=owner.name, labels=labels)
    # A name that is always the same, so that what is said of it is, too.
    metadata = {**pod["metadata"], "namespace": owner.namespace, "name": f"{owner.name}-trial"}
    return {"apiVersion": "v1", "kind": "Pod", **pod, "metadata": metadata}


def is_passing(refusal: str, spec: JobSpec) -> bool:
    """Return whether a pod that is refused so may be taken later: a full quota is waited for where it is counted.

    So is the account that each new namespace gets within a second.
    """
    is_new_namespace = "looking up service account" in refusal and not spec.worker.service_account_name
    return is_new_namespace or any(words in refusal for words in _PASSING)


def require_kept_sink(job: InferenceJob, pod: Document) -> None:
    """Raise Invalid if the rows that a worker writes into this pod's files would go with the pod."""
    uri, place = job.spec.sink.uri[:200], place_of(job.spec.sink.uri)
    if place.scheme != "file":
        return
    spec = parse(_Pod, pod).spec
    mounts = [
        mount for container in spec.containers if container.name == CONTAINER for mount in container.volume_mounts
    ]
    holding = [mount for mount in mounts if place_of(mount.mount_path).holds(place)]
    if not holding:
        raise Invalid("spec.sink.uri", f"{uri} is on no volume, so its rows would go with the pods. {_WHAT_TO_DO}")
    mount = max(holding, key=lambda mount: len(mount.mount_path))
    if any(volume.name == mount.name and volume.empty_dir is not None for volume in spec.volumes):
        raise Invalid("spec.sink.uri", f"{uri} is in an emptyDir, which goes with its pod. {_WHAT_TO_DO}")
    if mount.read_only:
        raise Invalid("spec.sink.uri", f"{uri} is on a volume that is mounted readOnly, at {mount.mount_path}")

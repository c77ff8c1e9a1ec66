"""The Kubernetes objects of a job: index, workers, finish. Pure: from the job and what was decided to documents.

Every object is created once and never changed; what a step is told lies in an immutable ConfigMap. Settings that have
reasons: pods that lost their node are replaced after 63 s with `podReplacementPolicy: TerminatingOrFailed` and short
tolerations, and never at all with a podFailurePolicy; a TTL on a worker Job would make a stateless loop start it again.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dueby_api.engines import runs_on_cpu
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob
from dueby_api.plan import RevisionPlan
from dueby_api.schema import decode
from dueby_operator.cluster.nodes import CLASS_LABELS, CPU_CLASS, DeviceKind, quantity
from dueby_operator.control.assignments import assignment_of, planned_worker
from dueby_operator.control.model import Assignment
from dueby_operator.control.step_configs import crew_config, finish_config, index_config, own_config
from dueby_operator.jobs import names
from dueby_operator.profiling.settings import Profiler

PORT = 8080
CONFIG_FOLDER, SCRATCH = "/etc/dueby", "/tmp"
# A worker is over 2 s after SIGTERM.
GRACE_S = 5
# A pod leaves a node that doesn't answer after so many seconds, not after Kubernetes' 300.
NODE_PATIENCE_S = 5
RETRIES = 6
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
POD_SECURITY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
# The group that the image runs in, so that it may write to a volume.
FS_GROUP = 10001
CONTAINER_SECURITY = {
    **POD_SECURITY,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
TOLERATIONS: tuple[dict[str, Any], ...] = (
    *(
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": NODE_PATIENCE_S}
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    ),
    {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
)
Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all jobs of this operator have in common."""

    image: str
    """The worker image where a job names none."""
    pull_policy: str = "IfNotPresent"
    gpu_worker_cpus: int = 2
    """Cores of a GPU worker, for decoding, where the job's `worker.resources` say nothing."""
    worker_memory: str = "2Gi"
    class_labels: tuple[str, ...] = CLASS_LABELS
    """Node labels that say which GPU a node has, the first that is there."""
    profiler: Profiler | None = None
    """Profiling on nodes; None: there is none, and nothing of it is looked for."""


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """What the index step and the first plan have fixed."""

    images: int
    part_size: int
    fingerprint: str | None
    """None where there was no index step: the first worker's decides."""


def index_objects(job: InferenceJob, document: Mapping[str, Any], setting: Setting) -> list[Document]:
    """ConfigMap and Job of the index step."""
    return _step_objects(job, document, setting, "index", index_config(job))


def finish_objects(job: InferenceJob, document: Mapping[str, Any], setting: Setting) -> list[Document]:
    """ConfigMap and Job of the finish step."""
    return _step_objects(job, document, setting, "finish", finish_config(job))


def worker_objects(
    job: InferenceJob,
    document: Mapping[str, Any],
    setting: Setting,
    *,
    fixed: Fixed,
    assignments: Sequence[Assignment],
    shares: Sequence[tuple[int, int]],
    ranks: Sequence[int],
    device: DeviceKind,
    avoid: Collection[str] = (),
) -> list[Document]:
    """ConfigMap and Job of a revision's workers of one class.

    `shares` are everyone's, and `ranks` say which of them are these workers'; nodes to `avoid` are not used.
    """
    first = assignments[0]
    name = names.workers_name(job.metadata.name, first.revision, first.device_class)
    labels = {**names.labels(job.metadata.name, "work"), names.REVISION: str(first.revision)}
    common = crew_config(
        job,
        first,
        threads=cpus_of(first.device_class, setting),
        images=fixed.images,
        part_size=fixed.part_size,
        fingerprint=fixed.fingerprint,
    )
    config = {
        **common,
        "host": "0.0.0.0",
        "port": PORT,
        "cacheDir": f"{SCRATCH}/dueby",
        "shares": [list(share) for share in shares],
        "workers": [own_config(a, rank=rank) for rank, a in zip(ranks, assignments, strict=True)],
    }
    work = job_document(
        name,
        document,
        labels=labels,
        pod=worker_pod(job, setting, first=first, config_map=name, labels=labels, device=device, avoid=avoid),
        spec={
            "completionMode": "Indexed",
            "completions": len(assignments),
            "parallelism": len(assignments),
            "backoffLimitPerIndex": RETRIES,
            "podReplacementPolicy": "TerminatingOrFailed",
        },
    )
    work["metadata"]["annotations"] = {names.DEVICE_CLASS: first.device_class}
    queue_up(job, work)
    plan = RevisionPlan(assignments=tuple(planned_worker(assignment) for assignment in assignments)).document()
    return [config_map_document(name, document, {"config.json": config, "plan.json": plan}, labels), work]


def queue_up(job: InferenceJob, work: Document) -> None:
    """Have Kueue set the Job going, where the InferenceJob names a queue."""
    if job.spec.queue_name:
        work["metadata"]["labels"] |= {names.QUEUE: job.spec.queue_name}
        work["spec"]["suspend"] = True


def cpus_of(device_class: str, setting: Setting) -> int:
    """Cores of a worker on such a device."""
    cores = CPU_CLASS.match(device_class)
    return int(cores[1]) if cores else setting.gpu_worker_cpus


def worker_pod(
    job: InferenceJob,
    setting: Setting,
    *,
    first: Assignment,
    config_map: str,
    labels: Mapping[str, str],
    device: DeviceKind,
    avoid: Collection[str] = (),
) -> Document:
    """The pod of a worker: a step's pod with its device, its port and its probes."""
    pod = device_pod(
        job,
        setting,
        step="work",
        cpus=cpus_of(first.device_class, setting),
        on_cpu=runs_on_cpu(first.choice.engine),
        config_map=config_map,
        labels=labels,
        device=device,
        avoid=avoid,
    )
    pod["spec"]["containers"][0] |= {
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 5},
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "http"},
            "initialDelaySeconds": 30,
            "periodSeconds": 20,
            "timeoutSeconds": 10,
        },
    }
    return pod


def device_pod(
    job: InferenceJob,
    setting: Setting,
    *,
    step: str,
    cpus: int,
    on_cpu: bool,
    config_map: str,
    labels: Mapping[str, str],
    device: DeviceKind,
    avoid: Collection[str] = (),
) -> Document:
    """A step's pod with a device, on a node that has one and is not to be avoided; of a slow node's class, on that."""
    resource = {device.resource: "1"} if device.resource else {}
    # A CPU engine's threads are its cores; a GPU's worker may use more than it asked for while it decodes.
    limits = {**resource, **({"cpu": str(cpus)} if on_cpu else {})}
    pod = step_pod(
        job,
        setting,
        step=step,
        config_map=config_map,
        requests={"cpu": str(cpus), "memory": setting.worker_memory, **resource},
        limits=limits,
        labels=labels,
    )
    if device.selector:
        pod["spec"]["nodeSelector"] = {**pod["spec"].get("nodeSelector", {}), **device.selector}
    where = [("In", name) for name in [device.node] if name] + [("NotIn", name) for name in sorted(avoid)]
    if where:
        fields = [{"key": "metadata.name", "operator": operator, "values": [name]} for operator, name in where]
        pod["spec"]["affinity"] = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchFields": fields}]}}}
    return pod


def worker_requests(job: InferenceJob, setting: Setting, device_class: str) -> dict[str, float]:
    """What a worker on such a device asks for besides the device, by resource; `pods` is 1."""
    asked = {
        "cpu": cpus_of(device_class, setting),
        "memory": setting.worker_memory,
        **(job.spec.worker.resources or {}).get("requests", {}),
    }
    try:
        return {**{name: quantity(value) for name, value in asked.items()}, "pods": 1.0}
    except ValueError as error:
        raise Invalid("spec.worker.resources.requests", str(error)) from None


def read_assignments(config_map: Mapping[str, Any]) -> list[Assignment]:
    """Return the assignments that a revision's ConfigMap holds, in the order of the Job's indices."""
    plan = decode(RevisionPlan, config_map["data"]["plan.json"])
    return [assignment_of(worker) for worker in plan.assignments]


def _step_objects(
    job: InferenceJob, document: Mapping[str, Any], setting: Setting, step: str, config: Document
) -> list[Document]:
    name, labels = names.step_name(job.metadata.name, step), names.labels(job.metadata.name, step)
    asked = {"cpu": "100m", "memory": "1Gi"}
    pod = step_pod(job, setting, step=step, config_map=name, requests=asked, limits={}, labels=labels)
    spec = {"completions": 1, "parallelism": 1, "backoffLimit": 2}
    return [
        config_map_document(name, document, {"config.json": config}, labels),
        job_document(name, document, labels=labels, pod=pod, spec=spec),
    ]


def step_pod(
    job: InferenceJob,
    setting: Setting,
    *,
    step: str,
    config_map: str,
    requests: Mapping[str, str],
    limits: Mapping[str, str],
    labels: Mapping[str, str],
) -> Document:
    """The pod of a step: Pod Security "restricted", without Kubernetes credentials, the job's typed fields on top."""
    worker = job.spec.worker
    resources = worker.resources or {}
    container = {
        "name": "dueby",
        "image": worker.image or setting.image,
        "imagePullPolicy": setting.pull_policy,
        "args": [step, "--config", f"{CONFIG_FOLDER}/config.json"],
        "env": [{"name": "HOME", "value": SCRATCH}, *worker.env],
        "envFrom": list(worker.env_from),
        "resources": {
            "requests": {**requests, **resources.get("requests", {})},
            "limits": {**limits, **resources.get("limits", {})},
        },
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            {"name": "dueby-config", "mountPath": CONFIG_FOLDER, "readOnly": True},
            {"name": "dueby-scratch", "mountPath": SCRATCH},
            *worker.volume_mounts,
        ],
    }
    optional = {
        "serviceAccountName": worker.service_account_name,
        "nodeSelector": worker.node_selector,
        "priorityClassName": worker.priority_class_name,
    }
    config = {"name": config_map, "items": [{"key": "config.json", "path": "config.json"}]}
    return {
        "metadata": {"labels": {**(worker.labels or {}), **labels}, "annotations": dict(worker.annotations or {})},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": GRACE_S,
            "securityContext": {**POD_SECURITY, "fsGroup": FS_GROUP, "fsGroupChangePolicy": "OnRootMismatch"},
            "containers": [container],
            "volumes": [
                {"name": "dueby-config", "configMap": config},
                {"name": "dueby-scratch", "emptyDir": {}},
                *worker.volumes,
            ],
            "tolerations": [*TOLERATIONS, *worker.tolerations],
            "imagePullSecrets": list(worker.image_pull_secrets),
            **{name: value for name, value in optional.items() if value},
        },
    }


def job_document(
    name: str, document: Mapping[str, Any], *, labels: Mapping[str, str], pod: Document, spec: Document
) -> Document:
    """A Job that goes with the InferenceJob."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(name, document, labels),
        "spec": {**spec, "template": pod},
    }


def config_map_document(
    name: str, document: Mapping[str, Any], data: Mapping[str, Document], labels: Mapping[str, str]
) -> Document:
    """What a Job's pods are told, which never changes."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(name, document, labels),
        "immutable": True,
        "data": {key: json.dumps(value, separators=(",", ":")) for key, value in data.items()},
    }


def _metadata(name: str, document: Mapping[str, Any], labels: Mapping[str, str]) -> Document:
    return {
        "name": name,
        "namespace": document["metadata"]["namespace"],
        "labels": dict(labels),
        "ownerReferences": [names.owner(document)],
    }

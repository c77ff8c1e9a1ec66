"""The pods of a job's steps: Pod Security "restricted", no Kubernetes credentials, the job's fields on top. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dueby_api.inference_job import InferenceJob, Worker
from dueby_api.schema import Spec
from dueby_api.step_config import LOSSES_VARIABLE
from dueby_operator.cluster.nodes import DeviceKind
from dueby_operator.cluster.requests import TOLERATIONS, container_resources
from dueby_operator.objects.pods import CONTAINER
from dueby_operator.settings import OperatorSettings

# Of /metrics, /progress and /parts, in each pod's own network.
PORT = 8080
# What a step reads of it.
LISTENS = {"host": "0.0.0.0", "port": PORT}
PORTS = {"ports": [{"name": "http", "containerPort": PORT}]}
CONFIG_FOLDER, SCRATCH, CACHE = "/etc/dueby", "/tmp", "/var/cache/dueby"
READS_CONFIG = ["--config", f"{CONFIG_FOLDER}/config.json"]
# A step is gone 2 s after SIGTERM, and a worker 2 s after the time that it has for its open part.
GRACE_S = 5
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED, MAX_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution", 100
POD_SECURITY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
# The group that the image runs in, so that it may write to a volume.
FS_GROUP = 10001
VOLUME_SECURITY = {"fsGroup": FS_GROUP, "fsGroupChangePolicy": "OnRootMismatch"}
CONTAINER_SECURITY = {
    **POD_SECURITY,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
CONFIG_MOUNTS = (
    {"name": "dueby-config", "mountPath": CONFIG_FOLDER, "readOnly": True},
    {"name": "dueby-scratch", "mountPath": SCRATCH},
)
Document = dict[str, Any]
# The Job's controller writes on each pod how many of the same index failed before it.
LOSSES: Document = {
    "name": LOSSES_VARIABLE,
    "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-index-failure-count']"}},
}


@dataclass(frozen=True, kw_only=True)
class PodRequest:
    """What distinguishes pods."""

    runs: Document
    """What its container runs: a command, arguments, ports."""
    told: Document
    """The volume that holds what it is told, config.json, but for its name."""
    labels: Mapping[str, str]
    requests: Mapping[str, str]
    limits: Mapping[str, str] = field(default_factory=dict)


def runs_step(step: str) -> Document:
    return {"args": [step, *READS_CONFIG]}


def told_by(config_map: str) -> Document:
    return {"configMap": {"name": config_map, "items": [{"key": "config.json", "path": "config.json"}]}}


def step_pod(worker: Worker, settings: OperatorSettings, request: PodRequest) -> Document:
    resources = container_resources(worker.resources, settings, requests=request.requests, limits=request.limits)
    container = {
        "name": CONTAINER,
        "image": worker.image or settings.image,
        "imagePullPolicy": settings.pull_policy,
        **request.runs,
        "env": [{"name": "HOME", "value": SCRATCH}, *documents(worker.env)],
        "envFrom": documents(worker.env_from),
        "resources": resources.document(),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [*CONFIG_MOUNTS, *documents(worker.volume_mounts)],
    }
    optional = {
        "serviceAccountName": worker.service_account_name,
        "nodeSelector": worker.node_selector,
        "priorityClassName": worker.priority_class_name,
    }
    return {
        "metadata": {
            # Ours come last: the operator finds its pods by them.
            "labels": {**(worker.labels or {}), **request.labels},
            "annotations": dict(worker.annotations or {}),
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": GRACE_S,
            "securityContext": {**POD_SECURITY, **VOLUME_SECURITY},
            "containers": [container],
            "volumes": [
                {"name": "dueby-config", **request.told},
                # A pod that writes more than this is evicted, before its node's disk is full.
                {"name": "dueby-scratch", "emptyDir": {"sizeLimit": settings.scratch_size}},
                *documents(worker.volumes),
            ],
            "tolerations": [*TOLERATIONS, *documents(worker.tolerations)],
            "imagePullSecrets": documents(worker.image_pull_secrets),
            **{name: value for name, value in optional.items() if value},
        },
    }


def documents(parts: Iterable[Spec]) -> list[Document]:
    """Return parts of a pod as Kubernetes spells them."""
    return [part.document() for part in parts]


def add_cache(pod: Document, settings: OperatorSettings) -> None:
    """Mount the chart's volume for compiled models in the pod's container, if there is one."""
    if settings.cache is not None:
        pod["spec"]["volumes"].append({"name": "dueby-cache", **settings.cache.document()})
        pod["spec"]["containers"][0]["volumeMounts"].append({"name": "dueby-cache", "mountPath": CACHE})


def cache_config(settings: OperatorSettings) -> Document:
    """Return where in that volume compiled models are kept; nothing if there is none."""
    # Kubernetes lets a group write to the volume itself. Whoever can write there could run code in the pod, so the
    # worker takes only a folder that is its own.
    return {} if settings.cache is None else {"cacheDir": f"{CACHE}/compiled"}


@dataclass(frozen=True, kw_only=True)
class DeviceRequest:
    """The device that a pod is to have, and where it may be."""

    device: DeviceKind
    cpus: int
    on_cpu: bool
    """Whether its engine runs on CPUs, whatever device it has."""
    avoid: Collection[str] = ()
    """Nodes that it keeps off."""
    rather: Collection[str] = ()
    """Nodes that it is put on if one of them has room."""
    among: Sequence[Sequence[Document]] = ()
    """Lists of expressions of which its node's labels meet one; empty: any labels do."""
    memory: str | None = None
    """What it asks for if the job doesn't say; None: what the settings say."""


def device_pod(
    worker: Worker,
    settings: OperatorSettings,
    request: DeviceRequest,
    *,
    runs: Document,
    told: Document,
    labels: Mapping[str, str],
) -> Document:
    """Return a pod with a device; if that is of a slow node's own class, on that node."""
    device = request.device
    resource = {device.resource: "1"} if device.resource else {}
    cpus = str(request.cpus)
    pod = step_pod(
        worker,
        settings,
        PodRequest(
            runs=runs,
            told=told,
            labels=labels,
            requests={"cpu": cpus, "memory": request.memory or settings.worker_memory, **resource},
            # A CPU engine's threads are its cores. A GPU's worker may use more than it asked for while it decodes.
            limits={**resource, **({"cpu": cpus} if request.on_cpu else {})},
        ),
    )
    add_cache(pod, settings)
    runtime_class = worker.runtime_class_name or settings.runtime_class
    if device.resource and runtime_class:
        pod["spec"]["runtimeClassName"] = runtime_class
    if device.selector:
        pod["spec"]["nodeSelector"] = {**pod["spec"].get("nodeSelector", {}), **device.selector}
    if affinity := _node_affinity(request):
        pod["spec"]["affinity"] = affinity
    return pod


def worker_pod(
    job: InferenceJob,
    settings: OperatorSettings,
    request: DeviceRequest,
    *,
    config_map: str,
    labels: Mapping[str, str],
) -> Document:
    """Return the pod of a worker: a pod with its device, its port and its probes."""
    runs, told = {**runs_step("work"), **PORTS}, told_by(config_map)
    pod = device_pod(job.spec.worker, settings, request, runs=runs, told=told, labels=labels)
    pod["spec"]["terminationGracePeriodSeconds"] = settings.worker_grace_s + GRACE_S
    if job.spec.deadline_class == "BestEffort" and settings.best_effort_priority:
        pod["spec"].setdefault("priorityClassName", settings.best_effort_priority)
    pod["spec"]["containers"][0]["env"].append(LOSSES)
    pod["spec"]["containers"][0] |= {
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 5},
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "http"},
            "initialDelaySeconds": 30,
            "periodSeconds": 20,
            "timeoutSeconds": 10,
        },
    }
    return pod


def _node_affinity(request: DeviceRequest) -> Document | None:
    """Return what holds a pod on nodes that have the device, and keeps it off others; None if nothing does.

    Of the nodes that are left, those are preferred that it is to be on `rather`, or the first of them: a pod is a small
    document.
    """
    device, avoid, rather = request.device, request.avoid, request.rather
    names = [*([("In", device.node)] if device.node else []), *(("NotIn", name) for name in sorted(avoid))]
    preferred = sorted(set(rather).difference(avoid))[:MAX_PREFERRED]
    required = _on_nodes(*names) if names else {}
    if device.without_labels:
        required["matchExpressions"] = [{"key": key, "operator": "DoesNotExist"} for key in device.without_labels]
    terms = [required] if required else []
    for key, value in device.if_labelled.items():
        either = ({"key": key, "operator": "DoesNotExist"}, {"key": key, "operator": "In", "values": [value]})
        terms = _meeting_one(terms, [[expression] for expression in either])
    if request.among:
        terms = _meeting_one(terms, request.among)
    affinity: Document = {}
    if terms:
        affinity[REQUIRED] = {"nodeSelectorTerms": terms}
    if preferred:
        affinity[PREFERRED] = [{"weight": 100, "preference": _on_nodes(("In", name))} for name in preferred]
    return {"nodeAffinity": affinity} if affinity else None


def _meeting_one(terms: Sequence[Document], alternatives: Sequence[Sequence[Document]]) -> list[Document]:
    """Return terms for nodes that meet one of these, if there are any, and all expressions of one alternative."""
    return [
        {**term, "matchExpressions": [*term.get("matchExpressions", ()), *expressions]}
        for term in terms or [{}]
        for expressions in alternatives
    ]


def _on_nodes(*where: tuple[str, str]) -> Document:
    return {
        "matchFields": [{"key": "metadata.name", "operator": operator, "values": [name]} for operator, name in where]
    }

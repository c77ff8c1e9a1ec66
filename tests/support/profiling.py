"""Parts of tests of profiling in a cluster: a node with GPUs, and a Job that measures, in its states."""

from collections.abc import Mapping
from typing import Any

from dueby_api.gpu_profile import GPUProfile, parse_profile
from dueby_api.packed_profile import pack_profile
from dueby_api.status import Condition
from dueby_operator.cluster.nodes import Node, read_node
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.writes import Create
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from support.decisions import MADE, Look, infj, job, look, pod_of
from support.operator import profile

A100, L4 = "NVIDIA-A100-SXM4-40GB", "NVIDIA-L4"


def gpu_node(
    name: str = "gpu", product: str = A100, *, gpus: int = 4, labels: Mapping[str, str] | None = None, **spec: Any
) -> Node:
    """Return a node with GPUs of a product."""
    allocatable = {"cpu": "16", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    return read_node(
        parse(
            NodeObject,
            {
                "metadata": {
                    "name": name,
                    "uid": f"uid-{name}",
                    "labels": {"nvidia.com/gpu.product": product, **(labels or {})},
                },
                "spec": spec,
                "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]},
            },
        )
    )


def nodes(*found: Node) -> dict[str, Node]:
    """Return the nodes by name."""
    return {node.name: node for node in found}


TWO = nodes(gpu_node("gpu-0", A100), gpu_node("gpu-1", L4))


def created(found: Look) -> list[Create]:
    """Return the Jobs that measure, out of all that are created."""
    return [create for create in found.created if "-profile-" in create.job["metadata"]["name"]]


def classes_begun(found: Look) -> list[str]:
    """Return the classes that these measure."""
    return [create.job["metadata"]["annotations"]["dueby.dev/device-class"] for create in created(found)]


def condition(found: Look, kind: str = "Profiled") -> Condition:
    """Return what the job's condition says of its profiles, or another one."""
    return found.condition(kind)


def seen(document: dict[str, Any], *jobs: dict[str, Any], pods: list[dict[str, Any]], **more: Any) -> JobSnapshot:
    """Return the job with its Jobs that measure."""
    return job(document, profiling=jobs, pods=pods, **more)


def begun(*products: str, **spec: Any) -> list[Create]:
    """Return the Jobs that are created for a job on nodes of these products."""
    there = nodes(*(gpu_node(f"gpu-{i}", product) for i, product in enumerate(products)))
    return created(look(infj(**spec), profiles=(), nodes=there))


def job_of(create: Create, **conditions: str) -> dict[str, Any]:
    """Return the Job once it exists; `Complete` or `Failed` with a reason once it has ended."""
    ended = [{"type": name, "status": "True", "reason": reason} for name, reason in conditions.items()]
    return create.job | {
        "metadata": {**create.job["metadata"], "uid": "j", "creationTimestamp": MADE},
        "status": {"conditions": ended},
    }


def ended_pod(create: Create, message: str, *, code: int = 0, node: str = "gpu-0") -> dict[str, Any]:
    """Return its pod once it has ended with this message."""
    terminated = {"exitCode": code, "message": message, "finishedAt": MADE}
    phase = "Failed" if code else "Succeeded"
    return pod_of(
        create, node=node, phase=phase, containerStatuses=[{"name": "dueby", "state": {"terminated": terminated}}]
    )


def measured(device_class: str = A100, **changes: Any) -> GPUProfile:
    """Return the profile that a pod has measured of a device."""
    found = profile(device_class)
    return found.replace(spec=found.spec.replace(**changes))


def words(found: GPUProfile) -> str:
    """Return a pod's termination message."""
    return f'{{"profile":"{pack_profile(found.spec)}"}}'


def on(node: str, ms: int | Mapping[int, int], device_class: str = L4, **spec: Any) -> GPUProfile:
    """Return what was measured on a node: L by size, or that of 16 images."""
    steps = [
        {"miniBatchSize": size, "latencyMicros": {"mean": found * 1000}, "warmupMicros": {"p50": 1, "p95": 1}}
        for size, found in ({16: ms} if isinstance(ms, int) else ms).items()
    ]
    document = profile(device_class).document()
    document["metadata"]["name"] = f"{device_class}-on-{node}-{spec.get('engine', '')}".lower().rstrip("-")
    document["spec"] |= {"device": {"node": node}, "steps": steps, **spec}
    return parse_profile(document)

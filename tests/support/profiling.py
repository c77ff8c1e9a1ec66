"""Parts of tests of profiling in a cluster: a node with GPUs, and a Job that measures, in its states."""

from collections.abc import Mapping
from typing import Any

from dueby_api.gpu_profile import GPUProfile
from dueby_api.packed_profile import pack_profile
from dueby_operator.cluster.nodes import Node, read_node
from dueby_operator.model.writes import Create
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from support.decisions import MADE, Look, infj, look, pod_of
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


def created(found: Look) -> list[Create]:
    """Return the Jobs that measure, out of all that are created."""
    return [create for create in found.created if "-profile-" in create.job["metadata"]["name"]]


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
    return pod_of(create, node=node, phase=phase, containerStatuses=[{"state": {"terminated": terminated}}])


def measured(device_class: str = A100, **changes: Any) -> GPUProfile:
    """Return the profile that a pod has measured of a device."""
    found = profile(device_class)
    return found.replace(spec=found.spec.replace(**changes))


def words(found: GPUProfile) -> str:
    """Return a pod's termination message."""
    return f'{{"profile":"{pack_profile(found.spec)}"}}'

"""A site whose nodes were measured, and what changes on it afterwards."""

from datetime import timedelta
from typing import Any

from dueby_api.gpu_profile import Device, GPUProfile, ObservedJob
from dueby_operator.cluster.nodes import Node
from dueby_operator.model.writes import Add, Write
from support.node_profiles import DIGEST, NIGHT, Site, spec_of
from support.profiling import A100, gpu_node

CLASS = "nvidia-a100-sxm4-40gb-efficientnet-lite0-224-fp32-openvino"
OWN = f"{CLASS}-gpu"
DRIVER = "nvidia.com/cuda.driver-version.full"


def with_driver(version: str, name: str = "gpu") -> Node:
    """Return a node with GPUs and their driver."""
    return gpu_node(name, labels={DRIVER: version})


def measured_site(*nodes: Node, generation: int = 1, **changes: Any) -> Site:
    """Every node was measured, and there is nothing left to do."""
    site = Site(nodes=list(nodes) or [with_driver("580.95.05")], generation=generation)
    site.settle()
    for node in site.nodes:
        measure(site, f"first-{node.name}", node=node.name, **changes)
    return site


def measure(site: Site, job: str, *, node: str = "gpu", days: int = 0, image: str = DIGEST, **changes: Any) -> None:
    """A Job of the node's has measured it, and is over."""
    spec = spec_of(A100, days=days, **{"device": Device(uuid=f"GPU-{node}"), **changes})
    site.measure(spec, node=node, job=job, image=image)
    site.end(job)
    site.settle()


def jobs(writes: list[Write]) -> list[dict[str, Any]]:
    """Return the Jobs that are created."""
    return [write.document for write in writes if isinstance(write, Add) and write.document["kind"] == "Job"]


def drift(site: Site, case: str) -> None:
    """Change the cluster so that what was measured is not so any more."""
    match case:
        case "driver":
            site.nodes = [with_driver("590.48.01")]
        case "image":
            site.image = "dueby/worker:2"
            site.reconcile()  # first the CronJob, so that nothing is measured with the image from before
        case "steps":
            site.profiles[CLASS] = shown(site.profiles[CLASS], ratios=(1.2, 1.25, 1.3))


def shown(profile: GPUProfile, *, ratios: tuple[float, ...], hours: int = 1) -> GPUProfile:
    """What jobs have shown of a class so long after it was measured."""
    time = NIGHT + timedelta(hours=hours)
    rows = (
        ObservedJob(job=str(i), time=time + timedelta(minutes=i), workers=1, steps=100, step_ratio=ratio)
        for i, ratio in enumerate(ratios)
    )
    return profile.replace(spec=profile.spec.replace(observed=tuple(rows)))

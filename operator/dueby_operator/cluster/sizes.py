"""How many devices of each class a cluster has, and how many of them are free: for people to see. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from dueby_api.inference_job import JobSpec
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.nodes import Node, has_slices, is_open, workers_within
from dueby_operator.cluster.requests import tolerations_of, worker_requests
from dueby_operator.cluster.stacks import PER_NODE


@dataclass(frozen=True, kw_only=True)
class Size:
    """The devices of a class on nodes that are there."""

    devices: int
    free: int


def gpu_sizes(devices: ClusterDevices, classes: Collection[str]) -> dict[str, Size]:
    """Return the sizes of these classes of GPUs; a GPU is free if no pod has it, whatever else its node lacks."""
    found = dict.fromkeys(classes, Size(devices=0, free=0))
    for node in devices.open_nodes:
        for name, kind in node.devices.items():
            if name in found and node.is_ready:
                size, free = found[name], min(kind.count, workers_within(node.free, kind.request))
                found[name] = Size(devices=size.devices + kind.count, free=size.free + free)
    return found


def slice_sizes(devices: ClusterDevices, users: Mapping[str, JobSpec]) -> dict[str, Size]:
    """Return the sizes of these classes of CPU slices, each as what a job that uses it asks for fits on the nodes."""
    return {name: _slices(devices, name, spec) for name, spec in users.items()}


def _slices(devices: ClusterDevices, device_class: str, spec: JobSpec) -> Size:
    asked = worker_requests(spec, devices.settings, device_class)
    per_node = {name: asked[name] for name in PER_NODE}
    tolerations = tolerations_of(spec)

    def is_usable(node: Node) -> bool:
        return has_slices(node, device_class) and is_open(node, tolerations=tolerations, selector=None)

    nodes = [node for node in devices.open_nodes if is_usable(node)]
    return Size(
        devices=sum(workers_within(node.allocatable, per_node) for node in nodes),
        free=sum(workers_within(node.free, per_node) for node in nodes),
    )

"""A device's allotment: what of its node's cores and memory belongs to it, and a worker may ask for at most. Pure.

A node's devices are one layout: each has its allotment, whoever uses the others. So devices are counted and not packed,
and what one job asks for takes no device from another. The allotment is what the settings say for every worker or, if
that is more, a fair share of the node. A CPU slice has its own cores.
"""

from collections.abc import Mapping
from math import floor

from dueby_api.quantities import quantity
from dueby_operator.cluster.nodes import ROUNDING, SLICE, Node, kind_on
from dueby_operator.settings import OperatorSettings

# What bounds workers on a node, besides their device.
PER_NODE = ("cpu", "memory", "pods")
# How much of a node is divided among its devices. The rest is left to DaemonSets and other pods: each device is to have
# its allotment beside them.
DIVIDED = 0.9


def allotment_of(node: Node, device_class: str, settings: OperatorSettings) -> Mapping[str, float]:
    """Return the most that a worker on such a device of the node may ask for, by resource: cores, and bytes of memory.

    Empty if the node has no device of the class.
    """
    kind = kind_on(node, device_class)
    if kind is None:
        return {}
    is_slice = kind.resource == SLICE
    count = kind.count if is_slice else sum(device.count for device in node.devices.values())
    usual = {"cpu": float(settings.gpu_worker_cpus), "memory": quantity(settings.worker_memory)}
    allotment = {}
    for name, amount in usual.items():
        whole = node.allocatable.get(name, 0.0)
        allotment[name] = min(whole, max(amount, DIVIDED * whole / max(1, count)))
    return {**allotment, "cpu": float(node.slice_cpus)} if is_slice else allotment


def share_of_cores(node: Node, device_class: str, settings: OperatorSettings) -> int:
    """Return the cores that each worker on the node may ask for, so that all of its GPUs have a worker.

    That is a GPU's allotment, or less where pods other than workers have more of the node than was left to them; but
    never less than what workers are counted by. 0 if the node has no GPU of the class.
    """
    allotment = allotment_of(node, device_class, settings)
    if not allotment:
        return 0
    left = {name: node.free.get(name, 0.0) + node.workers.get(name, 0.0) for name in ("cpu", *_resources(node))}
    devices = sum(left[name] for name in _resources(node))
    share = min(allotment["cpu"], left["cpu"] / max(1.0, devices))
    return max(settings.gpu_worker_cpus, floor(share + ROUNDING))


def _resources(node: Node) -> set[str]:
    """Return the extended resources of the node's GPUs."""
    return {kind.resource for kind in node.devices.values() if kind.resource}


def fits_allotment(allotment: Mapping[str, float], requests: Mapping[str, float]) -> bool:
    """Return whether a worker asks for no more than a device's allotment; never if there is no device."""
    return bool(allotment) and all(requests.get(name, 0.0) <= amount + ROUNDING for name, amount in allotment.items())

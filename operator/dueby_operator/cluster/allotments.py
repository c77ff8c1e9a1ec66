"""A device's allotment: what of its node's cores and memory belongs to it, and a worker may ask for at most. Pure.

A node's devices are one layout: each has its allotment, whoever uses the others. So devices are counted and not packed,
and what one job asks for takes no device from another. The allotment is what the settings say for every worker or, if
that is more, a fair share of the node. A CPU slice has its own cores.
"""

from collections.abc import Mapping

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


def fits_allotment(allotment: Mapping[str, float], requests: Mapping[str, float]) -> bool:
    """Return whether a worker asks for no more than a device's allotment; never if there is no device."""
    return bool(allotment) and all(requests.get(name, 0.0) <= amount + ROUNDING for name, amount in allotment.items())

"""Nodes, what keeps pods off them, and ResourceQuotas."""

from dueby_api.quantities import Amount
from dueby_api.schema import LenientSpec, field
from dueby_operator.objects.meta import KubeObject, StatusCondition


class Taint(LenientSpec, frozen=True, kw_only=True):
    """What keeps pods off a node."""

    key: str = ""
    value: str = ""
    effect: str = ""


class Toleration(LenientSpec, frozen=True, kw_only=True):
    """A taint that a pod tolerates."""

    key: str = ""
    """Empty: any."""
    operator: str = ""
    """Exists or Equal, which is the default."""
    value: str = ""
    effect: str = ""
    """Empty: any."""

    def covers(self, taint: Taint) -> bool:
        """Return whether a pod with this toleration tolerates the taint."""
        if self.effect not in ("", taint.effect):
            return False
        if self.operator == "Exists":
            return self.key in ("", taint.key)
        return (self.key, self.value) == (taint.key, taint.value)


class NodeSpec(LenientSpec, frozen=True, kw_only=True):
    """What is said of a node."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(LenientSpec, frozen=True, kw_only=True):
    """What a node has, and how it is."""

    allocatable: dict[str, Amount] = field(default_factory=dict)
    conditions: tuple[StatusCondition, ...] = ()


class NodeObject(KubeObject, frozen=True, kw_only=True):
    """A node as the API server shows it; cluster/nodes.py makes a Node of it."""

    spec: NodeSpec = field(default_factory=NodeSpec)
    status: NodeStatus = field(default_factory=NodeStatus)


class QuotaStatus(LenientSpec, frozen=True, kw_only=True):
    """What a ResourceQuota allows and what is used of it."""

    hard: dict[str, Amount] = field(default_factory=dict)
    used: dict[str, Amount] = field(default_factory=dict)


class ResourceQuota(KubeObject, frozen=True, kw_only=True):
    """A bound on what the pods of a namespace ask for together."""

    status: QuotaStatus = field(default_factory=QuotaStatus)

"""ProvisioningRequests: what an autoscaler says of nodes that it was asked for."""

from dueby_api.capacity import ATOMIC_CLASS
from dueby_api.schema import LenientSpec, field
from dueby_operator.objects.meta import KubeObject, StatusCondition
from dueby_operator.objects.parse import micros_of

# After these no more nodes are made for it, whatever was said before.
_REFUSALS = ("Failed", "CapacityRevoked", "BookingExpired")
# What a condition says of the request by its type and status, the weightiest first.
_TOLD = {
    **{(kind, "True"): f"is {kind}" for kind in (*_REFUSALS, "Provisioned")},
    ("Provisioned", "False"): "is not Provisioned yet",
    ("Accepted", "True"): "is Accepted",
}


class ProvisioningRequestSpec(LenientSpec, frozen=True, kw_only=True):
    """What is asked for."""

    provisioning_class_name: str = ""


class ProvisioningRequestStatus(LenientSpec, frozen=True, kw_only=True):
    """What has become of it."""

    conditions: tuple[StatusCondition, ...] = ()


class ProvisioningRequest(KubeObject, frozen=True, kw_only=True):
    """A ProvisioningRequest."""

    spec: ProvisioningRequestSpec = field(default_factory=ProvisioningRequestSpec)
    status: ProvisioningRequestStatus = field(default_factory=ProvisioningRequestStatus)

    @property
    def refusal(self) -> StatusCondition | None:
        """The condition by which no more nodes are made for it; None while they may be."""
        true = {condition.type: condition for condition in self.status.conditions if condition.status == "True"}
        return next((true[kind] for kind in _REFUSALS if kind in true), None)

    @property
    def refused_us(self) -> int:
        """When it was refused, in microseconds since 1970; 0 if it wasn't, or nobody says when."""
        return (self.refusal and micros_of(self.refusal.last_transition_time)) or 0

    @property
    def is_hopeless(self) -> bool:
        """Whether no node of it is on its way.

        Of the class that makes nodes, the booking begins when they are asked for, and ends ten minutes later: before
        some have come.
        """
        makes_nodes = self.spec.provisioning_class_name == ATOMIC_CLASS
        return self.refusal is not None and not (makes_nodes and self.refusal.type == "BookingExpired")

    @property
    def told(self) -> str:
        """What the autoscaler says of it, as a clause."""
        conditions = {(condition.type, condition.status): condition for condition in self.status.conditions}
        for key, words in _TOLD.items():
            if condition := conditions.get(key):
                why = (condition.message or condition.reason).removesuffix(".")
                return f"ProvisioningRequest {self.name} {words}: {why}"
        return f"no autoscaler has answered ProvisioningRequest {self.name}"

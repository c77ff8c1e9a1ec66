"""ProvisioningRequests: what an autoscaler says of nodes that it was asked for."""

from dueby_api.schema import LenientSpec, field
from dueby_operator.objects.meta import KubeObject, StatusCondition
from dueby_operator.objects.parse import micros_of

# After these nothing comes of it for a pod that still waits for a node, whatever was said before.
_REFUSALS = ("Failed", "CapacityRevoked", "BookingExpired")


class ProvisioningRequestStatus(LenientSpec, frozen=True, kw_only=True):
    """What has become of it."""

    conditions: tuple[StatusCondition, ...] = ()


class ProvisioningRequest(KubeObject, frozen=True, kw_only=True):
    """A ProvisioningRequest."""

    status: ProvisioningRequestStatus = field(default_factory=ProvisioningRequestStatus)

    @property
    def refusal(self) -> StatusCondition | None:
        """The condition by which no more nodes come of it; None while they may."""
        true = {condition.type: condition for condition in self.status.conditions if condition.status == "True"}
        return next((true[kind] for kind in _REFUSALS if kind in true), None)

    @property
    def refused_us(self) -> int:
        """When it was refused, in microseconds since 1970; 0 if it wasn't, or nobody says when."""
        return (self.refusal and micros_of(self.refusal.last_transition_time)) or 0

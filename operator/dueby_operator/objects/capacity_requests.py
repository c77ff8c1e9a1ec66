"""ProvisioningRequests and CapacityBuffers: what an autoscaler says of nodes that it was asked for."""

from collections.abc import Mapping
from typing import ClassVar

from dueby_api.capacity import ATOMIC_CLASS, RequestKind
from dueby_api.schema import LenientSpec, field
from dueby_operator.objects.meta import KubeObject, StatusCondition
from dueby_operator.objects.parse import micros_of

Said = tuple[str, str]
"""The type of a condition, and its status."""


class CapacityRequestStatus(LenientSpec, frozen=True, kw_only=True):
    """What has become of a request."""

    conditions: tuple[StatusCondition, ...] = ()


class CapacityRequest(KubeObject, frozen=True, kw_only=True):
    """What asks for the nodes of a Job's workers. It has the Job's name."""

    kind: ClassVar[RequestKind]
    api_version: ClassVar[str]
    plural: ClassVar[str]
    refusals: ClassVar[tuple[Said, ...]]
    """After these no more nodes are made for it, whatever was said before."""
    doubts: ClassVar[tuple[Said, ...]]
    """What leaves open whether a node will ever come."""
    words: ClassVar[Mapping[Said, str]]
    """What each condition says of it, the weightiest first."""

    status: CapacityRequestStatus = field(default_factory=CapacityRequestStatus)

    @property
    def refusal(self) -> StatusCondition | None:
        """The condition by which no more nodes are made for it; None while they may be."""
        return self._first(self.refusals)

    @property
    def refused_us(self) -> int:
        """When it was refused, in microseconds since 1970; 0 if it wasn't, or nobody says when."""
        return (self.refusal and micros_of(self.refusal.last_transition_time)) or 0

    @property
    def is_hopeless(self) -> bool:
        """Whether no node of it is on its way."""
        return self.refusal is not None

    @property
    def is_doubtful(self) -> bool:
        """Whether an autoscaler knows of it, and has not said that its nodes will come."""
        return self._first(self.doubts) is not None

    @property
    def told(self) -> str:
        """What the autoscaler says of it, as a clause."""
        if condition := self._first(tuple(self.words)):
            why = (condition.message or condition.reason).removesuffix(".")
            return f"{self.kind} {self.name} {self.words[condition.type, condition.status]}: {why}"
        return f"no autoscaler has answered {self.kind} {self.name}"

    def _first(self, these: tuple[Said, ...]) -> StatusCondition | None:
        conditions = {(condition.type, condition.status): condition for condition in self.status.conditions}
        return next((conditions[said] for said in these if said in conditions), None)


class ProvisioningRequestSpec(LenientSpec, frozen=True, kw_only=True):
    """What is asked for."""

    provisioning_class_name: str = ""


class ProvisioningRequest(CapacityRequest, frozen=True, kw_only=True):
    """A ProvisioningRequest: nodes for pods that are there, and that the autoscaler passes over otherwise."""

    kind = "ProvisioningRequest"
    api_version = "autoscaling.x-k8s.io/v1"
    plural = "provisioningrequests"
    refusals = (("Failed", "True"), ("CapacityRevoked", "True"), ("BookingExpired", "True"))
    doubts = (("Provisioned", "False"),)
    words: ClassVar[Mapping[Said, str]] = {
        **{said: f"is {said[0]}" for said in (*refusals, ("Provisioned", "True"))},
        ("Provisioned", "False"): "is not Provisioned yet",
        ("Accepted", "True"): "is Accepted",
    }

    spec: ProvisioningRequestSpec = field(default_factory=ProvisioningRequestSpec)

    @property
    def is_hopeless(self) -> bool:
        """Whether no node of it is on its way.

        Of the class that makes nodes, the booking begins when they are asked for, and ends ten minutes later: before
        some have come.
        """
        makes_nodes = self.spec.provisioning_class_name == ATOMIC_CLASS
        return self.refusal is not None and not (makes_nodes and self.refusal.type == "BookingExpired")


class CapacityBuffer(CapacityRequest, frozen=True, kw_only=True):
    """A CapacityBuffer: room for pods that are not there yet.

    No condition says that nodes will come. By `Provisioning` cluster-autoscaler means that it looks for them, and
    Karpenter that they are there, or else that they are on their way or can't be had.
    """

    kind = "CapacityBuffer"
    api_version = "autoscaling.x-k8s.io/v1beta1"
    plural = "capacitybuffers"
    refusals = (("ReadyForProvisioning", "False"),)
    doubts = (("Provisioning", "False"), ("Provisioning", "True"))
    words: ClassVar[Mapping[Said, str]] = {
        ("ReadyForProvisioning", "False"): "is not ReadyForProvisioning",
        ("LimitedByQuotas", "True"): "is LimitedByQuotas",
        ("Provisioning", "False"): "is not Provisioning yet",
        ("Provisioning", "True"): "is Provisioning",
        ("ReadyForProvisioning", "True"): "is ReadyForProvisioning",
    }


REQUESTS: Mapping[RequestKind, type[CapacityRequest]] = {
    each.kind: each for each in (ProvisioningRequest, CapacityBuffer)
}

"""ResourceSlices, the claims on the devices in them, and the DeviceClasses that give those an extended resource's name.

The bounds are those of the API (resource.k8s.io/v1). Claims have none here: one that is left out would make a device
look free.
"""

from typing import Annotated

from dueby_api.schema import LenientSpec, Meta, field
from dueby_operator.objects.meta import KubeObject


class DeviceAttribute(LenientSpec, frozen=True, kw_only=True):
    """An attribute of a device. Only texts are read."""

    string: Annotated[str, Meta(max_length=64)] | None = None


class CounterConsumption(LenientSpec, frozen=True, kw_only=True):
    """What a device takes of what it shares with others, such as the memory of the GPU that it is a part of."""

    counter_set: str = ""


class DeviceTaint(LenientSpec, frozen=True, kw_only=True):
    """What keeps claims off a device."""

    effect: str = ""
    """NoSchedule, NoExecute, or None, which says something and keeps nobody off."""


class PublishedDevice(LenientSpec, frozen=True, kw_only=True):
    """A device of a node."""

    name: str
    attributes: Annotated[dict[str, DeviceAttribute], Meta(max_length=32)] = field(default_factory=dict)
    consumes_counters: tuple[CounterConsumption, ...] = ()
    taints: tuple[DeviceTaint, ...] = ()
    allow_multiple_allocations: bool = False
    """Whether several claims share it."""


class ResourcePool(LenientSpec, frozen=True, kw_only=True):
    """Which slices belong together."""

    name: str
    generation: int = 0
    """Slices of lower generations than the highest are about to go."""
    resource_slice_count: int = 1


class ResourceSliceSpec(LenientSpec, frozen=True, kw_only=True):
    """Devices that a driver publishes."""

    driver: str
    pool: ResourcePool
    node_name: str = ""
    """Empty if the devices are not one node's."""
    devices: Annotated[tuple[PublishedDevice, ...], Meta(max_length=128)] = ()


class ResourceSlice(LenientSpec, frozen=True, kw_only=True):
    """Some or all devices of a pool."""

    spec: ResourceSliceSpec


class ExactRequest(LenientSpec, frozen=True, kw_only=True):
    """Devices of one class."""

    device_class_name: str = ""


class ClaimRequest(LenientSpec, frozen=True, kw_only=True):
    """One of the requests of a claim."""

    name: str = ""
    exactly: ExactRequest = field(default_factory=ExactRequest)


class DeviceClaim(LenientSpec, frozen=True, kw_only=True):
    """The requests of a claim."""

    requests: tuple[ClaimRequest, ...] = ()


class ResourceClaimSpec(LenientSpec, frozen=True, kw_only=True):
    """What a claim asks for."""

    devices: DeviceClaim = field(default_factory=DeviceClaim)


class AllocatedDevice(LenientSpec, frozen=True, kw_only=True):
    """A device that a claim has got."""

    request: str = ""
    driver: str = ""
    pool: str = ""
    device: str = ""
    admin_access: bool = False
    """Whether it is only looked at, and others may have it."""


class DeviceAllocation(LenientSpec, frozen=True, kw_only=True):
    """The devices that a claim has got."""

    results: tuple[AllocatedDevice, ...] = ()


class Allocation(LenientSpec, frozen=True, kw_only=True):
    """What a claim has got."""

    devices: DeviceAllocation = field(default_factory=DeviceAllocation)


class ResourceClaimStatus(LenientSpec, frozen=True, kw_only=True):
    """How far a claim is."""

    allocation: Allocation = field(default_factory=Allocation)


class ResourceClaim(KubeObject, frozen=True, kw_only=True):
    """A claim on devices."""

    spec: ResourceClaimSpec = field(default_factory=ResourceClaimSpec)
    status: ResourceClaimStatus = field(default_factory=ResourceClaimStatus)


class CELSelector(LenientSpec, frozen=True, kw_only=True):
    """An expression in the Common Expression Language."""

    expression: Annotated[str, Meta(max_length=10 * 1024)] = ""


class DeviceSelector(LenientSpec, frozen=True, kw_only=True):
    """What a device of a class must be."""

    cel: CELSelector = field(default_factory=CELSelector)


class DeviceClassSpec(LenientSpec, frozen=True, kw_only=True):
    """Which devices are of a class: those that all selectors admit."""

    selectors: Annotated[tuple[DeviceSelector, ...], Meta(max_length=32)] = ()
    extended_resource_name: str = ""
    """The extended resource by which pods may ask for a device of the class; empty if there is none."""


class DeviceClass(KubeObject, frozen=True, kw_only=True):
    """A class of devices."""

    spec: DeviceClassSpec = field(default_factory=DeviceClassSpec)

"""The GPUs that nodes publish in ResourceSlices, by the extended resource that workers ask for. Pure.

With dynamic resource allocation a driver publishes devices in ResourceSlices, and not in what the node can allocate.
The scheduler gives such a device to a pod that asks for an extended resource if a DeviceClass has that resource's name.
Devices that no such class selects are of no use to workers, and are not counted.

For each such pod the scheduler makes a claim. That pod is counted by what it asks for, as everywhere, so its claim is
not counted again; all other claims are.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from dueby_operator.objects.resource_slices import DeviceClass, PublishedDevice, ResourceClaim, ResourceSlice

DRIVER = "gpu.nvidia.com"
GPU, MIG = "nvidia.com/gpu", "nvidia.com/mig-"
# On claims that the scheduler has made for a pod that asks for an extended resource.
FOR_POD = "resource.kubernetes.io/extended-resource-claim"
# Before a DeviceClass's name: the extended resource that each class has besides the one that it names.
IMPLICIT = "deviceclass.resource.kubernetes.io/"
# In the label, between the product and the profile of its MIG devices, if they have the GPU's own extended resource.
OF_PROFILE = "-MIG-"
_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9-_. ]")
DeviceId = tuple[str, str]
"""Pool and name."""
_TEXT = r"(?:'([^'\\]*)'|\"([^\"\\]*)\")"
_TERM = re.compile(rf"\s*device\.(?:driver|attributes\[{_TEXT}\]\.(\w+))\s*==\s*{_TEXT}\s*")


@dataclass(frozen=True, kw_only=True)
class PublishedResource:
    """What a node has of an extended resource."""

    count: int
    """Devices, whoever uses them."""
    claimed: int
    """Those of which others have claims."""
    device_class: str
    """The DeviceClass that they are of."""
    product: str
    """As GPU feature discovery's label has it."""

    @property
    def implicit_name(self) -> str:
        """The other name by which pods may ask for it."""
        return f"{IMPLICIT}{self.device_class}"


@dataclass(frozen=True, kw_only=True)
class PublishedGPUs:
    """What a node has in ResourceSlices."""

    resources: Mapping[str, PublishedResource]
    """By extended resource."""
    uncounted: str = ""
    """Why other GPUs in them don't count; empty if all do."""


@dataclass(frozen=True, kw_only=True)
class _Pool:
    """The devices of a node, and who has them."""

    devices: Mapping[DeviceId, PublishedDevice]
    claims: Mapping[DeviceId, str]
    """By device that is allocated: for a pod by its extended resource, the DeviceClass; else an empty text."""

    def is_claimed(self, device: DeviceId, device_class: str) -> bool:
        """Return whether anybody has it, or a part of it, but a pod that asks for the class's extended resource."""
        return self.claims.get(device, device_class) != device_class or not self._split.isdisjoint(self._sets(device))

    @cached_property
    def _split(self) -> set[tuple[str, str]]:
        """The counters of GPUs of which somebody has a part, by pool and name."""
        parts = (key for key, device in self.devices.items() if key in self.claims and _is_part(device))
        return {one for key in parts for one in self._sets(key)}

    def _sets(self, device: DeviceId) -> set[tuple[str, str]]:
        return {(device[0], one.counter_set) for one in self.devices[device].consumes_counters}


def read_published(
    slices: Iterable[ResourceSlice], claims: Iterable[ResourceClaim], classes: Iterable[DeviceClass]
) -> dict[str, PublishedGPUs]:
    """Return what each node has that publishes GPUs, by its name."""
    named, allocated = _by_resource(classes), _allocated(claims)
    return {node: _count(_Pool(devices=devices, claims=allocated), named) for node, devices in _by_node(slices).items()}


def product_of(device: PublishedDevice) -> str:
    """Return the product as GPU feature discovery writes it into a label."""
    product = "-".join(_NOT_IN_LABELS.sub("", _text(device, "productName")).split())
    return f"{product}{OF_PROFILE}{_text(device, 'profile')}" if _text(device, "type") == "mig" else product


def _by_resource(classes: Iterable[DeviceClass]) -> dict[str, DeviceClass]:
    """Return the class that serves each extended resource of NVIDIA's.

    Of several the scheduler takes the youngest, and of those that are as young the first by name.
    """
    by_name = sorted(classes, key=lambda device_class: device_class.name, reverse=True)
    youngest_last = sorted(by_name, key=lambda device_class: device_class.metadata.created_us or 0)
    named = {device_class.spec.extended_resource_name: device_class for device_class in youngest_last}
    return {resource: served for resource, served in named.items() if resource == GPU or resource.startswith(MIG)}


def _allocated(claims: Iterable[ResourceClaim]) -> dict[DeviceId, str]:
    """Return the devices that claims have, with the DeviceClass if it is for a pod's extended resource."""
    allocated = {}
    for claim in claims:
        requested = {one.name: one.exactly.device_class_name for one in claim.spec.devices.requests}
        for one in claim.status.allocation.devices.results:
            if one.driver == DRIVER and not one.admin_access:
                is_for_pod = FOR_POD in claim.metadata.annotations
                allocated[one.pool, one.device] = requested.get(one.request, "") if is_for_pod else ""
    return allocated


def _by_node(slices: Iterable[ResourceSlice]) -> dict[str, dict[DeviceId, PublishedDevice]]:
    """Return the devices of each node, of complete pools."""
    pools: dict[str, list[ResourceSlice]] = defaultdict(list)
    for one in slices:
        if one.spec.driver == DRIVER:
            pools[one.spec.pool.name].append(one)
    devices: dict[str, dict[DeviceId, PublishedDevice]] = defaultdict(dict)
    for name, published in pools.items():
        newest = max(one.spec.pool.generation for one in published)
        current = [one.spec for one in published if one.spec.pool.generation == newest]
        # As to the scheduler: until all its slices are there, nobody knows what is in a pool.
        if len(current) == current[0].pool.resource_slice_count:
            for spec in current:
                if spec.node_name:
                    devices[spec.node_name].update({(name, device.name): device for device in spec.devices})
    return devices


def _count(pool: _Pool, named: Mapping[str, DeviceClass]) -> PublishedGPUs:
    """Return the devices by the extended resource of their class, each once."""
    rest = {key: device for key, device in pool.devices.items() if _is_usable(device)}
    resources, mixed, unread = {}, [], []
    for resource, device_class in sorted(named.items()):
        selector = read_selector(device_class)
        if selector is None:
            unread.append(f"the operator can't read which devices the DeviceClass {device_class.name} selects")
            continue
        selected = {key: device for key, device in rest.items() if selector.selects(device, driver=DRIVER)}
        rest = {key: device for key, device in rest.items() if key not in selected}
        products = sorted({product_of(device) for device in selected.values()})
        if len(products) > 1 or not all(_is_named(device, resource) for device in selected.values()):
            mixed.append(f"who asks for {resource} gets any of {', '.join(products)}")
        elif selected:
            resources[resource] = PublishedResource(
                count=len(selected),
                claimed=sum(pool.is_claimed(key, device_class.name) for key in selected),
                device_class=device_class.name,
                # Of a resource that names a profile the label names the whole GPU.
                product=products[0] if resource == GPU else products[0].partition(OF_PROFILE)[0],
            )
    unnamed = [f"no DeviceClass has them and an extendedResourceName that workers ask for, such as {GPU}"]
    return PublishedGPUs(resources=resources, uncounted=" and ".join([*mixed, *((unread or unnamed) if rest else [])]))


def _is_usable(device: PublishedDevice) -> bool:
    """Return whether a worker could have it for itself.

    Of GPUs that claims may split (they consume counters), only whole ones count: which parts fit beside each other is
    for the scheduler to find.
    """
    is_kept_free = any(taint.effect in ("NoSchedule", "NoExecute") for taint in device.taints)
    is_gpu = _text(device, "type") in ("gpu", "mig") and not _is_part(device)
    return is_gpu and not is_kept_free and not device.allow_multiple_allocations


def _is_part(device: PublishedDevice) -> bool:
    """Return whether it is a part of a GPU that claims may split."""
    return _text(device, "type") == "mig" and bool(device.consumes_counters)


def _is_named(device: PublishedDevice, resource: str) -> bool:
    """Return whether it is what the resource's name says: as the device plugin has it, mig-1g.10gb.me of 1g.10gb+me."""
    return resource == GPU or resource == f"{MIG}{_text(device, 'profile').replace('+', '.')}"


def _text(device: PublishedDevice, attribute: str) -> str:
    value = device.attributes.get(attribute)
    return (value.string if value else None) or ""


@dataclass(frozen=True, kw_only=True)
class Selector:
    """What the devices of a class have in common."""

    equalities: tuple[tuple[str, str], ...]
    """Attributes, as DOMAIN/NAME, with their values. That of the empty name is the driver."""

    def selects(self, device: PublishedDevice, *, driver: str) -> bool:
        """Return whether a device of the driver is of the class."""
        return all(_value(device, name, driver) == value for name, value in self.equalities)


def read_selector(device_class: DeviceClass) -> Selector | None:
    """Return what the class selects; None if it says so in more words than can be read.

    The scheduler evaluates the Common Expression Language. Here only conjunctions of equalities are read, which is what
    NVIDIA's charts and examples write: device.driver == 'a' && device.attributes['b'].c == 'd'. Of a class that says
    anything else no devices are counted.
    """
    equalities = []
    for selector in device_class.spec.selectors:
        for term in selector.cel.expression.split("&&"):
            match = _TERM.fullmatch(term)
            if match is None:
                return None
            domain, name, value = match[1] or match[2], match[3], match[4] if match[4] is not None else match[5]
            equalities.append((f"{domain}/{name}" if name else "", value))
    return Selector(equalities=tuple(equalities))


def _value(device: PublishedDevice, name: str, driver: str) -> str | None:
    """Return the text that the device has under this name. A name without a domain is in that of the driver."""
    if not name:
        return driver
    plain = name.removeprefix(f"{driver}/")
    value = device.attributes.get(plain) or device.attributes.get(name)
    return value.string if value else None

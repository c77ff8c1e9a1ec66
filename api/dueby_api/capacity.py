"""Times that come once or in each week, and the devices that are there in them.

`capacity` and `nodePools` in the chart's values and in the file of `dueby plan --pool` are the same lists.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from dueby_api.schema import Duration, Meta, Spec, Time, field, matching, require_duration, require_time
from dueby_api.units import parse_duration_us

# Minutes and hours of a day's clock.
ClockTime = Annotated[str, matching(r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
# As a CronJob numbers them.
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# As gpus.classes names it, but for a slow node's own class.
ClassName = Annotated[str, matching(r"^[^@\s]{1,128}$")]
# How a pool of nodes may be called.
PoolName = Annotated[str, matching(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
# More than any cluster has of a class, so that sums stay small.
DeviceCount = Annotated[int, Meta(ge=1, le=1_000_000)]


class WeeklyWindow(Spec, frozen=True, kw_only=True):
    """Some hours of each week."""

    days: Annotated[str, matching(r"^[0-9A-Za-z*,-]{1,32}$")]
    """The days of the week on which it begins, as in a CronJob: Sat, Mon-Fri, 0,6 or *."""
    start: ClockTime
    """When it begins. A time that the clocks leave out is later by as much, and of one that comes twice the first is
    meant."""
    hours: Annotated[int, Meta(ge=1, le=167)]
    """How long it is, also where the clocks change meanwhile."""
    time_zone: Annotated[str, matching(r"^[0-9A-Za-z_+-]+(/[0-9A-Za-z_+-]+)*$"), Meta(max_length=64)] = "Etc/UTC"
    """Whose clock it is, by its name in the tz database."""

    def __post_init__(self) -> None:
        days = sorted(self.weekdays)
        if max(later - day for day, later in pairwise([*days, days[0] + 7])) * 24 <= self.hours:
            raise ValueError("hours: leaves no time between one window and the next")
        try:
            _ = self.zone
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"timeZone: there is no time zone {self.time_zone}; write one like Europe/Berlin"
            ) from None

    @property
    def weekdays(self) -> frozenset[int]:
        """The days on which it begins, with 0 for Monday. Raise ValueError if they can't be read."""
        if self.days == "*":
            return frozenset(range(7))
        weekdays: set[int] = set()
        for part in self.days.lower().split(","):
            first, dash, last = part.partition("-")
            begin = _day(first)
            end = _day(last) if dash else begin
            if end < begin:
                raise ValueError(f"days: {part} ends before it begins; weeks begin on Sunday, so list the days")
            weekdays.update((day - 1) % 7 for day in range(begin, end + 1))
        return frozenset(weekdays)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)


def _day(text: str) -> int:
    if text in DAYS:
        return DAYS.index(text)
    if text in {str(number) for number in range(7)}:
        return int(text)
    raise ValueError(f"days: {text!r} is no day of the week; write Sun to Sat, or 0 to 6 from Sunday on")


class Timed(Spec, frozen=True, kw_only=True):
    """What is so of some nodes from one time to another, once or in each week."""

    from_time: Time | None = field(default=None, name="from")
    to_time: Time | None = field(default=None, name="to")
    weekly: WeeklyWindow | None = None
    node_selector: dict[str, str] = field(default_factory=dict)
    """Labels of these nodes; empty: all nodes."""

    def __post_init__(self) -> None:
        require_time("from", self.from_time)
        require_time("to", self.to_time)
        if (self.from_time is None) != (self.to_time is None) or (self.from_time is None) == (self.weekly is None):
            raise ValueError("give either from and to, or weekly")
        if self.from_time and self.to_time and self.to_time <= self.from_time:
            raise ValueError("to: must be later than from")

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Return whether a node with these labels is one of them."""
        return self.node_selector.items() <= labels.items()


class AnnouncedDevices(Timed, frozen=True, kw_only=True):
    """Devices that will be there from one time to another. Nodes that have come count in their place.

    Those with a nodeSelector go away at the end. Without one it isn't known of any node that it will go away.
    """

    device_class: ClassName = field(name="class")
    """Device class."""
    count: DeviceCount
    """How many there will be in all on nodes with these labels, those that have come among them."""

    def is_open_to(self, selector: Mapping[str, str] | None) -> bool:
        """Return whether pods with this node selector could run on them, by the labels that are known."""
        return (selector or {}).items() <= self.node_selector.items()


class CapacityList(Spec, frozen=True, kw_only=True):
    """The value of the operator's option --capacity."""

    capacity: Annotated[tuple[AnnouncedDevices, ...], Meta(max_length=100)]


# What a device plugin calls GPUs, and slices of them.
GPU_RESOURCE = r"^(nvidia\.com/gpu|nvidia\.com/mig-[0-9a-z.]{1,32}|amd\.com/gpu)$"


# A node that is taken away each minute does nothing at all.
LossesPerHour = Annotated[float, Meta(ge=0, le=60)]


class SpotNodes(Spec, frozen=True, kw_only=True):
    """What is assumed of spot nodes of which no pool says it: `spot` in the chart's values."""

    losses_per_hour: LossesPerHour = 0.4
    """How often one of them is taken away, in an hour in which it is there."""
    replaced_after: Duration = "10m"
    """How long it takes until another node is in its place, where no pool says how long its nodes take to come."""

    def __post_init__(self) -> None:
        require_duration("replacedAfter", self.replaced_after)

    @property
    def replaced_us(self) -> int:
        """That time in microseconds."""
        return parse_duration_us(self.replaced_after)


# Objects by which an autoscaler is asked for nodes.
RequestKind = Literal["ProvisioningRequest", "CapacityBuffer"]
# How a pool is asked for nodes: by the workers' pods alone, or by such an object.
Asker = Literal["PendingPods", RequestKind]
# What cluster-autoscaler calls the class that makes nodes for all pods of a request, or for none.
ATOMIC_CLASS, CHECKING_CLASS = (
    f"{word}.autoscaling.x-k8s.io" for word in ("best-effort-atomic-scale-up", "check-capacity")
)


class PoolTaint(Spec, frozen=True, kw_only=True):
    """A taint that a pool's nodes have."""

    key: Annotated[str, Meta(min_length=1, max_length=316)]
    """Its key."""
    value: Annotated[str, Meta(max_length=63)] = ""
    """Its value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]
    """What it does to pods that don't tolerate it."""


class NodePool(Spec, frozen=True, kw_only=True):
    """Nodes that an autoscaler makes once pods ask for them, and takes away when nobody uses them."""

    name: PoolName
    """What it is called."""
    device_class: ClassName = field(name="class")
    """Device class."""
    devices_per_node: Annotated[int, Meta(ge=1, le=1000)]
    """Devices of a node."""
    max_nodes: Annotated[int, Meta(ge=1, le=10_000)]
    """How many nodes there can be, those that are there among them."""
    node_selector: Annotated[dict[str, Annotated[str, Meta(max_length=63)]], Meta(min_length=1, max_length=32)]
    """Labels that each of its nodes has, and no other node."""
    taints: Annotated[tuple[PoolTaint, ...], Meta(max_length=32)] = ()
    """Taints that its nodes have."""
    resource: Annotated[str, matching(GPU_RESOURCE)] = "nvidia.com/gpu"
    """What pods ask for, to have a device. CPU slices have none."""
    time_to_provision: Duration
    """How long it takes at most, in 19 of 20 cases, until a node that was asked for is ready with its devices. It
    counts until enough nodes have shown how long they take."""
    spot: bool = False
    """Whether its nodes may be taken away at any time, as a cloud's spot nodes are."""
    losses_per_hour: LossesPerHour | None = None
    """How often one of its nodes is taken away, in an hour in which it is there; None: as other spot nodes."""

    ask: Asker = "PendingPods"
    """How it is asked for nodes: PendingPods by workers' pods that wait, ProvisioningRequest by such an object, for
    which they wait, CapacityBuffer by such an object, before there are pods."""
    provisioning_class: Annotated[
        str, matching(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"), Meta(max_length=253)
    ] = ATOMIC_CLASS
    """The class of its ProvisioningRequests."""

    def __post_init__(self) -> None:
        require_duration("timeToProvision", self.time_to_provision)
        if self.losses_per_hour is not None and not self.spot:
            raise ValueError("lossesPerHour: is given where spot is true; nodes on demand are not taken away")
        # Affinities can say "none of these labels", and not "not all of them".
        if self.spot and len(self.node_selector) > 1:
            raise ValueError("nodeSelector: has one label where spot is true, by which pods are kept off its nodes")

    @property
    def provision_us(self) -> int:
        """That time in microseconds."""
        return parse_duration_us(self.time_to_provision)

    @property
    def devices(self) -> int:
        """All devices that it can have."""
        return self.max_nodes * self.devices_per_node


def require_names(pools: tuple[NodePool, ...]) -> None:
    """Raise ValueError if two pools have the same name."""
    names = [pool.name for pool in pools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"nodePools: names {twice} twice; give each pool a name of its own")


class NodePools(Spec, frozen=True, kw_only=True):
    """The value of the operator's option --node-pools."""

    node_pools: Annotated[tuple[NodePool, ...], Meta(max_length=100)]

    def __post_init__(self) -> None:
        require_names(self.node_pools)


class ClassCount(Spec, frozen=True, kw_only=True):
    """Devices of a class that are there all the time."""

    name: ClassName
    """Device class."""
    count: DeviceCount
    """How many there are."""


class PoolFile(Spec, frozen=True, kw_only=True):
    """A fleet that `dueby plan --pool FILE` plans with, whether or not it exists."""

    classes: Annotated[tuple[ClassCount, ...], Meta(max_length=100)] = ()
    """Devices that are there all the time."""
    capacity: Annotated[tuple[AnnouncedDevices, ...], Meta(max_length=100)] = ()
    """Devices that come and go."""
    node_pools: Annotated[tuple[NodePool, ...], Meta(max_length=100)] = ()
    """Devices that can be asked for."""

    def __post_init__(self) -> None:
        require_names(self.node_pools)
        names = [entry.name for entry in self.classes]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"classes: names {twice} twice; give one count")
        if not (self.classes or self.capacity or self.node_pools):
            raise ValueError("classes: is empty, and so are capacity and nodePools; give a class with its count")

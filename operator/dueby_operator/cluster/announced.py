"""Devices that are announced (`capacity` in the chart's values): they come and go, and may be promised before. Pure.

Nodes that have come count in the place of announced devices, and go away when these do. Of what should be there by now
only what has come counts; the rest is missing until its end. So nothing is ever started on an announced device.

Nodes that can be asked for, such as of a pool that stands at zero, become groups in node_pools.py.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from dueby_api.capacity import AnnouncedDevices
from dueby_api.inference_job import JobSpec
from dueby_api.spot import is_used
from dueby_api.subject import class_of
from dueby_api.units import clock_time
from dueby_operator.cluster.nodes import Node, classes_on, devices_like
from dueby_planner.schedule.devices import DeviceGroup
from dueby_planner.schedule.job import Claimant
from dueby_planner.schedule.spans import find_once, find_spans, find_weekly, from_now, outside

Missing = Sequence[tuple[AnnouncedDevices, int]]
"""What is announced, and how many of these devices have not come."""


def with_times(nodes: Iterable[Node], capacity: Sequence[AnnouncedDevices]) -> list[Node]:
    """Return the nodes; those that a nodeSelector says are announced with when they are there.

    Of more than are announced for a time, the last ones by name aren't there then.
    """
    timed: list[Node] = []
    arrived, entries_near = Counter[int](), _by_label(capacity)
    for node in sorted(nodes, key=lambda node: node.name) if capacity else nodes:
        near = entries_near(node)
        own = [number for number in near if capacity[number].node_selector and _has(node, capacity[number])]
        within = [number for number in own if arrived[number] < capacity[number].count]
        windows = [capacity[number] for number in within or own]
        timed.append(replace(node, present=find_once(windows), present_weekly=find_weekly(windows)) if own else node)
        arrived.update({number: devices_like(node, capacity[number].device_class) for number in own if node.is_ready})
    return timed


def find_missing(nodes: Iterable[Node], capacity: Sequence[AnnouncedDevices]) -> Missing:
    """Return how many announced devices no node that is ready has, whether or not it is time for them."""
    arrived, entries_near = Counter[int](), _by_label(capacity)
    for node in nodes if capacity else ():
        near = entries_near(node) if node.is_ready else ()
        arrived.update(
            {
                number: devices_like(node, capacity[number].device_class)
                for number in near
                if _has(node, capacity[number])
            }
        )
    return [(entry, max(0, entry.count - arrived[number])) for number, entry in enumerate(capacity)]


def announced_groups(
    missing: Missing,
    claimants: Sequence[Claimant],
    *,
    now_us: int,
    may_have: Callable[[Claimant, str], bool] = lambda claimant, device_class: True,
) -> Iterator[DeviceGroup]:
    """Yield the devices that will come for these jobs. `may_have` is whether a job may have devices of a class."""
    for number, (entry, count) in enumerate(missing):
        coming = tuple(span for span in from_now(find_spans([entry], now_us=now_us), now_us) if span.from_us > 0)
        users = frozenset(
            claimant.key
            for claimant in claimants
            if entry.device_class in claimant.classes
            and _is_open(entry, claimant.spec)
            and may_have(claimant, entry.device_class)
        )
        if count and coming and users:
            yield DeviceGroup(
                name=f"{entry.device_class}#announced{number + 1}",
                device_class=entry.device_class,
                devices=count,
                idle=count,
                users=users,
                away=outside(coming),
                is_announced=True,
            )


def announced_classes(missing: Missing, spec: JobSpec, *, now_us: int) -> frozenset[str]:
    """Return the classes of devices that will come, or should have, and that the job's workers could run on."""
    return frozenset(
        entry.device_class
        for entry, _ in missing
        if _is_for(entry, spec) and any(span.to_us > now_us for span in find_spans([entry], now_us=now_us))
    )


def describe_missing(missing: Missing, spec: JobSpec, *, classes: Collection[str], now_us: int) -> str:
    """Return which devices that the job could use should be there and aren't, in sentences; empty if none."""
    sentences = []
    for entry, count in missing:
        span = next((span for span in find_spans([entry], now_us=now_us) if span.from_us <= now_us < span.to_us), None)
        if count and span and entry.device_class in classes and _is_for(entry, spec):
            since = clock_time(span.from_us, now_us=now_us)
            sentences.append(
                f"{count:,} of the {entry.count:,} {entry.device_class} that were announced from {since} are not there."
            )
    return " ".join(sentences)


def _by_label(capacity: Sequence[AnnouncedDevices]) -> Callable[[Node], Sequence[int]]:
    """Return the function from a node to the numbers of the entries that may select it, by one label of each."""
    numbers: dict[tuple[str, str] | None, list[int]] = {}
    for number, entry in enumerate(capacity):
        numbers.setdefault(next(iter(entry.node_selector.items()), None), []).append(number)
    return lambda node: sorted(chain.from_iterable(numbers.get(item, ()) for item in (None, *node.labels.items())))


def _has(node: Node, entry: AnnouncedDevices) -> bool:
    return entry.selects(node.labels) and any(class_of(name) == entry.device_class for name in classes_on(node))


def _is_for(entry: AnnouncedDevices, spec: JobSpec) -> bool:
    allowed = spec.gpus.classes
    return _is_open(entry, spec) and (not allowed or entry.device_class in allowed)


def _is_open(entry: AnnouncedDevices, spec: JobSpec) -> bool:
    """Return whether the job's workers may be on its nodes, which nobody says are spot."""
    return entry.is_open_to(spec.worker.node_selector) and is_used(spec.spot_use, spot=False)

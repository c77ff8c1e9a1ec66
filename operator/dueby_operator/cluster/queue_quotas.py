"""The quotas of Kueue's queues as limits of the calendar, from what each job's workers ask for. Pure.

For each resource of which a worker asks for something, its job is bound by what the ClusterQueue has of it in the
flavors that the worker's class may get, and by what the cohort has of it. Which of several flavors a workload gets is
Kueue's choice, so they count together; a workload that may get some of these only counts, too.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dueby_api.inference_job import JobSpec
from dueby_operator.cluster.nodes import DeviceKind
from dueby_operator.cluster.queues import Flavor, Queue, matching
from dueby_planner.schedule.devices import Limit
from dueby_planner.schedule.job import Claimant, JobKey

# Quotas are counted in thousandths: Kubernetes counts nothing in less.
THOUSANDTHS = 1000
Asked = Callable[[JobSpec, str], Mapping[str, float]]
"""What a worker of a job on a device of a class asks for, by resource."""


@dataclass(frozen=True, kw_only=True, order=True)
class _Bound:
    """What somebody has of a resource in some flavors."""

    owner: str
    """A ClusterQueue or a cohort."""
    resource: str
    flavors: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.resource} of {self.owner} ({', '.join(self.flavors)})"

    def covers(self, other: "_Bound") -> bool:
        """Return whether what is taken of the other one is taken of this one, too."""
        is_alike = (self.owner, self.resource) == (other.owner, other.resource)
        return is_alike and set(self.flavors) >= set(other.flavors)


class _Use(NamedTuple):
    """What a device of a class costs a job."""

    key: JobKey
    device_class: str
    cost: int


def find_queue_limits(
    queues: Mapping[tuple[str, str], Queue],
    claimants: Iterable[Claimant],
    kinds: Mapping[str, DeviceKind],
    requests_on: Asked,
) -> tuple[Limit, ...]:
    """Return the limits that bind these jobs, given how a device of each class is asked for."""
    uses: dict[_Bound, list[_Use]] = defaultdict(list)
    sizes: dict[tuple[str, str, str], tuple[float, float]] = {}
    """By owner, resource and flavor: what there is, and what is used."""
    for claimant in claimants:
        queue = queues.get((claimant.key[0], claimant.spec.queue_name))
        if queue is None:
            continue
        for device_class in claimant.classes:
            wanted = requests_on(claimant.spec, device_class)
            for group in queue.groups:
                flavors = matching(group, kinds.get(device_class, DeviceKind()))
                for bound in _bounds(queue, flavors, wanted, sizes):
                    cost = round(wanted[bound.resource] * THOUSANDTHS)
                    uses[bound].append(_Use(claimant.key, device_class, cost))
    return tuple(_limit(bound, uses, sizes) for bound in sorted(uses))


def _bounds(
    queue: Queue,
    flavors: Iterable[Flavor],
    wanted: Mapping[str, float],
    sizes: dict[tuple[str, str, str], tuple[float, float]],
) -> Iterable[_Bound]:
    """Return what bounds a worker in these flavors, and note how much there is of it."""
    flavors_of: dict[tuple[str, str], list[str]] = defaultdict(list)
    for flavor in flavors:
        for owner, whole, used in (
            (f"ClusterQueue {queue.name}", flavor.quota, flavor.used),
            (f"cohort {queue.cohort}", flavor.shared, flavor.shared_used),
        ):
            for resource in (resource for resource in whole if wanted.get(resource)):
                flavors_of[owner, resource].append(flavor.name)
                sizes[owner, resource, flavor.name] = whole[resource], used.get(resource, 0.0)
    return [
        _Bound(owner=owner, resource=resource, flavors=tuple(sorted(names)))
        for (owner, resource), names in flavors_of.items()
    ]


def _limit(
    bound: _Bound, uses: Mapping[_Bound, Iterable[_Use]], sizes: Mapping[tuple[str, str, str], tuple[float, float]]
) -> Limit:
    costs: dict[JobKey, dict[str, int]] = defaultdict(dict)
    for use in (use for other, of_other in uses.items() if bound.covers(other) for use in of_other):
        costs[use.key][use.device_class] = use.cost
    amounts = [sizes[bound.owner, bound.resource, name] for name in bound.flavors]
    return Limit(
        name=bound.name,
        units=round(sum(whole for whole, _ in amounts) * THOUSANDTHS),
        used=round(sum(used for _, used in amounts) * THOUSANDTHS),
        costs=costs,
    )

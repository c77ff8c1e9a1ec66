"""Pools that stand at zero (`nodePools` in the chart's values): devices come once a worker asks for them. Pure.

Who asks are the workers' pods: they wait for a node, and an autoscaler makes one that they fit. So what a pool could
still have is a device group of its own, whose workers take so much longer to start. Nodes that have come count in its
place. Where nodes don't come in time, the rest of the pool counts for nothing while workers wait for them: for the
jobs of their namespace, since others' workers may ask for what no node of it has.

A pool may want to be asked by an object instead (control/policies/ask.py): by a ProvisioningRequest, and then the
autoscaler passes over the pods, and says early what it can't make; or by a CapacityBuffer, before there are pods. For a
job in a Kueue queue it isn't: its pods are there once Kueue has admitted them, which may have asked by itself before.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from dueby_api.capacity import NodePool, RequestKind, SpotNodes
from dueby_api.inference_job import JobSpec
from dueby_api.spot import is_used
from dueby_api.units import format_duration
from dueby_operator.cluster.nodes import CPU_CLASS, DeviceKind, Node, are_borne, devices_like
from dueby_operator.cluster.requests import tolerations_of
from dueby_operator.objects.capacity_requests import REQUESTS, CapacityRequest
from dueby_operator.objects.nodes import Taint
from dueby_planner.model.capacity import Provision
from dueby_planner.model.losses import loss_rate
from dueby_planner.schedule.devices import DeviceGroup
from dueby_planner.schedule.job import Claimant, WorkerModel

Late = Mapping[tuple[str, str], int]
"""By namespace and pool, how many workers wait for nodes that should have come."""
Unserved = frozenset[RequestKind]
"""Kinds of objects by which pools are to be asked, and that the cluster doesn't serve."""


def pool_of(labels: Mapping[str, str], pools: Iterable[NodePool]) -> str:
    """Return the name of the pool that a node with these labels belongs to; empty if it belongs to none."""
    return next((pool.name for pool in pools if pool.node_selector.items() <= labels.items()), "")


def done_with(worked_on: Collection[str], nodes: Iterable[Node]) -> tuple[frozenset[str], Mapping[str, int]]:
    """Return the pools' nodes that workers have been on, by uid, and by pool how many of these have none any more.

    `worked_on` are those of the pass before.
    """
    of_pools = [node for node in nodes if node.pool]
    at_work = frozenset(node.uid for node in of_pools if any(node.workers.values()))
    used = at_work.union(node.uid for node in of_pools if node.uid in worked_on)
    return used, Counter(node.pool for node in of_pools if node.uid in used - at_work)


def count_late(workers: Iterable[tuple[str, WorkerModel]]) -> Late:
    """Return how many of these workers, which come with their namespaces, wait for nodes that should have come."""
    return Counter(
        (space, worker.assignment.pool) for space, worker in workers if worker.is_absent and worker.assignment.pool
    )


def find_answers(
    workers: Iterable[tuple[str, WorkerModel, Mapping[str, CapacityRequest]]],
) -> Mapping[tuple[str, str], str]:
    """Return by namespace and pool what an autoscaler says of nodes that should have come; the last refusal, if any.

    The workers come with their namespaces, and with the requests for nodes by the names of the workers' Jobs.
    """
    waited_for = (
        (request.refused_us, (space, worker.assignment.pool), request)
        for space, worker, requests in workers
        if worker.is_absent and worker.assignment.pool and (request := requests.get(worker.group))
    )
    return {key: request.told for _, key, request in sorted(waited_for, key=lambda one: one[0])}


def asked_groups(
    pools: Sequence[NodePool],
    nodes: Collection[Node],
    claimants: Sequence[Claimant],
    late: Late,
    *,
    provision: Mapping[str, Provision],
    spot: SpotNodes,
    unserved: Unserved = frozenset(),
    may_have: Callable[[Claimant, str], bool] = lambda claimant, device_class: True,
) -> Iterator[DeviceGroup]:
    """Yield what each pool could still have for these jobs.

    `provision` is how long its nodes take to come, `spot` what is assumed of spot nodes, `unserved` are kinds of
    objects that can't be made, and `may_have` says whether a job may have devices of a class.
    """
    left = missing_devices(pools, nodes)
    for pool in pools:
        users = frozenset(
            claimant.key
            for claimant in claimants
            if pool.device_class in claimant.classes
            and is_for(pool, claimant.spec)
            and (pool.ask not in unserved or claimant.spec.queue_name)
            and not late.get((claimant.key[0], pool.name))
            and may_have(claimant, pool.device_class)
        )
        missing = left[pool.name]
        if missing > 0 and users:
            yield DeviceGroup(
                name=f"{pool.device_class}#pool-{pool.name}",
                device_class=pool.device_class,
                devices=missing,
                idle=missing,
                users=users,
                pool=pool.name,
                provision=provision[pool.name],
                losses=loss_rate(spot, pool, provision[pool.name].late_us) if pool.spot else None,
            )


def missing_devices(pools: Sequence[NodePool], nodes: Collection[Node]) -> Mapping[str, int]:
    """Return by pool how many devices it could have beside those of its nodes that have come."""
    class_of_pool, left = {pool.name: pool.device_class for pool in pools}, {pool.name: pool.devices for pool in pools}
    for node in nodes if pools else ():
        if node.is_ready and node.pool in class_of_pool:
            left[node.pool] -= devices_like(node, class_of_pool[node.pool])
    return left


def kinds_in_pools(pools: Iterable[NodePool]) -> Mapping[str, DeviceKind]:
    """Return how GPUs of each class are asked for that pools have, by what all pools of the class have in common."""
    found: dict[str, DeviceKind] = {}
    for pool in pools:
        if not CPU_CLASS.match(pool.device_class):
            before = found.get(pool.device_class, DeviceKind(resource=pool.resource, selector=pool.node_selector))
            common = dict(before.selector.items() & pool.node_selector.items())
            found[pool.device_class] = replace(before, selector=common)
    return found


def is_for(pool: NodePool, spec: JobSpec) -> bool:
    """Return whether workers of the job may ask the pool for a node, and would be scheduled on it.

    BestEffort jobs buy nothing. Those of a job in a queue ask once Kueue has admitted them, or Kueue asks before.
    """
    allowed = spec.gpus.classes
    taints = [Taint(key=taint.key, value=taint.value, effect=taint.effect) for taint in pool.taints]
    return (
        spec.deadline_class != "BestEffort"
        and (not allowed or pool.device_class in allowed)
        and (spec.worker.node_selector or {}).items() <= pool.node_selector.items()
        and is_used(spec.spot_use, spot=pool.spot)
        and are_borne(taints, tolerations_of(spec))
    )


def describe_late(
    pools: Sequence[NodePool],
    late: Late,
    namespace: str,
    spec: JobSpec,
    *,
    provision: Mapping[str, Provision],
    answers: Mapping[tuple[str, str], str],
) -> str:
    """Return which devices that the job could use were asked for and have not come, in sentences; empty if none.

    `answers` are those of find_answers().
    """
    return " ".join(
        f"{count:,} {pool.device_class} of the pool {pool.name} that {'was' if count == 1 else 'were'} asked for "
        f"{'has' if count == 1 else 'have'} not come"
        + (f": {answer}." if answer else f" within {format_duration(provision[pool.name].late_us)}.")
        for pool in pools
        if (count := late.get((namespace, pool.name), 0)) and is_for(pool, spec)
        for answer in [answers.get((namespace, pool.name), "")]
    )


def describe_unserved(pools: Sequence[NodePool], unserved: Unserved, spec: JobSpec) -> str:
    """Return which pools the job could use and can't ask, since these objects aren't served; empty if none."""
    return " ".join(
        f"The pool {pool.name} can't be asked for nodes: it is to be asked by a {pool.ask}, and the cluster serves no "
        f"{REQUESTS[pool.ask].api_version}, which its autoscaler would bring."
        for pool in pools
        if pool.ask in unserved and not spec.queue_name and is_for(pool, spec)
    )

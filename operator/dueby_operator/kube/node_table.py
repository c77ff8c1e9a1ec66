"""The table of nodes, with the GPUs that they publish in ResourceSlices.

Where the API server serves no ResourceSlices, or the operator may not read them, a node has what it allocates and
nothing else. So it is for an operator that doesn't read the pods of other namespaces, and with them their claims.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from dueby_api.errors import Invalid
from dueby_api.schema import Raw
from dueby_operator import paths
from dueby_operator.cluster.absences import find_absences, find_weekly, read_drain_at, read_notice
from dueby_operator.cluster.announced import with_times
from dueby_operator.cluster.node_pools import pool_of
from dueby_operator.cluster.nodes import Node, PodRow, read_node, read_slice_cpus, with_published
from dueby_operator.cluster.resource_slices import DRIVER, PublishedGPUs, read_published
from dueby_operator.cluster.spot import is_spot
from dueby_operator.kube.client import Kube, Refused
from dueby_operator.kube.reflector import Reflector
from dueby_operator.kube.server_clock import steady_clock_s
from dueby_operator.kube.trouble import Trouble
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from dueby_operator.objects.resource_slices import DeviceClass, ResourceClaim, ResourceSlice
from dueby_operator.settings import OperatorSettings

log = logging.getLogger(__name__)
# A watch may show a pod before the list of Jobs has its Job.
STRANGER_WAIT_S = 60.0


class NodeTable:
    """Nodes as they are, whatever runs on them."""

    def __init__(
        self, kube: Kube, settings: OperatorSettings, *, changed: Callable[[], None], outage: Trouble | None = None
    ) -> None:
        """Take what is called when a node has changed, or what it publishes. `outage` is what a Reflector takes."""
        self._settings = settings
        self._changed = changed
        self._published: Mapping[str, PublishedGPUs] | None = None
        """By node; None if it has to be read again."""
        self._told: set[tuple[str, str]] = set()
        """Nodes and what was logged about their annotations and labels."""
        self._nodes = Reflector(
            kube, paths.core_path("nodes"), reduce=self._node, changed=lambda *_: changed(), outage=outage
        )
        self._slices, self._classes, self._claims = (
            Reflector[Any](
                kube, paths.resource_path(kind), reduce=reduce, changed=noted, outage=outage, may_be_absent=True
            )
            for kind, reduce, noted in (
                ("resourceslices", _slice, self._publishes),
                ("deviceclasses", partial(parse, DeviceClass), self._publishes),
                ("resourceclaims", _claim, self._claimed),
            )
        )

    def tables(self) -> list[Reflector[Any]]:
        """Return what it is made of, each to be kept by its own task."""
        more = [] if self._settings.ignores_other_pods else [self._slices, self._classes, self._claims]
        return [self._nodes, *more]

    async def rows(self) -> list[Node]:
        """Return the nodes. Raise Transient if a table can't be had for long, Refused if nodes may not be read."""
        nodes, published = await self._nodes.rows(), await self._read_published()
        labels = self._settings.class_labels
        nodes = [
            with_published(node, published[node.name], labels) if node.name in published else node for node in nodes
        ]
        return with_times(nodes, self._settings.capacity)

    async def _read_published(self) -> Mapping[str, PublishedGPUs]:
        if self._settings.ignores_other_pods:
            return {}
        tables = (self._slices, self._claims, self._classes)
        try:
            slices, claims, classes = await asyncio.gather(*(table.rows() for table in tables))
        except Refused:  # the table has reported it
            return {}
        if self._published is None:
            self._published = read_published(slices, claims, classes)
        return self._published

    def _publishes(self, before: Any, after: Any) -> None:
        self._published = None
        self._changed()

    def _claimed(self, before: Any, after: Any) -> None:
        # As the pods of other tenants, their claims wake nobody.
        self._published = None

    def _node(self, document: Raw) -> Node:
        read = parse(NodeObject, document)
        labels, maintenance, pools = read.metadata.labels, self._settings.maintenance, self._settings.node_pools
        pool = pool_of(labels, pools)
        return replace(
            read_node(read, self._settings.class_labels, slice_cpus=self._slice_cpus(read)),
            pool=pool,
            is_spot=is_spot(labels, pool, pools),
            away=find_absences(labels, maintenance, drain_at_us=self._drain_at_us(read)),
            away_weekly=find_weekly(labels, maintenance),
        )

    def _drain_at_us(self, node: NodeObject) -> int | None:
        """Return when the node is to be drained. What can't be read is ignored, and logged once."""
        asked_us = None
        try:
            asked_us = read_drain_at(node.metadata.annotations)
        except Invalid as error:
            self._ignore("an annotation", node, error)
        return min((time for time in (asked_us, read_notice(node)) if time is not None), default=None)

    def _slice_cpus(self, node: NodeObject) -> int:
        """Return the cores of each of the node's CPU slices. A label that can't be read is ignored, and logged once."""
        try:
            return read_slice_cpus(node.metadata.labels, self._settings.slice_cpus)
        except Invalid as error:
            self._ignore("a label", node, error)
            return self._settings.slice_cpus

    def _ignore(self, what: str, node: NodeObject, error: Invalid) -> None:
        told = node.metadata.name, str(error)
        if told not in self._told:
            self._told.add(told)
            log.warning("%s of node %s is ignored: %s", what, *told)


def _slice(document: Raw) -> ResourceSlice | None:
    read = parse(ResourceSlice, document)
    return read if read.spec.driver == DRIVER else None


def _claim(document: Raw) -> ResourceClaim | None:
    read = parse(ResourceClaim, document)
    return read if any(one.driver == DRIVER for one in read.status.allocation.devices.results) else None


class Strangers:
    """Tells which pods have been strangers for too long: they have the operator's labels, and no Job of its jobs.

    Anybody may put the labels on a pod of theirs, and of a pod with them more is kept than of another one. After a
    minute it is a pod like any other, until it changes.
    """

    def __init__(self, *, clock_s: Callable[[], float] = steady_clock_s) -> None:
        self._clock_s = clock_s
        self._since_s: dict[str, float] = {}
        """Since when each has been one, by uid."""

    def note(self, rows: Iterable[PodRow], *, owners: Collection[str]) -> dict[str, PodRow | None]:
        """Return what to keep instead of those, by uid; None: nothing. `owners`: uids of what may own a pod of ours."""
        now_s = self._clock_s()
        strange = {row.ours.metadata.uid: row for row in rows if row.ours and not _is_owned(row.ours, owners)}
        self._since_s = {uid: self._since_s.get(uid, now_s) for uid in strange}
        late = (uid for uid, since_s in self._since_s.items() if now_s - since_s >= STRANGER_WAIT_S)
        return {
            uid: replace(strange[uid], ours=None, is_worker=False) if strange[uid].requests else None for uid in late
        }


def without_strangers(rows: Iterable[PodRow], pods: Mapping[str, Sequence[Pod]]) -> list[PodRow]:
    """Return the rows; of those whose labels say that they are workers, the others are no workers than `pods`."""
    owned = {pod.metadata.uid for of_job in pods.values() for pod in of_job}
    return [
        replace(row, is_worker=False) if row.is_worker and row.ours and row.ours.metadata.uid not in owned else row
        for row in rows
    ]


def _is_owned(pod: Pod, owners: Collection[str]) -> bool:
    return any(owner.uid in owners for owner in pod.metadata.owner_references)

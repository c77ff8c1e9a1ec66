"""Read Kueue's queues, as far as plans need them."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as value

from dueby_api.errors import Invalid, Transient
from dueby_api.schema import LenientSpec, field
from dueby_operator import paths
from dueby_operator.cluster.queues import ClusterQueue, Queue, read_queue
from dueby_operator.kube.client import Kube, Missing, Refused
from dueby_operator.kube.documents import Document
from dueby_operator.objects.parse import parse

log = logging.getLogger(__name__)
GROUP_PATH = "/apis/kueue.x-k8s.io"
# For one queue. A webhook that hangs would take the API server 30 s of each pass.
WAIT_S = 5.0
QueueKey = tuple[str, str]
"""Namespace and name."""


class LocalQueueSpec(LenientSpec, frozen=True, kw_only=True):
    """Which ClusterQueue a LocalQueue leads to."""

    cluster_queue: str


class LocalQueue(LenientSpec, frozen=True, kw_only=True):
    """A LocalQueue."""

    spec: LocalQueueSpec


class FlavorSpec(LenientSpec, frozen=True, kw_only=True):
    """Which nodes a ResourceFlavor is of."""

    node_labels: dict[str, str] = field(default_factory=dict)


class ResourceFlavor(LenientSpec, frozen=True, kw_only=True):
    """A ResourceFlavor."""

    spec: FlavorSpec = field(default_factory=FlavorSpec)


class ApiVersion(LenientSpec, frozen=True, kw_only=True):
    """A version of an API group."""

    group_version: str = ""


class ApiGroup(LenientSpec, frozen=True, kw_only=True):
    """An API group as the server shows it."""

    preferred_version: ApiVersion = field(default_factory=ApiVersion)


@dataclass(frozen=True, kw_only=True)
class Queues:
    """LocalQueues, by namespace and name."""

    found: Mapping[QueueKey, Queue] = value(default_factory=dict)
    unknown: Mapping[QueueKey, str] = value(default_factory=dict)
    """Why the others can't be read now. Whether they exist is not known."""


async def read_queues(
    kube: Kube,
    named: Iterable[QueueKey],
    *,
    before: Mapping[QueueKey, Queue] | None = None,
    wait_s: float = WAIT_S,
) -> Queues:
    """Return the LocalQueues by namespace and name, each with its ClusterQueue and flavors.

    One that doesn't exist, or makes no sense, is left out and logged: it concerns the jobs that name it, and no others.
    While Kueue's webhook is away the API server shows none of them: each is as it was `before`, or unknown.
    """
    found: dict[QueueKey, Queue] = {}
    unknown: dict[QueueKey, str] = {}
    reader, hangs = _QueueReader(kube), ""
    for namespace, name in sorted(set(named)):
        key, why = (namespace, name), hangs
        try:
            if not hangs:
                async with asyncio.timeout(wait_s):
                    found[key] = await reader.read(namespace, name)
        except Missing:  # the job's condition says so
            continue
        except (Refused, Invalid, ValueError) as error:  # ValueError: a quota that is no quantity
            log.warning("the LocalQueue %s/%s is left out: %s", namespace, name, error)
        except TimeoutError:  # the pass waits, and the next one would take as long
            why = hangs = f"no answer within {wait_s:.0f} s"
        except Transient as error:
            why = str(error)
        if why and before and key in before:
            found[key] = before[key]
        elif why:
            unknown[key] = f"the LocalQueue {name} can't be read: {why}"
    return Queues(found=found, unknown=unknown)


class _QueueReader:
    """Reads queues, and what they have in common once."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._documents: dict[str, Document] = {}
        self._cluster_queues: list[ClusterQueue] | None = None

    async def read(self, namespace: str, name: str) -> Queue:
        """Return the queue. Raise Missing, Refused, Invalid or ValueError if that can't be done."""
        served = parse(ApiGroup, await self._get(GROUP_PATH)).preferred_version.group_version
        local = parse(LocalQueue, await self._get(paths.queue_path(served, "localqueues", name, namespace)))
        whole = await self._get(paths.queue_path(served, "clusterqueues", local.spec.cluster_queue))
        queue = parse(ClusterQueue, whole)
        flavors = {
            name: await self._get(paths.queue_path(served, "resourceflavors", name)) for name in queue.flavor_names
        }
        labels = {name: parse(ResourceFlavor, document).spec.node_labels for name, document in flavors.items()}
        return read_queue(queue, labels, await self._cohort(served, queue.cohort) if queue.cohort else ())

    async def _cohort(self, served: str, name: str) -> list[ClusterQueue]:
        """Return all ClusterQueues of a cohort."""
        if self._cluster_queues is None:
            documents = await self._kube.list(paths.cluster_queues_path(served))
            self._cluster_queues = [parse(ClusterQueue, document) for document in documents]
        return [queue for queue in self._cluster_queues if queue.cohort == name]

    async def _get(self, path: str) -> Document:
        if path not in self._documents:
            self._documents[path] = await self._kube.get(path)
        return self._documents[path]

"""Read Kueue's queues, as far as plans need them."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as value

from dueby_api.errors import Invalid, Transient
from dueby_api.schema import LenientSpec, field
from dueby_operator import paths
from dueby_operator.cluster.queues import ClusterQueue, Queue, read_queue
from dueby_operator.kube.client import Kube, Missing, Refused, parse_list
from dueby_operator.kube.documents import Document
from dueby_operator.objects.parse import parse

log = logging.getLogger(__name__)
GROUP_PATH = "/apis/kueue.x-k8s.io"
# For one queue. A webhook that hangs would take the API server 30 s of each pass.
WAIT_S = 5.0
# Queues that are asked for at once. Each of thousands of jobs may name another one, and a pass waits for all of them.
AT_ONCE = 16
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
    queues: dict[QueueKey, Queue] = {}
    unknown: dict[QueueKey, str] = {}
    reader, hangs, keys = _QueueReader(kube, wait_s=wait_s), "", sorted(set(named))
    for first in range(0, len(keys), AT_ONCE):
        some = keys[first : first + AT_ONCE]
        # Where one has hung, the pass doesn't wait for the others, which would take as long.
        read = [hangs] * len(some) if hangs else await asyncio.gather(*map(reader.read_or_say_why, some))
        for key, answer in zip(some, read, strict=True):
            if isinstance(answer, Queue):
                queues[key] = answer
            elif answer and before and key in before:
                queues[key] = before[key]
            elif answer:
                unknown[key] = f"the LocalQueue {key[1]} can't be read: {answer}"
        hangs = hangs or reader.hangs
    return Queues(found=queues, unknown=unknown)


class _QueueReader:
    """Reads queues, and what they have in common once."""

    def __init__(self, kube: Kube, *, wait_s: float) -> None:
        self._kube = kube
        self._wait_s = wait_s
        self._asking: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._documents: dict[str, Document | None] = {}
        """By path; None of what is not there."""
        self._cluster_queues: list[ClusterQueue] | None = None
        self.hangs = ""
        """That there was no answer in time; empty if there was."""

    async def read_or_say_why(self, key: QueueKey) -> Queue | str:
        """Return the queue, or why nothing is known of it now; that is empty if there is none that makes sense."""
        namespace, name = key
        try:
            async with asyncio.timeout(self._wait_s):
                return await self.read(namespace, name)
        except Missing:  # the job's condition says so
            return ""
        except (Refused, Invalid, ValueError) as error:  # ValueError: a quota that is no quantity
            log.warning("the LocalQueue %s/%s is left out: %s", namespace, name, error)
            return ""
        except TimeoutError:
            self.hangs = f"no answer within {self._wait_s:.0f} s"
            return self.hangs
        except Transient as error:
            return str(error)

    async def read(self, namespace: str, name: str) -> Queue:
        """Return the queue. Raise Missing, Refused, Invalid or ValueError if that can't be done."""
        served = parse(ApiGroup, await self._get(GROUP_PATH)).preferred_version.group_version
        local = parse(LocalQueue, await self._get(paths.custom_path(served, "localqueues", name, namespace)))
        whole = await self._get(paths.custom_path(served, "clusterqueues", local.spec.cluster_queue))
        queue = parse(ClusterQueue, whole)
        flavors = {
            name: await self._get(paths.custom_path(served, "resourceflavors", name)) for name in queue.flavor_names
        }
        labels = {name: parse(ResourceFlavor, document).spec.node_labels for name, document in flavors.items()}
        return read_queue(queue, labels, await self._cohort(served, queue.cohort) if queue.cohort else ())

    async def _cohort(self, served: str, name: str) -> list[ClusterQueue]:
        path = paths.custom_path(served, "clusterqueues")
        async with self._asking[path]:
            if self._cluster_queues is None:
                self._cluster_queues = await parse_list(self._kube, path, ClusterQueue)
        return [queue for queue in self._cluster_queues if queue.cohort == name]

    async def _get(self, path: str) -> Document:
        async with self._asking[path]:
            if path not in self._documents:
                try:
                    self._documents[path] = await self._kube.get(path)
                except Missing:
                    self._documents[path] = None
        document = self._documents[path]
        if document is None:
            raise Missing(path)
        return document

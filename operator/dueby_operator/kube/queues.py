"""Read Kueue's queues, as far as plans need them."""

from collections.abc import Mapping
from typing import Any

from dueby_api.errors import Invalid
from dueby_api.schema import LenientSpec, field
from dueby_operator.cluster.queues import ClusterQueue, Queue, read_groups
from dueby_operator.kube.client import Kube, Missing
from dueby_operator.objects.parse import parse

GROUP_PATH = "/apis/kueue.x-k8s.io"


class LocalQueueSpec(LenientSpec, frozen=True, kw_only=True):
    """Which ClusterQueue a LocalQueue leads to."""

    cluster_queue: str = ""


class LocalQueue(LenientSpec, frozen=True, kw_only=True):
    """A LocalQueue."""

    spec: LocalQueueSpec = field(default_factory=LocalQueueSpec)


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


async def read_queue(kube: Kube, namespace: str, name: str) -> Queue | None:
    """Return the LocalQueue with its ClusterQueue and flavors; None if any of them doesn't exist or can't be read."""
    try:
        served = parse(ApiGroup, await kube.get(GROUP_PATH))
        api = f"/apis/{served.preferred_version.group_version}"
        local = parse(LocalQueue, await kube.get(f"{api}/namespaces/{namespace}/localqueues/{name}"))
        queue = parse(ClusterQueue, await kube.get(f"{api}/clusterqueues/{local.spec.cluster_queue}"))
        labels = await _flavor_labels(kube, api, queue)
    except (Missing, Invalid):
        return None
    return Queue(groups=read_groups(queue, labels))


async def _flavor_labels(kube: Kube, api: str, queue: ClusterQueue) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, Any] = {name: await kube.get(f"{api}/resourceflavors/{name}") for name in queue.flavor_names}
    return {name: parse(ResourceFlavor, document).spec.node_labels for name, document in found.items()}

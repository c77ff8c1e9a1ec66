"""Fill a large cluster with what isn't measured: nodes with GPUs, and the pods of somebody else.

Nodes and pods are made through the API server as any others are, many at once, and kwok (large_cluster.py) has the pods
run. A node's pods get addresses of this machine, from a net of their own: whoever asks a worker is answered here
(made_up_workers.py), and which node asked about can be told from the address.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dueby_operator import paths
from dueby_operator.kube.client import Kube
from large_cluster import MADE_UP, Document, until

# Nodes whose pods have addresses that begin alike.
NODES_OF_A_NET = 64
# Requests at once while the cluster is filled.
AT_ONCE = 48


@dataclass(frozen=True, kw_only=True)
class Fill:
    """What there is beside what is measured."""

    nodes: dict[str, int]
    """Nodes by the product of their GPUs."""
    gpus_each: int
    pods: int
    """Of somebody else's, without GPUs, spread evenly."""

    @property
    def products(self) -> list[str]:
        """Each node's."""
        return [product for product, count in self.nodes.items() for _ in range(count)]


async def fill(kube: Kube, wanted: Fill) -> float:
    """Make it, and wait until every pod runs; the mean size of a pod in bytes of JSON."""
    products = wanted.products
    await each(
        [node_document(number, product, wanted.gpus_each) for number, product in enumerate(products)], kube, _make_node
    )
    await kube.create(paths.core_path("namespaces"), {"metadata": {"name": "others"}})
    await until(lambda: _has_account(kube, "others"), "the namespace of the other pods is ready")
    pods = [_other_pod(number, number % len(products)) for number in range(wanted.pods)]
    await each(pods, kube, lambda kube, pod: kube.create(paths.core_path("pods", "others"), pod))
    path = paths.core_path("pods", "others")

    async def all_run() -> bool:
        return len(await list_all(kube, path, fieldSelector="status.phase=Running")) == wanted.pods

    await until(all_run, "the other pods run", pause_s=3.0)
    some = (await anext(kube.pages(path))).items or ()
    return sum(len(bytes(pod)) for pod in some) / len(some)


async def list_all(kube: Kube, path: str, **query: str) -> list[Document]:
    """The objects of a list."""
    return [json.loads(bytes(item)) async for page in kube.pages(path, **query) for item in page.items or ()]


async def each(documents: Sequence[Document], kube: Kube, make: Any) -> None:
    """Have each document made, some at once."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(document: Document) -> None:
        async with turns:
            await make(kube, document)

    await asyncio.gather(*map(one, documents))


async def _make_node(kube: Kube, node: Document) -> None:
    path = paths.core_path("nodes")
    await kube.create(path, node)
    # The API server taints every new node until the controller that isn't there finds it ready.
    await kube.merge(f"{path}/{node['metadata']['name']}", {"spec": {"taints": None}})


async def _has_account(kube: Kube, namespace: str) -> bool:
    return any(
        found["metadata"]["name"] == "default"
        for found in await list_all(kube, paths.core_path("serviceaccounts", namespace))
    )


def node_document(number: int, product: str, gpus: int) -> Document:
    resources = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "1Ti", "pods": "110", "nvidia.com/gpu": str(gpus)}
    labels = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": f"gpu-{number:04d}",
        "nvidia.com/gpu.product": product,
        "nvidia.com/gpu.count": str(gpus),
    }
    return {
        "metadata": {"name": f"gpu-{number:04d}", "labels": labels, "annotations": MADE_UP},
        # Its pods' addresses are this machine's own, so that who asks them is answered here.
        "spec": {"podCIDR": f"127.{1 + number // NODES_OF_A_NET}.{number % NODES_OF_A_NET}.0/24"},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "made up"}],
            "nodeInfo": {
                **dict.fromkeys(("machineID", "systemUUID", "bootID", "kernelVersion", "osImage"), "made up"),
                **dict.fromkeys(("containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion"), "made up"),
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }


def _other_pod(number: int, node: int) -> Document:
    env = [{"name": f"SETTING_{i}", "value": f"value-{i}"} for i in range(12)]
    resources = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    container = {"name": "app", "image": "registry.example/app:1", "env": env, "resources": resources}
    return {
        "metadata": {"name": f"other-{number:05d}", "labels": {"app": f"app-{number % 100}"}},
        "spec": {"nodeName": f"gpu-{node:04d}", "containers": [container]},
    }

"""Spot nodes, which a cloud may take away at any time, and how pods are kept on them or off. Pure.

A label says that a node is one, as Karpenter and the clouds write it, or the chart says it of the node's pool.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dueby_api.capacity import NodePool

# What is written on each spot node by Karpenter, GKE, EKS and AKS.
SPOT_LABELS = {
    "karpenter.sh/capacity-type": "spot",
    "cloud.google.com/gke-spot": "true",
    "eks.amazonaws.com/capacityType": "SPOT",
    "kubernetes.azure.com/scalesetpriority": "spot",
}


def is_spot(labels: Mapping[str, str], pool: str, pools: Iterable[NodePool]) -> bool:
    """Return whether a node with these labels, of the pool of this name, may be taken away at any time."""
    is_labelled = any(labels.get(name) == value for name, value in SPOT_LABELS.items())
    return is_labelled or any(entry.spot for entry in pools if entry.name == pool)


def node_terms(pools: Iterable[NodePool], *, spot: bool) -> list[list[dict[str, Any]]]:
    """Return lists of expressions of which a node's labels meet one, for nodes that are spot or for those that aren't.

    Of a pool that is spot the selector has one label.
    """
    of_pools = [label for pool in pools if pool.spot for label in pool.node_selector.items()]
    labels = [*SPOT_LABELS.items(), *of_pools]
    if spot:
        return [[{"key": name, "operator": "In", "values": [value]}] for name, value in labels]
    return [[{"key": name, "operator": "NotIn", "values": [value]} for name, value in labels]]

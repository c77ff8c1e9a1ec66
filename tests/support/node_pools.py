"""Pools that stand at zero, as tests have them."""

from typing import Any

from dueby_api.capacity import NodePool
from dueby_api.schema import validate

POOL_LABELS = {"pool": "burst"}


def pool(**fields: Any) -> NodePool:
    """Two nodes with eight slices of a core each, which come within ten minutes."""
    usual = {"name": "burst", "class": "cpu-1", "devicesPerNode": 8, "maxNodes": 2, "nodeSelector": POOL_LABELS}
    return validate(NodePool, {**usual, "timeToProvision": "10m", **fields})

"""Spot nodes: how they are known, and that their devices are told from others."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.spot import is_spot
from dueby_planner.model.capacity import Provision
from support.decisions import NOW, SECOND, SETTINGS, node
from support.device_groups import claimant
from support.node_pools import pool


@pytest.mark.parametrize(
    ("labels", "of", "spot"),
    [
        pytest.param({"karpenter.sh/capacity-type": "spot"}, {}, True, id="Karpenter's"),
        pytest.param({"karpenter.sh/capacity-type": "on-demand"}, {}, False, id="on demand of Karpenter"),
        pytest.param({"cloud.google.com/gke-spot": "true"}, {}, True, id="GKE's"),
        pytest.param({"eks.amazonaws.com/capacityType": "SPOT"}, {}, True, id="EKS's"),
        pytest.param({"eks.amazonaws.com/capacityType": "ON_DEMAND"}, {}, False, id="on demand of EKS"),
        pytest.param({"kubernetes.azure.com/scalesetpriority": "spot"}, {}, True, id="AKS's"),
        pytest.param({"pool": "burst"}, {"spot": True}, True, id="of a pool that is spot"),
        pytest.param({"pool": "burst"}, {}, False, id="of a pool that isn't"),
        pytest.param({}, {"spot": True}, False, id="of no pool"),
    ],
)
def test_a_node_is_spot_by_its_label_or_its_pool(labels: dict[str, str], of: dict[str, Any], *, spot: bool) -> None:
    assert is_spot(labels, labels.get("pool", ""), [pool(**of)]) == spot


def test_devices_of_spot_nodes_are_groups_of_their_own() -> None:
    nodes = {"a": node("a"), "b": replace(node("b"), is_spot=True)}
    settings = replace(SETTINGS, node_pools=(pool(spot=True),))
    provision = {"burst": Provision(expected_us=600 * SECOND, late_us=600 * SECOND)}
    devices = ClusterDevices(settings=settings, now_us=NOW, nodes=nodes, provision=provision)
    found = devices.groups([claimant("job")]).all
    assert {(group.nodes, group.pool, group.is_spot) for group in found} == {
        (frozenset({"a"}), "", False),
        (frozenset({"b"}), "", True),
        (frozenset(), "burst", True),
    }

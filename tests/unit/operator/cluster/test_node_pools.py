"""What pools could still have, as device groups: how much, for whom, and how their workers' pods ask for it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dueby_api.capacity import NodePool
from dueby_api.units import format_time
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.node_pools import count_late, find_answers, pool_of
from dueby_operator.cluster.nodes import Node, read_node
from dueby_operator.cluster.queues import ClusterQueue, read_queue
from dueby_operator.cluster.quotas import Bound
from dueby_operator.objects.capacity_requests import ProvisioningRequest
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from dueby_planner.model.capacity import Provision
from dueby_planner.profiles.observed import learn_provision
from dueby_planner.schedule.devices import DeviceGroups, IdleDevices
from support.decisions import NOW, SECOND, SETTINGS, node, node_document
from support.device_groups import claimant
from support.node_pools import POOL_LABELS, pool
from support.operator import spec, worker

LABELS = POOL_LABELS
TAINT = {"key": "dedicated", "value": "gpus", "effect": "NoSchedule"}
TOLERATION = {"key": "dedicated", "operator": "Equal", "value": "gpus"}
KEY = ("team", "job")


def member(name: str = "n", cores: int = 8, **changes: Any) -> Node:
    return replace(node(name, cores), labels=LABELS, pool="burst", **changes)


def devices(*nodes: Node, of: NodePool | None = None, **fields: Any) -> ClusterDevices:
    pools = (of or pool(),)
    return ClusterDevices(
        settings=replace(SETTINGS, node_pools=pools),
        now_us=NOW,
        nodes={each.name: each for each in nodes},
        provision=learn_provision(pools, ()),
        **fields,
    )


def asked(groups: DeviceGroups) -> int:
    """How many devices can be asked for."""
    return sum(group.devices for group in groups.all if group.provision)


def test_a_pool_at_zero_has_all_its_devices_once_they_are_asked_for() -> None:
    (group,) = devices().groups([claimant("job")]).all
    assert (group.devices, group.idle, group.device_class, group.pool) == (16, 16, "cpu-1", "burst")
    assert group.provision == Provision(expected_us=600 * SECOND, late_us=600 * SECOND)
    assert (group.is_on_nodes, group.is_announced, group.away) == (False, False, ())


@pytest.mark.parametrize(
    ("nodes", "missing"),
    [
        pytest.param([member()], 8, id="one node has come"),
        pytest.param([member("a"), member("b")], 0, id="all have come"),
        pytest.param([member("a"), member("b"), member("c")], 0, id="more than there can be"),
        pytest.param([member(cores=6)], 10, id="one with fewer devices, or without its device plugin yet"),
        pytest.param([member(is_ready=False)], 16, id="one that isn't ready"),
        pytest.param([node("day")], 16, id="one of no pool"),
    ],
)
def test_devices_of_nodes_that_have_come_are_not_asked_for_again(nodes: list[Node], missing: int) -> None:
    assert asked(devices(*nodes).groups([claimant("job")])) == missing


def test_devices_on_a_pool_s_nodes_are_a_group_of_their_own() -> None:
    found = devices(member("n1"), node("day")).groups([claimant("job")]).all
    assert {(group.pool, group.nodes, bool(group.provision)) for group in found} == {
        ("", frozenset({"day"}), False),
        ("burst", frozenset({"n1"}), False),
        ("burst", frozenset(), True),
    }


@pytest.mark.parametrize(
    ("job", "of", "may_ask"),
    [
        pytest.param({}, {}, True, id="any job"),
        pytest.param({"deadlineClass": "BestEffort"}, {}, False, id="one that buys nothing"),
        pytest.param({"queueName": "queue"}, {}, True, id="one in a queue"),
        pytest.param({"gpus": {"classes": ["cpu-2"]}}, {}, False, id="one that wants another class"),
        pytest.param({"worker": {"nodeSelector": LABELS}}, {}, True, id="one that selects its nodes"),
        pytest.param({"worker": {"nodeSelector": {"zone": "a"}}}, {}, False, id="one that selects others"),
        pytest.param({}, {"taints": [TAINT]}, False, id="one that doesn't tolerate its taint"),
        pytest.param({"worker": {"tolerations": [TOLERATION]}}, {"taints": [TAINT]}, True, id="one that does"),
        pytest.param({}, {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]}, True, id="the usual taint"),
        pytest.param({}, {"taints": [TAINT | {"effect": "PreferNoSchedule"}]}, True, id="a taint that keeps nobody"),
        pytest.param({}, {"class": "NVIDIA-H100"}, False, id="a class without a profile"),
    ],
)
def test_who_may_ask(job: dict[str, Any], of: dict[str, Any], *, may_ask: bool) -> None:
    assert bool(asked(devices(of=pool(**of)).groups([claimant("job", **job)]))) == may_ask


def test_quotas_count_devices_of_a_class_that_no_node_has_yet() -> None:
    gpus = pool(**{"class": "NVIDIA-H100"})
    job = replace(claimant("job", queueName="night"), classes=("NVIDIA-H100",))
    quota = {"team": {"requests.nvidia.com/gpu": Bound(8.0, 8.0)}}
    groups = [{"flavors": [flavor(name, quota) for name, quota in (("h100", 5), ("others", 3))]}]
    queue = parse(ClusterQueue, {"metadata": {"name": "night"}, "spec": {"resourceGroups": groups}})
    labels = {"h100": LABELS, "others": {"pool": "others"}}
    found = devices(of=gpus, room=quota, queues={("team", "night"): read_queue(queue, labels)}).groups([job])
    assert asked(found) == 16
    assert sorted(limit.units / max(limit.costs[KEY].values()) for limit in found.limits) == [5, 8]


def flavor(name: str, quota: int) -> dict[str, Any]:
    return {"name": name, "resources": [{"name": "nvidia.com/gpu", "nominalQuota": str(quota)}]}


def test_while_nodes_are_late_jobs_of_that_namespace_ask_for_no_more() -> None:
    waiting = replace(worker("w0"), state="lost", is_absent=True)
    waiting = replace(waiting, assignment=replace(waiting.assignment, pool="burst"))
    late = count_late([("team", waiting), ("team", worker("w1")), ("others", replace(waiting, is_absent=False))])
    assert dict(late) == {("team", "burst"): 1}
    there = devices(late=late)
    other = replace(claimant("job"), key=("others", "job"))
    assert [group.users for group in there.groups([claimant("job"), other]).all] == [{("others", "job")}]
    sentence = "1 cpu-1 of the pool burst that was asked for has not come within 10m00s."
    assert there.missing("team", spec(), classes=["cpu-1"]) == sentence
    assert not there.missing("others", spec(), classes=["cpu-1"])


ACCEPTED = {"type": "Accepted", "status": "True", "message": "It is looked at."}
REFUSED = {"type": "Failed", "status": "True", "reason": "CapacityIsNotFound", "message": "There is no quota."}


@pytest.mark.parametrize(
    ("conditions", "ends"),
    [
        pytest.param([], "no autoscaler has answered ProvisioningRequest job-w.", id="nothing was said"),
        pytest.param([ACCEPTED], "ProvisioningRequest job-w is Accepted: It is looked at.", id="it is looked at"),
        pytest.param(
            [ACCEPTED, {"type": "Provisioned", "status": "True", "message": "Nodes are made."}],
            "ProvisioningRequest job-w is Provisioned: Nodes are made.",
            id="nodes were to come",
        ),
        pytest.param(
            [ACCEPTED, {"type": "Provisioned", "status": "False", "message": "It is tried again."}],
            "ProvisioningRequest job-w is not Provisioned yet: It is tried again.",
            id="no nodes are to be had now",
        ),
        pytest.param(
            [{**REFUSED, "status": "False"}, ACCEPTED],
            "ProvisioningRequest job-w is Accepted: It is looked at.",
            id="it hasn't failed",
        ),
        pytest.param([REFUSED], "ProvisioningRequest job-w is Failed: There is no quota.", id="it has failed"),
        pytest.param(
            [{"type": "BookingExpired", "status": "True", "reason": "TooLate", "message": ""}],
            "ProvisioningRequest job-w is BookingExpired: TooLate.",
            id="nothing is kept for it any more",
        ),
    ],
)
def test_what_an_autoscaler_said_against_nodes_is_in_the_sentence_on_those_that_have_not_come(
    conditions: list[dict[str, str]], ends: str
) -> None:
    request = parse(ProvisioningRequest, {"metadata": {"name": "job-w"}, "status": {"conditions": conditions}})
    waiting = replace(worker("w0"), state="lost", is_absent=True, group="job-w")
    waiting = replace(waiting, assignment=replace(waiting.assignment, pool="burst"))
    answers = find_answers([("team", waiting, {"job-w": request}), ("team", worker("w1"), {})])
    there = devices(late=count_late([("team", waiting)]), answers=answers)
    assert there.missing("team", spec(), classes=["cpu-1"]).endswith(ends)


def test_a_pod_that_waits_for_a_node_names_the_pool_s_labels_and_no_product() -> None:
    kind = devices(of=pool(**{"class": "NVIDIA-H100"})).kind_in_pool("burst", "NVIDIA-H100")
    assert kind is not None
    assert (kind.resource, kind.selector) == ("nvidia.com/gpu", LABELS)
    slices = devices().kind_in_pool("burst", "cpu-1")
    assert slices is not None
    assert (slices.resource, slices.selector, bool(slices.without_labels)) == (None, LABELS, True)
    assert devices().kind_in_pool("gone", "cpu-1") is None


def test_a_node_belongs_to_the_first_pool_that_has_its_labels() -> None:
    pools = (pool(name="a", nodeSelector={"pool": "a"}), pool(name="b", nodeSelector={"zone": "z"}))
    found: Mapping[str, str] = {"pool": "a", "zone": "z", "more": "x"}
    assert (pool_of(found, pools), pool_of({"zone": "z"}, pools), pool_of({}, pools)) == ("a", "b", "")


def test_a_worker_that_has_asked_takes_what_has_come_before_what_may_come() -> None:
    groups = devices(member("n1", cores=2), node("day"), of=pool(devicesPerNode=2)).groups([claimant("job")])
    idle = IdleDevices(groups)
    names = [idle.has_started(KEY, "cpu-1", "burst") for _ in range(5)]
    here = groups.at(KEY, "cpu-1", "n1")
    assert here is not None
    assert names == [here.name, here.name, "cpu-1#pool-burst", "cpu-1#pool-burst", None]
    day = groups.at(KEY, "cpu-1", "day")
    assert day is not None
    assert idle.has_started(KEY, "cpu-1", "") == day.name


def test_what_is_asked_for_is_not_among_the_devices_that_nodes_have() -> None:
    groups = devices(node("day", 3)).groups([claimant("job")])
    names = [group.name for group in groups.of(KEY)]
    assert sorted(IdleDevices(groups).offered(KEY, {"cpu-1": 2}, names).values()) == [2, 16]


@pytest.mark.parametrize(
    ("ready", "ready_us"),
    [
        pytest.param({"status": "True", "lastTransitionTime": format_time(NOW)}, NOW, id="since then"),
        pytest.param({"status": "False", "lastTransitionTime": format_time(NOW)}, None, id="not any more"),
        pytest.param({"status": "True"}, None, id="nobody knows since when"),
    ],
)
def test_since_when_a_node_is_ready(ready: dict[str, str], ready_us: int | None) -> None:
    document = node_document()
    document["status"]["conditions"] = [{"type": "Ready", **ready}]
    found = read_node(parse(NodeObject, document | {"spec": {"unschedulable": True}}))
    assert devices(found).ready_us(found.name) == ready_us
    assert devices(found).ready_us("gone") is None

"""The devices of a cluster: free devices are counted once for all jobs that ask for the same."""

from dataclasses import replace
from typing import Any

from dueby_api.inference_job import JobSpec
from dueby_operator.cluster.devices import ClusterDevices
from support.decisions import NOW, SETTINGS, indexed, infj, look, node
from support.operator import spec


def devices(*names: str, **more: Any) -> ClusterDevices:
    """Nodes of eight cores, without GPUs."""
    return ClusterDevices(settings=SETTINGS, now_us=NOW, nodes={name: node(name) for name in names}, **more)


def asking(*, cpu: str = "1", **selector: str) -> JobSpec:
    """A job whose workers ask for so many cores and a byte, on nodes with these labels."""
    resources = {"requests": {"cpu": cpu, "memory": "1"}}
    return spec(worker={"resources": resources, "nodeSelector": selector})


def slices(found: ClusterDevices, asked: JobSpec | None = None) -> int:
    """The free slices of one core."""
    offer = found.offer("team", asked or asking(), classes=["cpu-1"])
    assert offer.counts == found.free_for_one("team", asked or asking(), classes=["cpu-1"])
    return offer.counts["cpu-1"]


def test_each_way_of_asking_is_counted_for_itself() -> None:
    found = devices("a", "b")
    asked = [asking(), asking(cpu="0.5"), asking(cpu="4"), asking(zone="x"), asking()]
    assert [slices(found, each) for each in asked] == [16, 16, 0, 0, 16]


def test_a_silent_node_is_counted_no_more() -> None:
    found = devices("a", "b")
    assert slices(found) == 16
    assert slices(replace(found, silent_nodes=frozenset({"b"}))) == 8


def test_a_plan_says_that_pods_of_other_namespaces_are_not_counted() -> None:
    blind = replace(SETTINGS, watch_namespaces=("team",), ignores_other_pods=True)
    for settings, warnings in ((SETTINGS, 0), (blind, 1)):
        plan = look(infj(status=indexed()), settings=settings).status.plan
        assert plan is not None
        assert len([told for told in plan.warnings if "devices that they use count as free" in told]) == warnings

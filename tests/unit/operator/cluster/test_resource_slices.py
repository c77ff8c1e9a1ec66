"""GPUs in ResourceSlices: what of them a worker could have, by documents as NVIDIA's driver publishes them.

tests/support/resource_slices.py says where their shape comes from.
"""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_operator.cluster.nodes import PodRow, free_devices, read_node, with_published
from dueby_operator.cluster.pods_on_nodes import take_pods
from dueby_operator.cluster.resource_slices import PublishedGPUs, read_published
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from dueby_operator.objects.resource_slices import DeviceClass, ResourceClaim, ResourceSlice
from support.resource_slices import FOR_POD, GPU, GPUS, claim, device_class, gpu, mig, resource_slice

Document = dict[str, Any]
A100, LABEL = "NVIDIA-A100-PCIE-40GB", "nvidia.com/gpu.product"
MIG_1G = "nvidia.com/mig-1g.5gb"
OF_1G = "device.attributes['gpu.nvidia.com'].type == 'mig' && device.attributes['gpu.nvidia.com'].profile == '1g.5gb'"
EIGHT = [gpu(number) for number in range(8)]


def published(
    slices: Iterable[Document], *, claims: Iterable[Document] = (), classes: Iterable[Document] = (device_class(),)
) -> dict[str, PublishedGPUs]:
    return read_published(
        [parse(ResourceSlice, each) for each in slices],
        [parse(ResourceClaim, each) for each in claims],
        [parse(DeviceClass, each) for each in classes],
    )


def of_node(
    devices: Iterable[Document], *claims: Document, classes: Iterable[Document] = (device_class(),)
) -> tuple[dict[str, tuple[int, int]], str]:
    """How many the node `n` has and how many of them others have claimed, by resource, and why others don't count."""
    found = published([resource_slice("n", devices)], claims=claims, classes=classes)["n"]
    return {name: (each.count, each.claimed) for name, each in found.resources.items()}, found.uncounted


def test_whole_gpus_count_less_those_that_are_claimed() -> None:
    assert of_node(EIGHT) == ({GPU: (8, 0)}, "")
    assert of_node(EIGHT, claim("a", "n", ["gpu-0", "gpu-3"]), claim("b", "other", ["gpu-1"])) == ({GPU: (8, 2)}, "")
    assert of_node(EIGHT, claim("looks", "n", ["gpu-0"], adminAccess=True)) == ({GPU: (8, 0)}, "")


def test_the_schedulers_claim_for_a_pod_is_counted_by_the_pod() -> None:
    assert of_node(EIGHT, claim("a", "n", ["gpu-0"], annotations=FOR_POD)) == ({GPU: (8, 0)}, "")
    # That pod asks for another extended resource, and its request says nothing about this one.
    other = claim("a", "n", ["gpu-0"], annotations=FOR_POD, class_name="other")
    assert of_node(EIGHT, other) == ({GPU: (8, 1)}, "")


@pytest.mark.parametrize(
    "unusable",
    [
        pytest.param({"taints": [{"key": "gpu.nvidia.com/xid", "effect": "NoSchedule"}]}, id="faulty"),
        pytest.param({"allowMultipleAllocations": True}, id="shared with strangers"),
    ],
)
def test_a_gpu_that_no_worker_could_have_for_itself_does_not_count(unusable: Document) -> None:
    assert of_node([gpu(0), gpu(1, **unusable)]) == ({GPU: (1, 0)}, "")


def test_a_taint_that_keeps_nobody_off_is_none() -> None:
    assert of_node([gpu(0, taints=[{"key": "gpu.nvidia.com/xid", "effect": "None"}])]) == ({GPU: (1, 0)}, "")


def test_a_gpu_of_which_somebody_has_a_part_is_not_free() -> None:
    devices = [gpu(0, splits=True), mig(0, 0, splits=True), mig(0, 1, splits=True), gpu(1, splits=True)]
    assert of_node(devices) == ({GPU: (2, 0)}, "")
    (part,) = {device["name"] for device in devices[1:2]}
    for annotations in ({}, FOR_POD):
        taken = claim("a", "n", [part], annotations=annotations, class_name="mig.nvidia.com")
        assert of_node(devices, taken) == ({GPU: (2, 1)}, "")
    assert of_node(devices, claim("a", "n", ["gpu-0"], annotations=FOR_POD)) == ({GPU: (2, 0)}, "")


def test_mig_devices_count_by_the_profile_that_their_resource_names() -> None:
    devices = [mig(0, start) for start in range(7)] + [mig(1, 0, profile="2g.10gb")]
    found, why = of_node(devices, classes=[device_class("one", OF_1G, resource=MIG_1G)])
    assert found == {MIG_1G: (7, 0)}
    assert why == "no DeviceClass has them and an extendedResourceName that workers ask for, such as nvidia.com/gpu"


def test_gpus_that_a_pod_gets_any_of_do_not_count() -> None:
    _, why = of_node([gpu(0), gpu(1, product="NVIDIA L4")])
    assert why == "who asks for nvidia.com/gpu gets any of NVIDIA-A100-PCIE-40GB, NVIDIA-L4"
    wide = device_class("all", "device.driver == 'gpu.nvidia.com'")
    assert of_node([gpu(0), mig(1, 0)], classes=[wide])[0] == {}
    misnamed = device_class("one", OF_1G, resource="nvidia.com/mig-2g.10gb")
    assert of_node([mig(0, 0)], classes=[misnamed])[0] == {}


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        pytest.param([], "no DeviceClass has them", id="no class"),
        pytest.param([device_class(resource="")], "no DeviceClass has them", id="a class that names no resource"),
        pytest.param([device_class(resource="example.com/gpu")], "no DeviceClass has them", id="of another resource"),
        pytest.param(
            [
                device_class(
                    "big", f"{GPUS} && device.capacity['gpu.nvidia.com'].memory.isGreaterThan(quantity('40Gi'))"
                )
            ],
            "the operator can't read which devices the DeviceClass big selects",
            id="an expression that is not read",
        ),
    ],
)
def test_gpus_that_workers_cant_ask_for_are_told_of_and_do_not_count(classes: list[Document], words: str) -> None:
    found, why = of_node(EIGHT, classes=classes)
    assert found == {}
    assert words in why


def test_of_two_classes_of_a_resource_the_younger_one_counts_and_then_the_first_by_name() -> None:
    none = "device.driver == 'other'"
    times = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    for old, new in (times, times[::-1]):
        classes = [device_class("a", created=old), device_class("b", none, created=new)]
        assert of_node(EIGHT, classes=classes)[0] == ({GPU: (8, 0)} if old > new else {})
    assert of_node(EIGHT, classes=[device_class("b", none), device_class("a")])[0] == {GPU: (8, 0)}


def test_only_the_newest_slices_of_a_pool_count_and_only_all_of_them() -> None:
    old, new = resource_slice("n", EIGHT), resource_slice("n", EIGHT[:2], generation=2, of=2)
    assert published([old])["n"].resources[GPU].count == 8
    assert published([old, new]) == {}
    both = published([old, new, resource_slice("n", EIGHT[2:5], generation=2, of=2, number=1)])
    assert both["n"].resources[GPU].count == 5
    assert published([resource_slice("n", EIGHT, driver="gpu.example.com")]) == {}


def node(*, plugin: str = "", labels: Document | None = None) -> Document:
    return {
        "metadata": {"name": "n", "labels": {LABEL: A100} if labels is None else labels},
        "status": {
            "allocatable": {"cpu": "64", "pods": "110", **({GPU: plugin} if plugin else {})},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def free(found: PublishedGPUs, document: Document, *asked: Document) -> int:
    """How many more workers fit beside pods that ask for this."""
    read = with_published(read_node(parse(NodeObject, document)), found)
    left = take_pods([read], [PodRow(node="n", requests={"pods": 1.0, **each}) for each in asked])
    return free_devices(left.values(), A100, requests={"cpu": 1.0, "pods": 1.0})


def test_what_is_free_is_published_and_neither_claimed_nor_asked_for_by_a_pod() -> None:
    taken = [claim("a", "n", ["gpu-0"]), claim("b", "n", ["gpu-1"], annotations=FOR_POD)]
    found = published([resource_slice("n", EIGHT)], claims=taken)["n"]
    assert free(found, node(), {GPU: 1.0}) == 6
    assert free(found, node(), {"deviceclass.resource.kubernetes.io/gpu.nvidia.com": 1.0}) == 6
    assert free(found, node(), {"deviceclass.resource.kubernetes.io/other": 1.0}) == 7


def test_what_a_device_plugin_allocates_is_not_counted_twice() -> None:
    found = published([resource_slice("n", EIGHT)])["n"]
    assert free(found, node(plugin="4")) == 4
    # So it is left behind where the device plugin was taken away.
    assert free(found, node(plugin="0")) == 8


def test_beside_what_a_device_plugin_allocates_nobody_misses_what_cant_be_asked_for() -> None:
    found = published([resource_slice("n", EIGHT)], classes=[])["n"]
    assert with_published(read_node(parse(NodeObject, node())), found).uncounted
    assert not with_published(read_node(parse(NodeObject, node(plugin="4"))), found).uncounted


def test_a_node_without_the_label_says_how_to_get_it() -> None:
    found = published([resource_slice("n", EIGHT)])["n"]
    read = with_published(read_node(parse(NodeObject, node(labels={}))), found)
    assert not read.devices
    assert f"`kubectl label node NODE {LABEL}={A100}`" in read.uncounted
    parts = published([resource_slice("n", [mig(0, 0)])], classes=[device_class("one", OF_1G, resource=MIG_1G)])["n"]
    assert f"{LABEL}={A100}`" in with_published(read_node(parse(NodeObject, node(labels={}))), parts).uncounted


def test_a_product_is_as_gpu_feature_discovery_has_it() -> None:
    (found,) = published([resource_slice("n", [gpu(0, product=" NVIDIA  TITAN X (Pascal)")])])["n"].resources.values()
    assert found.product == "NVIDIA-TITAN-X-Pascal"
    (found,) = published(
        [resource_slice("n", [mig(0, 0)])], classes=[device_class("all", "device.driver == 'gpu.nvidia.com'")]
    )["n"].resources.values()
    assert found.product == "NVIDIA-A100-PCIE-40GB-MIG-1g.5gb"


DEVICES = st.lists(
    st.one_of(
        st.builds(gpu, st.integers(0, 5), splits=st.booleans(), product=st.sampled_from(["NVIDIA L4", "T4"])),
        st.builds(mig, st.integers(0, 5), st.integers(0, 6), splits=st.booleans(), profile=st.sampled_from(["a", "b"])),
    ),
    max_size=12,
    unique_by=lambda device: device["name"],
)
CLAIMS = st.lists(
    st.builds(
        claim,
        st.just("c"),
        st.sampled_from(["n", "m"]),
        st.lists(st.sampled_from([*(f"gpu-{n}" for n in range(6)), "gpu-0-mig-a-19-0"]), max_size=4),
        annotations=st.sampled_from([None, FOR_POD]),
        class_name=st.sampled_from(["gpu.nvidia.com", "b"]),
    ),
    max_size=6,
)
CLASSES = st.lists(
    st.builds(
        device_class,
        st.sampled_from(["gpu.nvidia.com", "b"]),
        st.sampled_from([GPUS, OF_1G, "device.driver == 'gpu.nvidia.com'", "true"]),
        resource=st.sampled_from(["", GPU, MIG_1G, "nvidia.com/mig-a"]),
    ),
    max_size=3,
)


@given(DEVICES, CLAIMS, CLASSES)
def test_no_more_count_than_are_published_and_never_less_than_none(
    devices: list[Document], claims: list[Document], classes: list[Document]
) -> None:
    found = published([resource_slice("n", devices)], claims=claims, classes=classes)["n"]
    counts = [(each.count, each.claimed) for each in found.resources.values()]
    assert all(0 <= claimed <= count for count, claimed in counts)
    assert sum(count for count, _ in counts) <= len(devices)
    assert free(found, node()) <= len(devices)

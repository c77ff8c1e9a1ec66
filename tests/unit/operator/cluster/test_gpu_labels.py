"""Which of a node's resources are whole devices, and what is said of those that pods share."""

from typing import Any

import pytest

from dueby_operator.cluster.gpu_labels import labelled_gpus, why_uncounted
from dueby_operator.cluster.nodes import read_node
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from dueby_operator.settings import CLASS_LABELS

A100, PRODUCT, GPU, SLICE = "NVIDIA-A100-SXM4-40GB", "nvidia.com/gpu.product", "nvidia.com/gpu", "nvidia.com/mig-1g.5gb"
GKE, GKE_A100 = "cloud.google.com/gke-accelerator", "nvidia-tesla-a100"
PARTITION = "cloud.google.com/gke-gpu-partition-size"


def a_node(resources: dict[str, str], labels: dict[str, str]) -> Any:
    return read_node(
        parse(NodeObject, {"metadata": {"name": "n", "labels": labels}, "status": {"allocatable": resources}})
    )


@pytest.mark.parametrize(
    ("resource", "labels", "why"),
    [
        pytest.param(GPU, {PRODUCT: f"{A100}-SHARED"}, f"{PRODUCT}={A100}-SHARED", id="time-sliced"),
        pytest.param(GPU, {PRODUCT: A100, f"{GPU}.replicas": "4"}, f"{GPU}.replicas=4", id="by its replicas"),
        pytest.param(
            GPU, {PRODUCT: A100, f"{GPU}.sharing-strategy": "mps"}, f"{GPU}.sharing-strategy=mps", id="by its strategy"
        ),
        pytest.param("nvidia.com/gpu.shared", {PRODUCT: A100}, "nvidia.com/gpu.shared", id="renamed"),
        pytest.param(f"{SLICE}.shared", {PRODUCT: A100}, f"{SLICE}.shared", id="a slice, renamed"),
        pytest.param(
            SLICE,
            {PRODUCT: A100, f"{SLICE}.product": f"{A100}-MIG-1g.5gb-SHARED", f"{SLICE}.replicas": "4"},
            f"{SLICE}.product={A100}-MIG-1g.5gb-SHARED",
            id="a slice",
        ),
        pytest.param(
            GPU,
            {GKE: GKE_A100, "cloud.google.com/gke-gpu-sharing-strategy": "time-sharing"},
            "cloud.google.com/gke-gpu-sharing-strategy=time-sharing",
            id="GKE's time-sharing",
        ),
        pytest.param(
            GPU,
            {GKE: GKE_A100, "cloud.google.com/gke-max-shared-clients-per-gpu": "3"},
            "cloud.google.com/gke-max-shared-clients-per-gpu=3",
            id="GKE's clients",
        ),
    ],
)
def test_what_pods_share_is_no_device_and_is_told_of(resource: str, labels: dict[str, str], why: str) -> None:
    node = a_node({resource: "28"}, labels)
    assert not node.devices
    assert node.uncounted == f"they are shared ({why})"


@pytest.mark.parametrize(
    ("resource", "labels", "name"),
    [
        pytest.param(GPU, {PRODUCT: A100, f"{GPU}.replicas": "1", f"{GPU}.sharing-strategy": "none"}, A100, id="whole"),
        pytest.param(SLICE, {PRODUCT: A100, f"{SLICE}.replicas": "1"}, f"{A100}-mig-1g.5gb", id="a slice"),
        pytest.param(
            GPU, {PRODUCT: f"{A100}-MIG-1g.5gb", PARTITION: "1g.5gb"}, f"{A100}-MIG-1g.5gb", id="NVIDIA's name for one"
        ),
    ],
)
def test_what_nobody_shares_is_a_device_of_its_product(resource: str, labels: dict[str, str], name: str) -> None:
    node = a_node({resource: "7"}, labels)
    assert {name: kind.count for name, kind in node.devices.items()} == {name: 7}
    assert node.uncounted == ""


def test_slices_beside_shared_gpus_count_alone() -> None:
    resources, labels = {GPU: 4.0, SLICE: 7.0}, {PRODUCT: A100, f"{GPU}.replicas": "4"}
    assert list(labelled_gpus(resources, labels, CLASS_LABELS)) == [f"{A100}-mig-1g.5gb"]
    assert why_uncounted(resources, labels, CLASS_LABELS) == f"they are shared ({GPU}.replicas=4)"


def test_gkes_slices_are_a_class_of_their_own_on_nodes_with_both_labels() -> None:
    (name,), (kind,) = zip(*a_node({GPU: "7"}, {GKE: GKE_A100, PARTITION: "1g.5gb"}).devices.items(), strict=True)
    assert name == f"{GKE_A100}-mig-1g.5gb"
    assert (kind.resource, kind.selector) == (GPU, {GKE: GKE_A100, PARTITION: "1g.5gb"})

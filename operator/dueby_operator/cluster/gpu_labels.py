"""What labels say of a node's GPUs: their class, and which of the resources are devices that nobody shares. Pure.

A share of a GPU would be counted as a whole one, and its times depend on what strangers do with the rest. Sharing shows
in different places: GPU feature discovery writes RESOURCE.replicas and RESOURCE.sharing-strategy, for MIG profiles each
their own, and ends the product with -SHARED unless the shares have a resource of their own, which ends in .shared. GKE
has labels of its own, and also one for the size of its MIG slices, which have the resource and the accelerator's label
of whole GPUs.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dueby_operator.cluster.resource_slices import GPU, MIG

_RESOURCES = (GPU, "amd.com/gpu")
# Where a replica of a time-sliced GPU has the name of the GPU.
_SHARED_PRODUCT, _SHARED_RESOURCE = "-SHARED", ".shared"
# cloud.google.com/kubernetes-engine/docs/concepts/timesharing-gpus, and .../how-to/gpus-multi
_GKE_STRATEGY = "cloud.google.com/gke-gpu-sharing-strategy"
_GKE_CLIENTS = "cloud.google.com/gke-max-shared-clients-per-gpu"
_GKE_PARTITION = "cloud.google.com/gke-gpu-partition-size"


class LabelledGPUs(NamedTuple):
    """GPUs of one resource."""

    resource: str
    selector: dict[str, str]
    """The labels of nodes that have such GPUs."""


def class_label(labels: Mapping[str, str], class_labels: Sequence[str]) -> str | None:
    """Return the label that says which GPU the node has; None if it has none."""
    return next((label for label in class_labels if label in labels), None)


def labelled_gpus(
    resources: Mapping[str, float], labels: Mapping[str, str], class_labels: Sequence[str]
) -> dict[str, LabelledGPUs]:
    """Return the resources that are whole devices, by device class."""
    label = class_label(labels, class_labels)
    if label is None:
        return {}
    product, selector, gpus = labels[label], {label: labels[label]}, {}
    partition = labels.get(_GKE_PARTITION, "")
    # Another label's product may have it already, as NVIDIA's has.
    if partition and partition not in product:
        product, selector = f"{product}-mig-{partition}", {**selector, _GKE_PARTITION: partition}
    for resource in resources:
        if _is_gpu(resource) and not _why_shared(resource, labels, label):
            name = product if resource in _RESOURCES else f"{product}-{resource.removeprefix('nvidia.com/')}"
            gpus[name] = LabelledGPUs(resource, selector)
    return gpus


def why_uncounted(resources: Mapping[str, float], labels: Mapping[str, str], class_labels: Sequence[str]) -> str:
    """Return why GPUs of the node don't count, as a clause; empty if all do."""
    label = class_label(labels, class_labels)
    shared = [resource for resource, count in resources.items() if count and _is_gpu(resource)]
    whys = (why for resource in shared for why in _why_shared(resource, labels, label)[:1])
    return " and ".join(f"they are shared ({why})" for why in dict.fromkeys(whys))


def _is_gpu(resource: str) -> bool:
    return resource.removesuffix(_SHARED_RESOURCE) in _RESOURCES or resource.startswith(MIG)


def _why_shared(resource: str, labels: Mapping[str, str], label: str | None) -> list[str]:
    """Return all that says that pods share the devices of the resource."""
    whole = resource.removesuffix(_SHARED_RESOURCE)
    names = [name for name in (label, f"{whole}.product") if name and _SHARED_PRODUCT in labels.get(name, "")]
    names += [name for name in (f"{whole}.replicas", _GKE_CLIENTS) if _is_above_one(labels.get(name, ""))]
    names += [name for name in (f"{whole}.sharing-strategy", _GKE_STRATEGY) if labels.get(name, "none") != "none"]
    return [*([resource] if whole != resource else []), *(f"{name}={labels[name]}" for name in names)]


def _is_above_one(text: str) -> bool:
    return text.isdecimal() and int(text[:9]) > 1

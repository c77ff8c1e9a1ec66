"""GPUs as NVIDIA's DRA driver publishes them, claims on them, and DeviceClasses, as documents of resource.k8s.io/v1.

Their shape is that of github.com/kubernetes-sigs/dra-driver-nvidia-gpu at 9593204: devices as in
cmd/gpu-kubelet-plugin/deviceinfo.go, mig.go and partitions.go, DeviceClasses as in
deployments/helm/dra-driver-nvidia-gpu/templates and demo/specs/extended-resources, claims as in the latter.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

Document = dict[str, Any]
DRIVER, GPU, PRODUCT = "gpu.nvidia.com", "nvidia.com/gpu", "NVIDIA A100-PCIE-40GB"
API = "resource.k8s.io/v1"
GPUS = "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'"
FOR_POD = {"resource.kubernetes.io/extended-resource-claim": "true"}


def gpu(number: int, *, product: str = PRODUCT, splits: bool = False, **more: Any) -> Document:
    """A whole GPU; one that `splits` shares counters with its parts."""
    attributes = {
        "architecture": {"string": "Ampere"},
        "brand": {"string": "Nvidia"},
        "cudaComputeCapability": {"version": "8.0.0"},
        "driverVersion": {"version": "580.126.20"},
        "productName": {"string": product},
        "resource.kubernetes.io/numaNode": {"int": 0},
        "resource.kubernetes.io/pciBusID": {"string": f"0000:{number:02x}:00.0"},
        "type": {"string": "gpu"},
        "uuid": {"string": f"GPU-{number}"},
    }
    capacity = {"memory": {"value": "40Gi"}}
    return {
        "name": f"gpu-{number}",
        "attributes": attributes,
        "capacity": capacity,
        **_counters(number, splits),
        **more,
    }


def mig(parent: int, start: int, *, profile: str = "1g.5gb", splits: bool = False, **more: Any) -> Document:
    """A MIG device of a GPU; one that `splits` is made once somebody claims it."""
    whole = gpu(parent)["attributes"]
    attributes = {
        **whole,
        "type": {"string": "mig"},
        "profile": {"string": profile},
        "uuid": {"string": f"MIG-{start}"},
    }
    name = f"gpu-{parent}-mig-{profile.replace('.', '').replace('+', '-')}-19-{start}"
    capacity = {"memory": {"value": "4864Mi"}}
    return {"name": name, "attributes": attributes, "capacity": capacity, **_counters(parent, splits), **more}


def resource_slice(
    node: str, devices: Iterable[Document], *, number: int = 0, of: int = 1, generation: int = 1, driver: str = DRIVER
) -> Document:
    """One of the slices of a node's pool."""
    pool = {"name": node, "generation": generation, "resourceSliceCount": of}
    name = f"{node}-{driver}-{generation}-{number}"
    return {
        "apiVersion": API,
        "kind": "ResourceSlice",
        "metadata": {"name": name, "uid": name},
        "spec": {"driver": driver, "nodeName": node, "pool": pool, "devices": list(devices)},
    }


def device_class(name: str = DRIVER, *expressions: str, resource: str = GPU, created: str | None = None) -> Document:
    """A class of devices, by default the whole GPUs."""
    selectors = [{"cel": {"expression": expression}} for expression in expressions or (GPUS,)]
    return {
        "apiVersion": API,
        "kind": "DeviceClass",
        "metadata": {"name": name, "uid": name, **({"creationTimestamp": created} if created else {})},
        "spec": {"selectors": selectors, **({"extendedResourceName": resource} if resource else {})},
    }


def claim(
    name: str,
    node: str,
    devices: Collection[str],
    *,
    annotations: Mapping[str, str] | None = None,
    class_name: str = DRIVER,
    **result: Any,
) -> Document:
    """A claim that has got these devices."""
    request = "container-0-request-0"
    exactly = {"allocationMode": "ExactCount", "count": len(devices), "deviceClassName": class_name}
    results = [{"request": request, "driver": DRIVER, "pool": node, "device": each, **result} for each in devices]
    return {
        "apiVersion": API,
        "kind": "ResourceClaim",
        "metadata": {"name": name, "uid": name, "annotations": dict(annotations or {})},
        "spec": {"devices": {"requests": [{"name": request, "exactly": exactly}]}},
        "status": {"allocation": {"devices": {"results": results}}},
    }


def _counters(gpu_number: int, splits: bool) -> Document:
    used = {"counterSet": f"gpu-{gpu_number}-counter-set", "counters": {"memory-slice-0": {"value": "1"}}}
    return {"consumesCounters": [used]} if splits else {}

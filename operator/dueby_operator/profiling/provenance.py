"""Where a measurement comes from, as far as the pod that made it can't know: its node's driver, its image. Pure.

A pod sees a driver only through an engine that uses it, and never the image that it was made from. Both decide how fast
the device is, so the operator writes them down beside the measurement and notices when they change.
"""

from collections.abc import Mapping
from typing import Any

from dueby_api.gpu_profile import ProfileSpec
from dueby_operator.cluster.nodes import Node

Document = Mapping[str, Any]
# GPU feature discovery's labels: the whole version, or its parts by the names of now and of before.
DRIVER_LABEL = "nvidia.com/cuda.driver-version.full"
DRIVER_PARTS = (
    tuple(f"nvidia.com/cuda.driver-version.{part}" for part in ("major", "minor", "revision")),
    tuple(f"nvidia.com/cuda.driver.{part}" for part in ("major", "minor", "rev")),
)
# In `spec.software`: what the image is, and the name by which it was asked for.
IMAGE, IMAGE_NAME = "image", "imageName"


def driver_of(node: Node) -> str:
    """The version of the node's driver by its labels; empty where they don't say."""
    if whole := node.labels.get(DRIVER_LABEL):
        return whole
    for names in DRIVER_PARTS:
        parts = [node.labels[name] for name in names if node.labels.get(name)]
        if parts:
            return ".".join(parts)
    return ""


def image_of(pod: Document) -> str:
    """What the pod's container was made from: the digest, where the kubelet says one."""
    for container in pod.get("status", {}).get("containerStatuses", ()):
        found = str(container.get("imageID") or "")
        return found[found.find("sha256:") :] if "sha256:" in found else found
    return ""


def image_name_of(pod: Document) -> str:
    """The name by which the pod asked for its image."""
    return str(next((container.get("image") for container in pod["spec"].get("containers", ())), "") or "")


def with_origin(spec: ProfileSpec, *, node: Node | None = None, image: str = "", image_name: str = "") -> ProfileSpec:
    """The measurement with what is known of these; what it says itself of its driver stands."""
    known = {IMAGE: image, IMAGE_NAME: image_name}
    software = {**spec.software, **{name: value for name, value in known.items() if value}}
    driver = spec.device.driver or (driver_of(node) if node else "") or None
    return spec.replace(software=software, device=spec.device.replace(driver=driver))


def measured_s(spec: ProfileSpec) -> float:
    """When it was measured, in seconds since 1970; 0 where it doesn't say."""
    return spec.measured_at.timestamp() if spec.measured_at else 0.0

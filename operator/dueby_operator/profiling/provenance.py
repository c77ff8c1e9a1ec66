"""Where a measurement comes from, as far as the pod that made it can't know: its node's driver, its image. Pure.

A pod sees a driver only through an engine that uses it, and never the image that it was made from. Both decide how fast
the device is, so the operator writes them down beside the measurement and notices when they change.
"""

from collections.abc import Iterable, Sequence

from dueby_api.engines import LEAST_DRIVERS
from dueby_api.gpu_profile import GPUProfile, ProfileSpec
from dueby_api.subject import profile_subject
from dueby_api.units import MICROS_PER_SECOND, from_micros
from dueby_operator.cluster.nodes import Node, has_class
from dueby_operator.objects.pods import CONTAINER, Pod

# GPU feature discovery's labels: the whole version, or its parts by their present and their former names.
DRIVER_LABEL = "nvidia.com/cuda.driver-version.full"
DRIVER_PARTS = (
    tuple(f"nvidia.com/cuda.driver-version.{part}" for part in ("major", "minor", "revision")),
    tuple(f"nvidia.com/cuda.driver.{part}" for part in ("major", "minor", "rev")),
)
# The least major version that works with the CUDA for which PyPI's PyTorch is built.
DRIVER = LEAST_DRIVERS["13"]
# In `spec.software`: the image's digest, and the name by which it was asked for.
IMAGE, IMAGE_NAME = "image", "imageName"
# From when a pod was made to when it has measured something, waiting for a device included.
LONGEST_US = 24 * 3600 * MICROS_PER_SECOND


def driver_of(node: Node) -> str:
    """Return the version of the node's driver by its labels; empty if they don't say."""
    if whole := node.labels.get(DRIVER_LABEL):
        return whole
    for names in DRIVER_PARTS:
        parts = [node.labels[name] for name in names if node.labels.get(name)]
        if parts:
            return ".".join(parts)
    return ""


def describe_old_drivers(nodes: Iterable[Node], device_class: str) -> str:
    """Return what is to be known of nodes of the class with old drivers, as a sentence; empty if there are none."""
    drivers = {driver_of(node) for node in nodes if has_class(node, device_class)}
    old = sorted(
        driver for driver in drivers if (major := driver.partition(".")[0]).isdecimal() and int(major) < DRIVER
    )
    if not old:
        return ""
    return (
        f"Nodes with {device_class} have NVIDIA's driver {' and '.join(old)}; the worker's image has PyPI's PyTorch, "
        f"which needs {DRIVER} or newer, unless it is another build (TORCH in Dockerfile.worker)."
    )


def image_of(pod: Pod) -> str:
    """Return what the pod's container was made from: the digest, if the kubelet says one."""
    image_id = pod.container.image_id if pod.container else ""
    return image_id[image_id.find("sha256:") :] if "sha256:" in image_id else image_id


def image_name_of(pod: Pod) -> str:
    return next((container.image for container in pod.spec.containers if container.name == CONTAINER), "")


def with_provenance(
    spec: ProfileSpec, *, node: Node | None = None, image: str = "", image_name: str = ""
) -> ProfileSpec:
    """Return the measurement with what is known of these. What it says itself of its driver stands."""
    images = {IMAGE: image, IMAGE_NAME: image_name}
    software = {**spec.software, **{name: value for name, value in images.items() if value}}
    driver = spec.device.driver or (driver_of(node) if node else "") or None
    return spec.replace(software=software, device=spec.device.replace(driver=driver))


def with_time_of(pod: Pod, spec: ProfileSpec) -> ProfileSpec:
    """Return the measurement with a time that the pod can have measured at.

    A node's clock may be wrong, and nothing newer would ever come after a measurement from the future. The API server's
    clock says when the pod was made, and such a pod ends within hours.
    """
    made_us = pod.metadata.created_us
    if made_us is None or made_us <= measured_s(spec) * MICROS_PER_SECOND <= made_us + LONGEST_US:
        return spec
    return spec.replace(measured_at=from_micros(made_us).replace(microsecond=0))


def without_former_engines(profiles: Sequence[GPUProfile], *, image: str) -> tuple[GPUProfile, ...]:
    """Return the profiles without those that another image has left of engines that `auto` no longer takes.

    `auto` measures one engine in full, the fastest. After an update that may be another one, and the profile of the
    first one says no more how fast its engine is with this image, or whether it runs.
    """
    now = {
        profile_subject(profile.spec).of_any_engine()
        for profile in profiles
        if profile.spec.software.get(IMAGE_NAME) == image
    }
    return tuple(
        profile
        for profile in profiles
        if profile.spec.software.get(IMAGE_NAME) in (None, image)
        or profile_subject(profile.spec).of_any_engine() not in now
    )


def measured_s(spec: ProfileSpec) -> float:
    """Return when it was measured, in seconds since 1970; 0 if it doesn't say."""
    return spec.measured_at.timestamp() if spec.measured_at else 0.0

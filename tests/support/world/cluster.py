"""The cluster of a world: an API server, nodes with GPUs, a store, and operators that come and go."""

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dueby_api.prices import MICRO_UNITS
from dueby_api.units import format_time
from dueby_operator.kube.lease import claim
from dueby_operator.loop import ControlLoop
from dueby_operator.settings import OperatorSettings
from dueby_planner.model.cost import Price, Tariff
from support.world.api_server import APIServer
from support.world.bucket import Bucket
from support.world.controllers import Controllers
from support.world.event_loop import EventLoop
from support.world.kubelet import Node
from support.world.network import network_of
from support.world.objects import Document, Place, Stored
from support.world.scheduler import Process, World

PRODUCT, RESOURCE, LABEL = "GPU-A", "nvidia.com/gpu", "nvidia.com/gpu.product"
LEASE = "dueby/dueby"
# A coin a second for a device.
TARIFF = Tariff(currency="EUR", prices={PRODUCT: Price(hourly=3600 * MICRO_UNITS)})
SETTINGS = OperatorSettings(image="dueby/worker:1", tariff=TARIFF)
# As the profile says: a step of so many images takes so long.
SIZES = {1: 0.3, 2: 0.5, 4: 0.9}
STARTUP_S, WARMUP_S = 1.0, 1.0
# Kopf, which isn't in the world, wakes an operator so long after a job has come, was edited or has gone.
KOPF_S = 0.1
MODEL = {"name": "efficientnet_b0", "imageSize": 224, "precision": "fp16"}
ENGINE = "cudagraph"


@dataclass(frozen=True)
class Access:
    """Access without credentials."""

    server: str = "http://api"

    def as_http_headers(self) -> dict[str, str]:
        """Return none."""
        return {}

    def as_ssl_context(self) -> ssl.SSLContext:
        """Return none: this server speaks plain HTTP."""
        raise AssertionError


class Cluster:
    """Everything that DueBy runs in."""

    def __init__(self, world: World, *, nodes: int, devices: int) -> None:
        self.world = world
        self.server = APIServer(world)
        self.bucket = Bucket(world)
        vars(world)["bucket"] = self.bucket
        network_of(world).hosts["api"] = self.server.serve
        self.settings = SETTINGS
        """Those of operators that start from now on."""
        self.devices_to_come = 0
        """Of nodes that could be made."""
        self.nodes = {f"n{number}": self._node(f"n{number}", devices) for number in range(nodes)}
        self.controllers = Controllers(world, self.server, self.nodes)
        self.operators: list[Process] = []
        self._loops: list[EventLoop] = []
        self._create("/leases", {"metadata": {"name": "dueby"}, "spec": {}}, "dueby")
        self.add_profile(PRODUCT)
        for node in self.nodes.values():
            node.begin()

    def add_profile(self, device_class: str) -> None:
        """Have GPUs of this class be measured."""
        self._create("/gpuprofiles", profile_document(device_class))

    def _create(self, path: str, document: Document, namespace: str = "") -> Stored:
        return self.server.create(Place(api="", kind=path.strip("/"), namespace=namespace), document)

    def add_node(self, name: str, devices: int, *, labels: Mapping[str, str]) -> None:
        """Let a node join that has these labels."""
        self.nodes[name] = self._node(name, devices, labels)
        self.nodes[name].begin()

    def _node(self, name: str, devices: int, labels: Mapping[str, str] = MappingProxyType({LABEL: PRODUCT})) -> Node:
        amounts = {"cpu": "64", "memory": "256Gi", "pods": "110", RESOURCE: str(devices)}
        self._create(
            "/nodes",
            {
                "metadata": {
                    "name": name,
                    "labels": {**labels, "kubernetes.io/hostname": name},
                },
                "spec": {},
                "status": {"allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]},
            },
        )
        lease = {"metadata": {"name": name}, "spec": {"renewTime": format_time(self.world.now_us)}}
        self._create("/leases", lease, "kube-node-lease")
        return Node(self.world, self.server, name, step_s=lambda pod: self._steps())

    def _steps(self) -> Any:
        chance = self.world.noise
        factor = max(0.7, chance.gauss(1, 0.03))
        return lambda: 0.9 * factor * max(0.5, chance.gauss(1, 0.02))

    def start_operator(self, *, pod_uid: str = "pod-1") -> None:
        """Start an operator; it waits for the Lease if another one holds it."""
        process = Process(f"operator {len(self.operators)}", attributes={"pod_uid": pod_uid})
        loop = EventLoop(self.world, process)  # type: ignore[abstract]  # what nobody calls is left out

        def begin() -> None:
            control = ControlLoop(self.settings, sign_in=Access, claim=claim(LEASE, pod_uid=pod_uid))
            loop.create_task(control.run())

            def job_changed(before: Stored | None, after: Stored | None) -> None:
                if is_edited(before, after):
                    loop.call_later(KOPF_S, control.note_change, "inferencejobs")

            self.server.listeners.append(job_changed)

        self.operators.append(process)
        self._loops.append(loop)
        self.world.at(0, begin, process)
        self.world.tell(f"{process.name} starts")

    def submit(self, name: str, spec: Document, namespace: str = "team") -> Stored:
        """Apply a job."""
        stored = self._create(
            "/inferencejobs",
            {
                "apiVersion": "dueby.dev/v1alpha1",
                "kind": "InferenceJob",
                "metadata": {"name": name},
                "spec": {"model": {**MODEL, "engine": "auto"}, **spec},
            },
            namespace,
        )
        self.world.tell(f"the job {name} is applied: {spec}")
        return stored

    def put_photos(self, uri: str, count: int, *, first: int = 0, content: str = "photo") -> None:
        """Put so many images into the store."""
        photos = self.photos(uri, range(first, first + count))
        self.bucket.objects.update(dict.fromkeys(photos, content.encode()))

    def photos(self, uri: str, numbers: Iterable[int]) -> list[str]:
        """Return the URIs of these photos."""
        return [f"{uri}/{photo_name(number)}" for number in numbers]

    def node_at(self, host: str) -> Node | None:
        """Return the node with the pod that has this address."""
        for node in self.nodes.values():
            if any(each.process.attributes.get("ip") == host.partition(":")[0] for each in node.containers.values()):
                return node
        return None

    def job(self, name: str, namespace: str = "team") -> Stored | None:
        """Return a job as it is."""
        return self.server.objects.get(("inferencejobs", namespace, name))


def is_edited(before: Stored | None, after: Stored | None) -> bool:
    """Return whether it is a job, and more than its status is another."""
    if (after or before).place.kind != "inferencejobs":  # type: ignore[union-attr]  # one of them is there
        return False
    old, new = (each.document["metadata"] if each else {} for each in (before, after))
    return any(old.get(name) != new.get(name) for name in ("generation", "deletionTimestamp"))


def photo_name(number: int) -> str:
    """Return the name of a photo, which says its place in the index."""
    return f"{number:05}.jpg"


def phase_of(job: Stored) -> str:
    """Return the job's phase."""
    return str((job.document.get("status") or {}).get("phase", ""))


def profile_document(device_class: str = PRODUCT) -> Document:
    """Return the profile of the cluster's GPUs, or of others that are as fast."""
    steps = [
        {
            "miniBatchSize": size,
            "latencyMicros": {"mean": round(seconds * 1e6)},
            "warmupMicros": {"p50": round(WARMUP_S * 1e6), "p95": round(1.2 * WARMUP_S * 1e6)},
        }
        for size, seconds in SIZES.items()
    ]
    return {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "GPUProfile",
        "metadata": {"name": device_class.lower()},
        "spec": {
            "deviceClass": device_class,
            "model": MODEL,
            "engine": ENGINE,
            "startupMicros": {"p50": round(STARTUP_S * 1e6), "p95": round(1.2 * STARTUP_S * 1e6)},
            "spread": {"run": 0.03, "node": 0.03},
            "steps": steps,
        },
    }

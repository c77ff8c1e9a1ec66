"""A real Kubernetes for tests, as one file of tests sees it: with a namespace and nodes for itself."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from support.kind.images import REPOSITORY, TAG
from support.kind.kube_api import KubeAPI, open_api
from support.lanes import CONTROL_PLANE, LANE_LABEL, nodes_of_lane

MAX_WAIT_S = 300.0
CHART = REPOSITORY / "charts" / "dueby"
# Where the chart is installed, and the jobs are that measure nodes.
OPERATOR_NAMESPACE = "dueby"
# What the chart is installed with, for no node has a GPU.
CPU_VALUES = CHART / "values-cpu.yaml"
# A bucket that serves little, for all jobs that read of it.
NARROW, NARROW_REQUESTS_PER_S = "s3://narrow/", 8
# Pools that stand at zero unless a test has them get a node, with what their nodes have: one that is asked by pods, one
# that is asked by ProvisioningRequests, and one by CapacityBuffers. A refused one is asked again after its time to
# provision.
POOL_LABEL = "dueby.test/pool"
POOL, POOL_CLASS = "zero", "NVIDIA-GeForce-RTX-4090"
REQUESTED_POOL, REQUESTED_CLASS = "requested", "NVIDIA-GeForce-RTX-3090"
BUFFERED_POOL, BUFFERED_CLASS = "buffered", "NVIDIA-GeForce-RTX-3080"
# Where the shared folder is inside the node, and what is kept there of networks for all pods: the second worker that
# starts with a network takes a core for a second, and not for three.
SHARED = "/shared"
KEPT = "kept"
# And what differs: images of this code, a profiler and a core for what tests call GPUs, that bucket, that pool, a claim
# to that folder, and the operator beside the control plane, for tests take the other nodes away.


def _pool_values(number: int, name: str, device_class: str, **more: str) -> dict[str, str]:
    values = {"name": name, "class": device_class, "devicesPerNode": "2", "maxNodes": "1", **more}
    label = POOL_LABEL.replace(".", "\\.")
    return {f"nodePools[{number}].{field}": value for field, value in {**values, f"nodeSelector.{label}": name}.items()}


VALUES = {
    "image.tag": TAG,
    "worker.image.tag": TAG,
    "worker.gpuCpus": "1",
    "profiler.enabled": "true",
    "worker.cache.persistentVolumeClaim.claimName": KEPT,
    "calendarPage.enabled": "true",
    "stores[0].prefix": NARROW,
    "stores[0].requestsPerSecond": str(NARROW_REQUESTS_PER_S),
    **_pool_values(0, POOL, POOL_CLASS, timeToProvision="20s"),
    **_pool_values(1, REQUESTED_POOL, REQUESTED_CLASS, timeToProvision="45s", ask="ProvisioningRequest"),
    **_pool_values(2, BUFFERED_POOL, BUFFERED_CLASS, timeToProvision="45s", ask="CapacityBuffer"),
    "nodeSelector.kubernetes\\.io/hostname": CONTROL_PLANE,
    "tolerations[0].operator": "Exists",
}
NEEDED = ("docker", "kind", "kubectl", "helm")


def claim(namespace: str, name: str, *, folder: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a claim and its volume: a folder of the shared one, by the claim's name unless it has another."""
    volume = f"{namespace}-{name}"  # which is in no namespace
    access = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    storage, there = {"storage": "1Gi"}, {"hostPath": {"path": f"{SHARED}/{folder or name}"}}
    return (
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {**access, **there, "capacity": storage},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {**access, "volumeName": volume, "resources": {"requests": storage}},
        },
    )


def has_docker() -> bool:
    """Return whether a cluster could be made here."""
    if not all(map(shutil.which, NEEDED)):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def call(*command: str, stdin: str | None = None) -> str:
    """Return what the command prints; an AssertionError with all its words where it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running cluster, with the namespace and the nodes that a file of tests has for itself."""

    kubeconfig: Path
    """Its context has the namespace."""
    shared: Path
    """The folder on this side that is SHARED in the nodes."""
    audit_log: Path
    """What the operator has asked of the API server, a line for each."""
    values: dict[str, str]
    """What the chart is installed with."""
    namespace: str = "default"
    lane: int = 0

    @cached_property
    def api(self) -> KubeAPI:
        return open_api(self.kubeconfig)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Those that only jobs of this file use."""
        return nodes_of_lane(self.lane)

    @property
    def node_selector(self) -> dict[str, str]:
        """What keeps a job on the nodes of this file."""
        return {LANE_LABEL: str(self.lane)}

    def within(self, namespace: str, *, lane: int | None = None) -> "Cluster":
        """Return the same cluster with another namespace, which is made if it isn't there, and other nodes."""
        path = self.kubeconfig.parent / namespace / "kubeconfig"
        path.parent.mkdir(exist_ok=True)
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["contexts"][0]["context"]["namespace"] = namespace
        path.write_text(yaml.safe_dump(config))
        self.make_namespace(namespace)
        return replace(self, kubeconfig=path, namespace=namespace, lane=self.lane if lane is None else lane)

    def make_namespace(self, name: str, **labels: str) -> None:
        """Make a namespace with what jobs need in it, unless it is there."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        self.apply(namespace, *claim(name, KEPT))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Return what kubectl prints."""
        return call("kubectl", "--kubeconfig", str(self.kubeconfig), *arguments, stdin=stdin)

    def helm(self, *arguments: str) -> str:
        """Return what helm prints about the release in the operator's namespace."""
        return call("helm", "--kubeconfig", str(self.kubeconfig), "--namespace", OPERATOR_NAMESPACE, *arguments)

    def install(self, **values: str) -> None:
        """Install the chart with its values and these, or upgrade to it, and wait until the operator is up."""
        settings = [word for name, value in {**self.values, **values}.items() for word in ("--set", f"{name}={value}")]
        wait = ("--create-namespace", "--wait", "--timeout", "180s")
        self.helm("upgrade", "--install", "dueby", str(CHART), "--values", str(CPU_VALUES), *wait, *settings)

    def kill_operator(self) -> None:
        """Kill the operator without a word of warning; its Deployment starts another."""
        labelled = ("-n", OPERATOR_NAMESPACE, "-l", "app.kubernetes.io/name=dueby")
        self.kubectl("delete", "pod", *labelled, "--force", "--grace-period=0")

    def attempt(self, *arguments: str, stdin: str | None = None) -> tuple[bool, str]:
        """Return whether kubectl did it, and all that it said."""
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        return done.returncode == 0, f"{done.stdout}{done.stderr}"

    @contextmanager
    def forwarded(self, target: str, port: int, *, namespace: str) -> Iterator[int]:
        """Give the port of this machine that leads to one of a pod, a Deployment or a Service, until the block ends."""
        kubectl = ("kubectl", "--kubeconfig", str(self.kubeconfig), "--namespace", namespace)
        command = (*kubectl, "port-forward", target, f":{port}")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                opened = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
                assert opened is not None
                yield int(opened[1])
            finally:
                process.terminate()

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply them; in this namespace where they name none."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def refusal(self, document: dict[str, Any]) -> str:
        """Return what the API server says against a new object."""
        told = self.api.refusal(document, self.namespace)
        assert told is not None, f"admitted: {document}"
        return told

    def edit_refusal(self, document: dict[str, Any]) -> str:
        """Return what the API server says against a change of an object that is there."""
        is_done, told = self.attempt("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(document))
        assert not is_done, f"admitted: {told}"
        return told

    def get(self, kind: str, name: str, *, namespace: str | None = None) -> dict[str, Any]:
        """Return the object."""
        return self.api.get(kind, name, namespace or self.namespace)

    def items(self, kinds: str, selector: str, *, namespace: str | None = None) -> list[dict[str, Any]]:
        """Return the objects with these labels."""
        return self.api.items(kinds, selector, namespace or self.namespace)

    def wait(self, holds: Callable[[], Any], what: str) -> Any:
        """Return the first true answer; after long enough fail with what the cluster looks like."""
        give_up = time.monotonic() + MAX_WAIT_S
        while not (found := holds()):
            assert time.monotonic() < give_up, f"after {MAX_WAIT_S:.0f} s still not: {what}\n{self.describe()}"
            time.sleep(0.5)
        return found

    def wait_for_phase(self, job: str, *phases: str, namespace: str | None = None) -> dict[str, Any]:
        """Return the InferenceJob once it is in one of the phases."""

        def there() -> dict[str, Any] | None:
            document = self.get("infj", job, namespace=namespace)
            return document if document.get("status", {}).get("phase") in phases else None

        found: dict[str, Any] = self.wait(there, f"{job} is {' or '.join(phases)}")
        return found

    def requests(self) -> list[dict[str, Any]]:
        """Return every request of the operator for an object, the oldest first, by the audit log."""
        found = [json.loads(line) for line in self.audit_log.read_text().splitlines() if line.endswith("}")]
        return [entry for entry in found if "objectRef" in entry]

    def describe(self) -> str:
        """Return everything that helps to see why something didn't come about."""
        commands = (
            ("get", "infj,jobs,pods,nodes", "-A", "-o", "wide"),
            ("describe", "infj,jobs,pods"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("logs", "-n", OPERATOR_NAMESPACE, "deploy/dueby-operator", "--tail=50"),
        )
        return "\n".join(f"$ kubectl {' '.join(command)}\n{self.attempt(*command)[1]}" for command in commands)

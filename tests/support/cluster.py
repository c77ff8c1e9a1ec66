"""A real Kubernetes for tests: a kind cluster with DueBy's images and chart in it, and a folder that its nodes share.

Made once for all tests and removed at the end. DUEBY_BASE_IMAGE is the base of the worker's image where the usual one
won't do, DUEBY_WORKER_PIP_ARGS goes to pip in the worker's, KIND_NODE_IMAGE is the node's, DUEBY_TEST_CLUSTER its name.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
NAME = os.environ.get("DUEBY_TEST_CLUSTER", "dueby-test")
TAG = NAME
CONTROL_PLANE, WORKER_NODES = f"{NAME}-control-plane", (f"{NAME}-worker", f"{NAME}-worker2")
MAX_WAIT_S = 300.0
CHART = REPOSITORY / "charts" / "dueby"
# What the chart is installed with: images of this code, workers for a machine of two cores, and the operator beside the
# control plane, for tests take the other nodes away.
VALUES = {
    "image.tag": TAG,
    "worker.image.tag": TAG,
    "worker.memory": "1Gi",
    "worker.gpuCpus": "1",
    "nodeSelector.kubernetes\\.io/hostname": CONTROL_PLANE,
    "tolerations[0].operator": "Exists",
    # Nodes are measured when a test says so, and not while it runs.
    "profiler.window.start": f"{(datetime.now(UTC).hour + 12) % 24:02d}:00",
}
# Where the shared folder is inside the node.
SHARED = "/shared"
NEEDED = ("docker", "kind", "kubectl", "helm")


def has_docker() -> bool:
    """Whether a cluster could be made here."""
    if not all(map(shutil.which, NEEDED)):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def call(*command: str, stdin: str | None = None) -> str:
    """What the command prints; an AssertionError with all its words where it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running cluster."""

    kubeconfig: Path
    shared: Path
    """The folder on this side that is SHARED in the nodes."""
    audit_log: Path
    """What the operator has asked of the API server, a line for each."""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints."""
        return call("kubectl", "--kubeconfig", str(self.kubeconfig), *arguments, stdin=stdin)

    def helm(self, *arguments: str) -> str:
        """What helm prints."""
        return call("helm", "--kubeconfig", str(self.kubeconfig), *arguments)

    def install(self, **values: str) -> None:
        """The chart with VALUES and these, installed or upgraded to, and its operator up."""
        settings = [word for name, value in {**VALUES, **values}.items() for word in ("--set", f"{name}={value}")]
        self.helm("upgrade", "--install", "dueby", str(CHART), "--wait", "--timeout", "180s", *settings)

    def attempt(self, *arguments: str, stdin: str | None = None) -> tuple[bool, str]:
        """Whether kubectl did it, and all that it said."""
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        return done.returncode == 0, f"{done.stdout}{done.stderr}"

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply them, all in the namespace `default`."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def refusal(self, document: dict[str, Any]) -> str:
        """What the API server says against the document."""
        is_done, told = self.attempt("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(document))
        assert not is_done, f"admitted: {told}"
        return told

    def get(self, kind: str, name: str, *, namespace: str = "default") -> dict[str, Any]:
        """The object."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def items(self, kind: str, selector: str, *, namespace: str = "default") -> list[dict[str, Any]]:
        """The objects with these labels."""
        told = self.kubectl("get", kind, "-n", namespace, "-l", selector, "-o", "json")
        found: list[dict[str, Any]] = json.loads(told)["items"]
        return found

    def wait(self, holds: Callable[[], Any], what: str) -> Any:
        """The first true answer; after long enough an AssertionError with what the cluster looks like."""
        give_up = time.monotonic() + MAX_WAIT_S
        while not (found := holds()):
            assert time.monotonic() < give_up, f"after {MAX_WAIT_S:.0f} s still not: {what}\n{self.look()}"
            time.sleep(0.5)
        return found

    def wait_for_phase(self, job: str, *phases: str, namespace: str = "default") -> dict[str, Any]:
        """The InferenceJob once it is in one of the phases."""

        def there() -> dict[str, Any] | None:
            document = self.get("infj", job, namespace=namespace)
            return document if document.get("status", {}).get("phase") in phases else None

        found: dict[str, Any] = self.wait(there, f"{job} is {' or '.join(phases)}")
        return found

    def look(self) -> str:
        """Everything that helps to see why something didn't come about."""
        looks = (
            ("get", "infj,jobs,pods,nodes", "-A", "-o", "wide"),
            ("describe", "infj,jobs,pods", "-A"),
            ("get", "events", "-A", "--sort-by=.lastTimestamp"),
            ("logs", "deploy/dueby-operator", "--tail=50"),
        )
        return "\n".join(f"$ kubectl {' '.join(look)}\n{self.attempt(*look)[1]}" for look in looks)


def make_cluster(folder: Path) -> Cluster:
    """Images, a control plane and two nodes for workers, the chart."""
    build_images()
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    remove_cluster()
    kubeconfig = folder / "kubeconfig"
    image = os.environ.get("KIND_NODE_IMAGE")
    options = [
        "--kubeconfig",
        str(kubeconfig),
        "--wait",
        "180s",
        "--config",
        "-",
        *(["--image", image] if image else []),
    ]
    call("kind", "create", "cluster", "--name", NAME, *options, stdin=yaml.safe_dump(_kind_config(folder, shared)))
    load_image(f"dueby/operator:{TAG}", CONTROL_PLANE, *WORKER_NODES)
    load_image(f"dueby/worker:{TAG}", *WORKER_NODES)
    cluster = Cluster(kubeconfig=kubeconfig, shared=shared, audit_log=folder / "audit" / "audit.log")
    # On two cores there is one left for a worker only if the name server has one replica less.
    cluster.kubectl("scale", "deployment", "coredns", "-n", "kube-system", "--replicas=1")
    cluster.install()
    return cluster


def load_image(image: str, *nodes: str) -> None:
    """Bring an image of this machine to nodes."""
    call("kind", "load", "docker-image", "--name", NAME, "--nodes", ",".join(nodes), image)


def _kind_config(folder: Path, shared: Path) -> dict[str, Any]:
    """Every node shares a folder with this machine; what the operator asks of the API server is logged to another."""
    policies, log = folder / "policies", folder / "audit"
    policies.mkdir()
    log.mkdir()
    asked = {"level": "Metadata", "users": ["system:serviceaccount:default:dueby-operator"]}
    policy = {"omitStages": ["RequestReceived"], "rules": [asked, {"level": "None"}]}
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **policy}
    (policies / "audit.yaml").write_text(yaml.safe_dump(document))
    volumes = {"policies": "/etc/kubernetes/policies", "audit": "/var/log/kubernetes"}
    mounts = [{"hostPath": str(folder / name), "containerPath": path} for name, path in volumes.items()]
    api_server = {
        "extraArgs": {
            "audit-log-path": f"{volumes['audit']}/audit.log",
            "audit-policy-file": f"{volumes['policies']}/audit.yaml",
        },
        "extraVolumes": [{"name": name, "hostPath": path, "mountPath": path} for name, path in volumes.items()],
    }
    patch = yaml.safe_dump({"kind": "ClusterConfiguration", "apiServer": api_server})
    everywhere = {"hostPath": str(shared), "containerPath": SHARED}
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [
            {"role": "control-plane", "extraMounts": [everywhere, *mounts], "kubeadmConfigPatches": [patch]},
            *({"role": "worker", "extraMounts": [everywhere]} for _ in WORKER_NODES),
        ],
    }


def build_images() -> None:
    """Operator's and worker's; a second time only what has changed."""
    base, pip_args = os.environ.get("DUEBY_BASE_IMAGE"), os.environ.get("DUEBY_WORKER_PIP_ARGS", "")
    for_worker = {"PIP_ARGS": pip_args, **({"BASE": base} if base else {})}
    for name, arguments in (("operator", {}), ("worker", for_worker)):
        options = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
        file = str(REPOSITORY / f"Dockerfile.{name}")
        call("docker", "build", "-q", "-f", file, "-t", f"dueby/{name}:{TAG}", *options, str(REPOSITORY))


def remove_cluster() -> None:
    """Of this name, if there is one."""
    call("kind", "delete", "cluster", "--name", NAME)

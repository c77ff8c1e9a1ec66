"""A real Kubernetes for tests: a kind cluster with DueBy's images and chart in it, and a folder that its node shares.

Made once for all tests and removed at the end. DUEBY_BASE_IMAGE is the base of both images where the usual one can't be
pulled, DUEBY_WORKER_PIP_ARGS goes to pip in the worker's, KIND_NODE_IMAGE is the node's, DUEBY_TEST_CLUSTER its name.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]
NAME = os.environ.get("DUEBY_TEST_CLUSTER", "dueby-test")
TAG = NAME
LONGEST_WAIT_S = 300.0
CHART = REPOSITORY / "charts" / "dueby"
# What the chart is installed with: images of this code, and workers for a machine of two cores.
VALUES = {"image.tag": TAG, "worker.image.tag": TAG, "worker.memory": "1Gi", "worker.gpuCpus": "1"}
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
    """The folder on this side that is SHARED in the node."""

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

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """The object."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def items(self, kind: str, selector: str) -> list[dict[str, Any]]:
        """The objects with these labels."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"]
        return found

    def wait(self, holds: Callable[[], Any], what: str) -> Any:
        """The first true answer; after long enough an AssertionError with what the cluster looks like."""
        give_up = time.monotonic() + LONGEST_WAIT_S
        while not (found := holds()):
            assert time.monotonic() < give_up, f"after {LONGEST_WAIT_S:.0f} s still not: {what}\n{self.look()}"
            time.sleep(0.5)
        return found

    def wait_for_phase(self, job: str, *phases: str) -> dict[str, Any]:
        """The InferenceJob once it is in one of the phases."""

        def there() -> dict[str, Any] | None:
            document = self.get("infj", job)
            return document if document.get("status", {}).get("phase") in phases else None

        found: dict[str, Any] = self.wait(there, f"{job} is {' or '.join(phases)}")
        return found

    def look(self) -> str:
        """Everything that helps to see why something didn't come about."""
        looks = (
            ("get", "infj,jobs,pods", "-A", "-o", "wide"),
            ("describe", "infj,jobs,pods", "-n", "default"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("logs", "deploy/dueby-operator", "--tail=50"),
        )
        return "\n".join(f"$ kubectl {' '.join(look)}\n{self.attempt(*look)[1]}" for look in looks)


def make_cluster(folder: Path) -> Cluster:
    """Images, cluster, chart."""
    build_images()
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    config = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": "control-plane", "extraMounts": [{"hostPath": str(shared), "containerPath": SHARED}]}],
    }
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
    call("kind", "create", "cluster", "--name", NAME, *options, stdin=yaml.safe_dump(config))
    call("kind", "load", "docker-image", "--name", NAME, f"dueby/operator:{TAG}", f"dueby/worker:{TAG}")
    cluster = Cluster(kubeconfig=kubeconfig, shared=shared)
    # On two cores there is one left for a worker only if the name server has one replica less.
    cluster.kubectl("scale", "deployment", "coredns", "-n", "kube-system", "--replicas=1")
    cluster.install()
    return cluster


def build_images() -> None:
    """Operator's and worker's; a second time only what has changed."""
    base = os.environ.get("DUEBY_BASE_IMAGE")
    common = ["--build-arg", f"BASE={base}"] if base else []
    pip_args = os.environ.get("DUEBY_WORKER_PIP_ARGS", "")
    for name, options in (("operator", []), ("worker", ["--build-arg", f"PIP_ARGS={pip_args}"])):
        file = str(REPOSITORY / f"Dockerfile.{name}")
        call("docker", "build", "-q", "-f", file, "-t", f"dueby/{name}:{TAG}", *common, *options, str(REPOSITORY))


def remove_cluster() -> None:
    """Of this name, if there is one."""
    call("kind", "delete", "cluster", "--name", NAME)

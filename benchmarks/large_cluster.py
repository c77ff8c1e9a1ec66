"""A large cluster for benchmarks: the real API server of a kind cluster, with nodes and pods that kwok makes up.

Every node and every pod is an object like any other; only that behind them there is no machine. The API server writes
an audit log of what two of its users ask of it, which is how requests are counted: by what arrived, not by what a
program says of itself. kwok's nodes send no heartbeats, so the controller that would miss them is turned off.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dueby_operator import paths
from dueby_operator.kube.client import Kube

REPOSITORY = Path(__file__).parents[1]
# The users whose requests are counted.
NAMESPACE, OPERATOR, BY_HAND = "dueby-benchmark", "operator", "by-hand"
MADE_UP = {"kwok.x-k8s.io/node": "fake"}
AUDIT_LOG = "audit.log"
# Nodes whose pods have addresses that begin alike.
NODES_OF_A_NET = 64
# Requests at once while the cluster is filled.
AT_ONCE = 48
MAX_WAIT_S = 300.0
Document = dict[str, Any]

_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "Metadata", "users": [f"system:serviceaccount:{NAMESPACE}:{user}" for user in (OPERATOR, BY_HAND)]},
        {"level": "None"},
    ],
}
# Pods start at once, stay until they are deleted, and have an address of the machine itself.
_STAGES = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: .metadata.deletionTimestamp, operator: DoesNotExist}
    - {key: .status.podIP, operator: DoesNotExist}
  next:
    statusTemplate: |
      {{ $now := Now }}
      phase: Running
      startTime: {{ $now | Quote }}
      hostIP: 127.0.0.1
      podIP: {{ PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace | Quote }}
      conditions:
      {{ range $type := list "PodReadyToStartContainers" "Initialized" "Ready" "ContainersReady" }}
      - {type: {{ $type | Quote }}, status: "True", lastTransitionTime: {{ $now | Quote }}}
      {{ end }}
      containerStatuses:
      {{ range .spec.containers }}
      - name: {{ .name | Quote }}
        image: {{ .image | Quote }}
        ready: true
        restartCount: 0
        state: {running: {startedAt: {{ $now | Quote }}}}
      {{ end }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-delete}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: .metadata.deletionTimestamp, operator: Exists}
  next: {finalizers: {empty: true}, delete: true}
"""


@dataclass(frozen=True, kw_only=True)
class LargeCluster:
    """A cluster that is there."""

    kubeconfig: Path
    """Of its administrator."""
    audit_log: Path
    folder: Path
    """For whatever is written while it is there."""

    def kubectl(self, *arguments: str, kubeconfig: Path | None = None, stdin: str | None = None) -> str:
        """What kubectl prints."""
        return call("kubectl", "--kubeconfig", str(kubeconfig or self.kubeconfig), *arguments, stdin=stdin)

    def requests_since(self, offset: int, user: str) -> Counter[str]:
        """What the user asked of the API server after this place in the log, by verb and resource."""
        asked: Counter[str] = Counter()
        with self.audit_log.open("rb") as log:
            log.seek(offset)
            for line in log:
                event = json.loads(line)
                if event["user"]["username"].endswith(f":{user}") and (about := event.get("objectRef")):
                    kind = "/".join(filter(None, (about["resource"], about.get("subresource"))))
                    is_dry = "dryRun=All" in event["requestURI"]
                    asked[f"{event['verb']} {kind}{' (dry run)' if is_dry else ''}"] += 1
        return asked

    def log_end(self) -> int:
        """The place in the log that is its end now."""
        return self.audit_log.stat().st_size if self.audit_log.exists() else 0


@contextlib.contextmanager
def large_cluster(*, name: str, kubeconfig: str | None, audit_log: str | None) -> Iterator[LargeCluster]:
    """A kind cluster of this name, removed afterwards; or the one of the kubeconfig. kwok runs beside it."""
    with tempfile.TemporaryDirectory(prefix="dueby-benchmark-") as made:
        folder = Path(made)
        if kubeconfig and audit_log:
            cluster = LargeCluster(kubeconfig=Path(kubeconfig), audit_log=Path(audit_log), folder=folder)
            undo: list[str] = []
        else:
            cluster = _make_kind_cluster(name, folder)
            undo = ["kind", "delete", "cluster", "--name", name]
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
        (folder / "kwok.yaml").write_text(_STAGES)
        selector = ",".join(f"{key}={value}" for key, value in MADE_UP.items())
        command = ["kwok", "--kubeconfig", str(cluster.kubeconfig), "--config", str(folder / "kwok.yaml")]
        command += ["--manage-all-nodes=false", "--manage-nodes-with-annotation-selector", selector]
        with (folder / "kwok.log").open("wb") as log:
            kwok = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield cluster
        finally:
            kwok.terminate()
            kwok.wait()
            if undo:
                call(*undo)


def _make_kind_cluster(name: str, folder: Path) -> LargeCluster:
    audit = folder / "audit"
    audit.mkdir()
    (audit / "policy.yaml").write_text(yaml.safe_dump(_POLICY))
    (audit / AUDIT_LOG).touch()  # ours, so that we may read what root writes into it
    place = "/etc/kubernetes/audit"
    volume = {"name": "audit", "hostPath": place, "mountPath": place, "readOnly": False, "pathType": "Directory"}
    patch = {
        "kind": "ClusterConfiguration",
        "apiServer": {
            "extraArgs": {"audit-policy-file": f"{place}/policy.yaml", "audit-log-path": f"{place}/{AUDIT_LOG}"},
            "extraVolumes": [volume],
        },
        # Made-up nodes send no heartbeats. By default it makes 20 pods a second, which is not what is measured here.
        "controllerManager": {
            "extraArgs": {"controllers": "*,-node-lifecycle-controller", "kube-api-qps": "200", "kube-api-burst": "400"}
        },
    }
    config = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        # A pod of each of their DaemonSets on each made-up node would be 2,000 more.
        "networking": {"disableDefaultCNI": True, "kubeProxyMode": "none"},
        "kubeadmConfigPatches": [yaml.safe_dump(patch)],
        "nodes": [
            {"role": "control-plane", "extraMounts": [{"hostPath": str(audit), "containerPath": place}]},
        ],
    }
    kubeconfig = folder / "kubeconfig"
    image = os.environ.get("KIND_NODE_IMAGE")
    options = ["--kubeconfig", str(kubeconfig), "--config", "-", *(["--image", image] if image else [])]
    call("kind", "delete", "cluster", "--name", name)
    call("kind", "create", "cluster", "--name", name, *options, stdin=yaml.safe_dump(config))
    return LargeCluster(kubeconfig=kubeconfig, audit_log=audit / AUDIT_LOG, folder=folder)


# ---- filling it


@dataclass(frozen=True, kw_only=True)
class Fill:
    """What there is beside what is measured."""

    nodes: dict[str, int]
    """Nodes by the product of their GPUs."""
    gpus_each: int
    pods: int
    """Of somebody else's, without GPUs, spread evenly."""

    @property
    def products(self) -> list[str]:
        """Each node's."""
        return [product for product, count in self.nodes.items() for _ in range(count)]


async def fill(kube: Kube, wanted: Fill) -> float:
    """Make it, and wait until every pod runs; the mean size of a pod in bytes of JSON."""
    products = wanted.products
    await _each([_node(number, product, wanted.gpus_each) for number, product in enumerate(products)], kube, _make_node)
    await kube.create(paths.core_path("namespaces"), {"metadata": {"name": "others"}})
    await until(lambda: _has_account(kube, "others"), "the namespace of the other pods is ready")
    pods = [_other_pod(number, number % len(products)) for number in range(wanted.pods)]
    await _each(pods, kube, lambda kube, pod: kube.create(paths.core_path("pods", "others"), pod))
    path = paths.core_path("pods", "others")

    async def all_run() -> bool:
        return len(await kube.list(path, fieldSelector="status.phase=Running")) == wanted.pods

    await until(all_run, "the other pods run", pause_s=3.0)
    some = (await anext(kube.pages(path)))["items"]
    return sum(len(json.dumps(pod, separators=(",", ":"))) for pod in some) / len(some)


async def make_user(cluster: LargeCluster, kube: Kube, user: str) -> Path:
    """A service account that may do everything; a kubeconfig for it."""
    with contextlib.suppress(Exception):
        await kube.create(paths.core_path("namespaces"), {"metadata": {"name": NAMESPACE}})
    path = paths.core_path("serviceaccounts", NAMESPACE)
    await kube.create(path, {"metadata": {"name": user}})
    subject = {"kind": "ServiceAccount", "name": user, "namespace": NAMESPACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": f"{NAMESPACE}-{user}"}, "subjects": [subject], "roleRef": role}
    await kube.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    asked = {"spec": {"expirationSeconds": 24 * 3600}}
    token = (await kube.create(f"{path}/{user}/token", asked))["status"]["token"]
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    for entry in document["users"]:
        entry["user"] = {"token": token}
    kubeconfig = cluster.folder / f"kubeconfig-{user}"
    kubeconfig.write_text(yaml.safe_dump(document))
    return kubeconfig


async def until(holds: Any, what: str, *, pause_s: float = 0.25) -> None:
    """Wait for the condition."""
    give_up_s = time.monotonic() + MAX_WAIT_S
    while not await holds():
        if time.monotonic() > give_up_s:
            raise SystemExit(f"After {MAX_WAIT_S:.0f} s still not: {what}.")
        await asyncio.sleep(pause_s)


def call(*command: str, stdin: str | None = None) -> str:
    """What the command prints; the end of the benchmark, with its words, where it fails."""
    if shutil.which(command[0]) is None:
        raise SystemExit(f"{command[0]} is not installed.")
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done.stdout


async def _each(documents: Sequence[Document], kube: Kube, make: Any) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(document: Document) -> None:
        async with turns:
            await make(kube, document)

    await asyncio.gather(*map(one, documents))


async def _make_node(kube: Kube, node: Document) -> None:
    path = paths.core_path("nodes")
    await kube.create(path, node)
    # The API server taints every new node until the controller that isn't there finds it ready.
    await kube.merge(f"{path}/{node['metadata']['name']}", {"spec": {"taints": None}})


async def _has_account(kube: Kube, namespace: str) -> bool:
    return any(
        found["metadata"]["name"] == "default"
        for found in await kube.list(paths.core_path("serviceaccounts", namespace))
    )


def _node(number: int, product: str, gpus: int) -> Document:
    resources = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "1Ti", "pods": "110", "nvidia.com/gpu": str(gpus)}
    labels = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": f"gpu-{number:04d}",
        "nvidia.com/gpu.product": product,
        "nvidia.com/gpu.count": str(gpus),
    }
    return {
        "metadata": {"name": f"gpu-{number:04d}", "labels": labels, "annotations": MADE_UP},
        # Its pods' addresses are this machine's own, so that who asks them is answered here.
        "spec": {"podCIDR": f"127.{1 + number // NODES_OF_A_NET}.{number % NODES_OF_A_NET}.0/24"},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "made up"}],
            "nodeInfo": {
                **dict.fromkeys(("machineID", "systemUUID", "bootID", "kernelVersion", "osImage"), "made up"),
                **dict.fromkeys(("containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion"), "made up"),
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }


def _other_pod(number: int, node: int) -> Document:
    env = [{"name": f"SETTING_{i}", "value": f"value-{i}"} for i in range(12)]
    resources = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    container = {"name": "app", "image": "registry.example/app:1", "env": env, "resources": resources}
    return {
        "metadata": {"name": f"other-{number:05d}", "labels": {"app": f"app-{number % 100}"}},
        "spec": {"nodeName": f"gpu-{node:04d}", "containers": [container]},
    }

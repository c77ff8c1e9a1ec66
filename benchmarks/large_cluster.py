"""A large cluster for benchmarks: the real API server of a kind cluster, with nodes and pods that kwok makes up.

Every node and every pod is an object like any other; only that behind them there is no machine. The API server writes
an audit log of what two of its users ask of it, which is how requests are counted: by what arrived, not by what a
program says of itself. kwok's nodes send no heartbeats, so the controller that would miss them is turned off.
large_cluster_fill.py makes the nodes and pods.
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
from collections.abc import Iterator
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


# ---- using it


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
    token = json.loads(await kube.create(f"{path}/{user}/token", asked))["status"]["token"]
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

"""A pod whom RBAC allows to write any GPUProfile, and what it would write: only its own node's is to be let through."""

from pathlib import Path
from typing import Any

import yaml

from support.kind.cluster import Cluster
from support.kind.images import OPERATOR_IMAGE
from support.kind.model import profile_document

API = "rbac.authorization.k8s.io"


def start_forger(cluster: Cluster, node: str, folder: Path) -> Path:
    """Start the pod on the node and return a kubeconfig in the folder, with the pod's token."""
    metadata = {"name": "forger"}
    account = {"kind": "ServiceAccount", "name": "forger", "namespace": cluster.namespace}
    rule = {"apiGroups": ["dueby.dev"], "resources": ["gpuprofiles"], "verbs": ["*"]}
    cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{API}/v1", "kind": "ClusterRole", "metadata": {"name": "forger"}, "rules": [rule]},
        {
            "apiVersion": f"{API}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "forger"},
            "roleRef": {"apiGroup": API, "kind": "ClusterRole", "name": "forger"},
            "subjects": [account],
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {
                "serviceAccountName": "forger",
                "nodeName": node,
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "c", "image": OPERATOR_IMAGE, "command": ["sleep", "900"]}],
            },
        },
    )
    token = cluster.kubectl("create", "token", "forger", "--bound-object-kind=Pod", "--bound-object-name=forger")
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    # Not the administrator's certificate, which would be who asks.
    config["users"][0]["user"] = {"token": token.strip()}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def remove_forger(cluster: Cluster) -> None:
    """Remove the pod and what it was allowed."""
    cluster.kubectl("delete", "pod,serviceaccount", "forger")
    cluster.kubectl("delete", "clusterrole,clusterrolebinding", "forger")


def forged(name: str, node: str | None) -> dict[str, Any]:
    """Return a profile of a class that there isn't, as if it were fast."""
    found = profile_document(latency_us=1)
    found["metadata"]["name"] = name
    found["spec"] |= {"deviceClass": "NVIDIA-FAST", "device": {"node": node} if node else {}}
    return found

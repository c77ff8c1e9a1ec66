"""Questions to the API server of the tests' cluster over HTTP, for what is asked again and again.

A wait asks twice a second. As a process of kubectl each question costs a seventh of a second of a core, which several
tests that wait at the same time would take from the jobs that they wait for. A connection is kept for the next one.
"""

import base64
import json
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml

CORE, OURS, RBAC = "api/v1", "apis/dueby.dev/v1alpha1", "apis/rbac.authorization.k8s.io/v1"
ADMISSION = "apis/admissionregistration.k8s.io/v1"
# By the names that tests use: where kinds are, and whether their objects are in namespaces.
NAMESPACED = {
    "capacitybuffers": "apis/autoscaling.x-k8s.io/v1beta1",
    "configmaps": CORE,
    "cronjobs": "apis/batch/v1",
    "deployments": "apis/apps/v1",
    "inferencejobs": OURS,
    "jobs": "apis/batch/v1",
    "leases": "apis/coordination.k8s.io/v1",
    "pods": CORE,
    "podtemplates": CORE,
    "provisioningrequests": "apis/autoscaling.x-k8s.io/v1",
    "resourceclaims": "apis/resource.k8s.io/v1",
    "roles": RBAC,
    "services": CORE,
}
CLUSTER_WIDE = {
    "clusterroles": RBAC,
    "gpuprofiles": OURS,
    "nodes": CORE,
    "validatingadmissionpolicies": ADMISSION,
}
SHORT = {"infj": "inferencejobs", "gprof": "gpuprofiles"}
TIMEOUT_S = 30.0


class NotFoundError(AssertionError):
    """The object is not there."""


@dataclass(frozen=True, kw_only=True)
class KubeAPI:
    """The API server, asked as the administrator."""

    server: str
    connections: urllib3.PoolManager

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """Return the object; NotFoundError where there is none."""
        return self._ask(f"{_folder(kind, namespace)}/{name}")

    def items(self, kinds: str, selector: str, namespace: str) -> list[dict[str, Any]]:
        """Return the objects of all these kinds, with commas between them, that have these labels."""
        query = urllib.parse.urlencode({"labelSelector": selector})
        return [item for kind in kinds.split(",") for item in self._ask(f"{_folder(kind, namespace)}?{query}")["items"]]

    def refusal(self, document: dict[str, Any], namespace: str) -> str | None:
        """Return what the API server says against a new object; None if it would make it."""
        path = _folder(f"{document['kind'].lower()}s", document["metadata"].get("namespace", namespace))
        query = "dryRun=All&fieldValidation=Strict"
        answer = self.connections.request("POST", f"{self.server}/{path}?{query}", json=document, timeout=TIMEOUT_S)
        return None if answer.status == 201 else str(json.loads(answer.data)["message"])

    def _ask(self, path: str) -> dict[str, Any]:
        # Once more, since a kept connection may have ended with the API server.
        answer = self.connections.request("GET", f"{self.server}/{path}", timeout=TIMEOUT_S, retries=1)
        if answer.status != 200:
            failure = NotFoundError if answer.status == 404 else AssertionError
            raise failure(f"GET {path}: {answer.status} {answer.data.decode(errors='replace')}")
        found: dict[str, Any] = json.loads(answer.data)
        return found


def open_api(kubeconfig: Path) -> KubeAPI:
    """Return the API of the kubeconfig's only cluster."""
    config = yaml.safe_load(kubeconfig.read_text())
    files = write_certificates(config, kubeconfig.parent)
    connections = urllib3.PoolManager(
        ca_certs=files["ca_file"], cert_file=files["cert_file"], key_file=files["key_file"]
    )
    return KubeAPI(server=config["clusters"][0]["cluster"]["server"], connections=connections)


def write_certificates(config: dict[str, Any], folder: Path) -> dict[str, str]:
    """Write the kubeconfig's certificates and key into files; return their paths, by the names that Prometheus uses."""
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    data = {
        "ca_file": server["certificate-authority-data"],
        "cert_file": user["client-certificate-data"],
        "key_file": user["client-key-data"],
    }
    for name, encoded in data.items():
        (folder / name).write_bytes(base64.b64decode(encoded))
    return {name: str(folder / name) for name in data}


def _folder(kind: str, namespace: str) -> str:
    """Return the path below which the kind's objects are."""
    plural = SHORT.get(kind, kind if kind in NAMESPACED or kind in CLUSTER_WIDE else f"{kind}s")
    if plural in CLUSTER_WIDE:
        return f"{CLUSTER_WIDE[plural]}/{plural}"
    return f"{NAMESPACED[plural]}/namespaces/{namespace}/{plural}"

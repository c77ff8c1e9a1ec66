"""Where the API server keeps objects: the path of each kind, namespace and name.

Names come from outside, so each is one segment of the path, whatever it holds: `a/b` is no way to another object.
"""

from urllib.parse import quote

from dueby_api.errors import Invalid
from dueby_api.inference_job import API_VERSION


def jobs_path(namespace: str | None = None, name: str = "", subresource: str = "") -> str:
    return _path(f"/apis/{API_VERSION}", namespace, "inferencejobs", name, subresource)


def profiles_path(name: str = "", subresource: str = "") -> str:
    """Return the path of GPUProfiles, or of one."""
    return _path(f"/apis/{API_VERSION}", None, "gpuprofiles", name, subresource)


def batch_path(namespace: str | None = None, name: str = "") -> str:
    return _path("/apis/batch/v1", namespace, "jobs", name)


def cron_jobs_path(namespace: str) -> str:
    return _path("/apis/batch/v1", namespace, "cronjobs", "")


def core_path(kind: str, namespace: str | None = None, name: str = "") -> str:
    """Return the path of a core kind: pods, configmaps, events, nodes, resourcequotas."""
    return _path("/api/v1", namespace, kind, name)


def resource_path(kind: str) -> str:
    """Return the path of a kind of dynamic resource allocation: resourceslices, resourceclaims, deviceclasses."""
    return _path("/apis/resource.k8s.io/v1", None, kind, "")


def lease_path(namespace: str, name: str) -> str:
    return _path("/apis/coordination.k8s.io/v1", namespace, "leases", name)


def node_lease_path(node: str) -> str:
    """Return the path of the Lease that a node's kubelet renews every 10 s."""
    return lease_path("kube-node-lease", node)


def custom_path(version: str, kind: str, name: str = "", namespace: str | None = None) -> str:
    """Return the path of an object of Kueue or an autoscaler, such as a LocalQueue: all of the kind without a name."""
    return _path(f"/apis/{version}", namespace, kind, name)


def _path(api: str, namespace: str | None, kind: str, name: str, subresource: str = "") -> str:
    place = f"/namespaces/{_segment(namespace)}" if namespace else ""
    return "/".join(filter(None, (f"{api}{place}/{kind}", _segment(name), subresource)))


def _segment(name: str) -> str:
    """Return the name as one segment. Raise Invalid for what every client takes for a way up or to the same place."""
    if name in (".", ".."):
        raise Invalid("name", f"{name!r} is not the name of an object")
    return quote(name, safe="")

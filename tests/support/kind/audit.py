"""What an operator has asked of the API server, by the server's own audit log."""

from datetime import datetime
from typing import Any

from support.kind.cluster import Cluster

POD = "authentication.kubernetes.io/pod-name"
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def received(entry: dict[str, Any]) -> datetime:
    """Return when the API server received the request."""
    return datetime.fromisoformat(entry["requestReceivedTimestamp"])


def seconds_of(entry: dict[str, Any]) -> float:
    """Return how long the API server took to answer the request."""
    return (datetime.fromisoformat(entry["stageTimestamp"]) - received(entry)).total_seconds()


def requests_of(cluster: Cluster, pod: str, *, since: datetime) -> list[dict[str, Any]]:
    """Return what this pod has asked since then."""
    return [
        entry
        for entry in cluster.requests()
        if pod in entry["user"].get("extra", {}).get(POD, ()) and received(entry) > since
    ]


def is_list_of_jobs(entry: dict[str, Any]) -> bool:
    """Return whether it is what a pass of the loop begins with."""
    return (entry["objectRef"]["resource"], entry["verb"]) == ("inferencejobs", "list")


def is_write(entry: dict[str, Any]) -> bool:
    """Return whether it changes an object."""
    return entry["verb"] in WRITES

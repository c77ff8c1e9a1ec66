"""The jobs of a cluster, as its API server has them."""

from typing import TYPE_CHECKING

from dueby.inputs.needs import needing

if TYPE_CHECKING:
    from dueby.cluster.api_server import APIServer


def connect(asker: str) -> "APIServer":
    """Return the API server of the kubeconfig's current context, or of the cluster that this pod is in.

    Nothing is asked of it yet. Raise Invalid, which blames the `asker`, if the extra `cluster` isn't installed, and
    DueByError if there is no cluster to ask or the way of signing in fails.
    """
    with needing(asker, "cluster"):
        from dueby.cluster.api_server import APIServer
    return APIServer()

"""InferenceJobs as kubectl lists them.

Whoever has a cluster has kubectl, which knows every way to sign in that a kubeconfig may name.
"""

import subprocess

from dueby_api.errors import DueByError, Invalid
from dueby_pages.untrusted import printable

_RESOURCE = "inferencejobs.dueby.dev"


def list_jobs(namespace: str | None) -> str:
    """Return the List of the jobs in a namespace, or in all, as JSON. Raise DueByError with kubectl's reason."""
    where = ["--all-namespaces"] if namespace is None else ["--namespace", namespace]
    try:
        done = subprocess.run(
            ["kubectl", "get", _RESOURCE, *where, "-o", "json"],
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError:
        raise Invalid("calendar", "needs kubectl, which is not there; install it, or give its list with -f") from None
    if done.returncode:
        raise DueByError(f"kubectl can't list the jobs: {_reason(done.stderr)}")
    return done.stdout


def _reason(said: str) -> str:
    """Return kubectl's last line, which is the one about the failure."""
    lines = said.strip().splitlines() or ["it doesn't say why"]
    if "doesn't have a resource type" in lines[-1]:
        return "the cluster has no InferenceJobs; install DueBy's chart first"
    return printable(lines[-1])

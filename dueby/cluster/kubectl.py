"""InferenceJobs as kubectl lists, takes and finds them.

Whoever has a cluster has kubectl, which knows every way to sign in that a kubeconfig may name.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from dueby_api.errors import DueByError, Invalid
from dueby_api.untrusted import printable

_RESOURCE = "inferencejobs.dueby.dev"
_AT_MOST = "--request-timeout=5s"
_MISSING = "needs kubectl, which is not there; install it"


def list_jobs(namespace: str | None) -> str:
    """Return the List of the jobs in a namespace, or in all, as JSON. Raise DueByError with kubectl's reason."""
    where = ["--all-namespaces"] if namespace is None else ["--namespace", namespace]
    missing = Invalid("calendar", f"{_MISSING}, or give its list with -f")
    return _call(["get", _RESOURCE, *where, "-o", "json"], doing="list the jobs", missing=missing)


def apply_job(document: Mapping[str, Any], *, namespace: str | None) -> str:
    """Create the job, or change the one of its name, and return it as JSON. Raise DueByError with kubectl's reason.

    Without a namespace it is the manifest's, or else that of kubectl's context.
    """
    return _call(
        ["apply", *_within(namespace), "-f", "-", "-o", "json"],
        doing="submit the job",
        missing=Invalid("submit", _MISSING),
        # A document that Python has made may have times of its own.
        given=json.dumps(document, default=_text_of),
    )


def get_job(name: str, *, namespace: str | None) -> str:
    """Return the job as JSON; empty if there is none. Raise DueByError with kubectl's reason."""
    return _call(
        ["get", _RESOURCE, name, *_within(namespace), "--ignore-not-found", "-o", "json"],
        doing="find the job",
        missing=Invalid("wait", _MISSING),
    )


def ask(words: Sequence[str], *, doing: str) -> str:
    """Return what kubectl prints of these words. Raise DueByError with its reason, at the latest after some seconds."""
    return _call([*words, _AT_MOST], doing=doing, missing=Invalid("kubectl", _MISSING))


def try_job(document: Mapping[str, Any], *, namespace: str | None) -> None:
    """Have the API server say whether it would take the job. Raise DueByError with its reason if it wouldn't."""
    words = ["create", *_within(namespace), "--dry-run=server", "-f", "-", _AT_MOST]
    _call(words, doing="create a job", missing=Invalid("kubectl", _MISSING), given=json.dumps(document))


def _text_of(moment: date) -> str:
    return moment.isoformat()


def _within(namespace: str | None) -> Sequence[str]:
    return [] if namespace is None else ["--namespace", namespace]


def _call(words: Sequence[str], *, doing: str, missing: Invalid, given: str | None = None) -> str:
    """Return what kubectl prints. Raise `missing` if there is no kubectl."""
    try:
        done = subprocess.run(
            ["kubectl", *words],
            check=False,
            capture_output=True,
            input=given,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError:
        raise missing from None
    if done.returncode:
        raise DueByError(f"kubectl can't {doing}: {_reason(done.stderr)}")
    return done.stdout


def _reason(said: str) -> str:
    """Return kubectl's last line, which is the one about the failure, or all of what is wrong with a manifest."""
    if "doesn't have a resource type" in said or "no matches for kind" in said:
        return "the cluster has no InferenceJobs; install DueBy's chart first"
    lines = said.strip().splitlines() or ["it doesn't say why"]
    first = next((at for at, line in enumerate(lines) if " is invalid:" in line), len(lines) - 1)
    return printable(" ".join(line.strip() for line in lines[first:]))

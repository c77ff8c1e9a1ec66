"""The cluster that the chaos plays with: the tests' kind cluster, and what its jobs need in it.

The operator, the API server and the S3 server are on the control plane's node, which stays; the other nodes come and
go. A small disk lies in the folder that all nodes share with this machine, so that it outlives a node that is killed.
libfaketime comes from the Debian of each image, since it must fit that one's libc.
"""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import urllib3
import yaml

from support.kind.cluster import Cluster, call
from support.kind.images import OPERATOR_IMAGE, WORKER_IMAGE
from support.kind.kube_api import NotFoundError
from support.kind.model import profile_document
from support.kind.s3_in_cluster import S3_IMAGE, start_s3
from support.lanes import CONTROL_PLANE
from support.run import write_photos

S3_NAMESPACE, S3_ROWS = "chaos-s3", "rows"
# A crowd has a namespace of its own, since whoever has more than is read waits with all jobs.
HOSTILE, CROWD = "chaos-hostile", "chaos-crowd"
CLOCK_LIBRARY = "libfaketimeMT.so.1"
CLOCKS = {"worker": WORKER_IMAGE, "operator": OPERATOR_IMAGE}
# What the library is told: steps of the clock alone are skewed, and neither durations nor times of files.
CLOCK_SETTINGS = {
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "FAKETIME_CACHE_DURATION": "1",
    "NO_FAKE_STAT": "1",
}
# kubectl's words where the API server itself has said no. Everything else may be an outage.
REFUSALS = ("(Invalid)", "(BadRequest)", "(AlreadyExists)", "(NotFound)", "(Forbidden)", " is invalid", "(Conflict)")
OUTAGE_S = 600.0
Document = dict[str, Any]
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class World:
    """The cluster, and what the chaos knows of it."""

    cluster: Cluster
    namespaces: Mapping[str, Cluster]
    """The cluster as seen from each namespace that has jobs."""
    nodes: Sequence[str]
    """Those that workers run on."""
    has_disk: bool
    has_clocks: bool
    over: Event
    """Set when no more is to begin."""
    aborted: Event
    """Set when nothing is to be waited for."""


class AbortedError(Exception):
    """Whoever runs this wants it to end."""


def seen(ask: Callable[[], Found]) -> Found | None:
    """What the API server answers; None while it doesn't."""
    try:
        return ask()
    except NotFoundError:
        raise
    except (OSError, ValueError, urllib3.exceptions.HTTPError, AssertionError):
        return None


def insist(world: World, cluster: Cluster, *arguments: str, stdin: str | None = None) -> tuple[bool, str]:
    """Ask with kubectl until the API server has said yes or no; which it was, and its words."""
    give_up = time.monotonic() + OUTAGE_S
    while True:
        is_done, told = cluster.attempt("--request-timeout=15s", *arguments, stdin=stdin)
        if is_done or any(words in told for words in REFUSALS):
            return is_done, told
        if world.aborted.wait(2.0):
            raise AbortedError
        if time.monotonic() > give_up:
            raise AssertionError(f"after {OUTAGE_S:.0f} s still no answer to kubectl {' '.join(arguments)}: {told}")


def apply(world: World, cluster: Cluster, *documents: Document) -> None:
    """Apply them, however often it takes."""
    is_done, told = insist(world, cluster, "apply", "-f", "-", stdin=yaml.safe_dump_all(documents))
    assert is_done, told


def in_node(node: str, *command: str) -> tuple[bool, str]:
    """Run a command in a node; whether it went well, and what it printed."""
    done = subprocess.run(["docker", "exec", node, *command], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode == 0, f"{done.stdout}{done.stderr}"


# ---- what is put into the cluster before the first job


def furnish(cluster: Cluster, *, photos: int) -> None:
    """Put the profile, the photos, the namespaces' S3 server and everything else there that jobs need."""
    cluster.apply(profile_document())
    # They end whenever they lose their Lease, and kubelet waits longer each time before it starts them again.
    for name in ("kube-controller-manager", "kube-scheduler"):
        manifest = f"/etc/kubernetes/manifests/{name}.yaml"
        call("docker", "exec", CONTROL_PLANE, "sed", "-i", "s/--leader-elect=true/--leader-elect=false/", manifest)
    # A name server on a node that is killed would be away for minutes, and with it every store.
    pinned = {"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": CONTROL_PLANE}}}}}
    cluster.kubectl("patch", "deployment", "coredns", "-n", "kube-system", "-p", yaml.safe_dump(pinned))
    write_photos(cluster.shared / "photos", photos)
    bucket = cluster.shared / "s3" / "photos"
    write_photos(bucket, photos)
    (cluster.shared / "s3" / S3_ROWS).mkdir()
    there = cluster.within(S3_NAMESPACE)
    there.wait(lambda: there.attempt("get", "serviceaccount", "default")[0], "pods can be made in a new namespace")
    # It is started again there where it is killed.
    place = {"kubernetes.io/hostname": CONTROL_PLANE}
    start_s3(there, nodes=[CONTROL_PLANE], nodeSelector=place, tolerations=[{"operator": "Exists"}])


def bring_clocks(shared: Path) -> str:
    """Put libfaketime for both images into the shared folder; empty, or why there is none."""
    script = (
        "apt-get -qq update && cd /tmp && apt-get -qq download libfaketime && dpkg-deb -x libfaketime_*.deb unpacked"
        f" && install -m 0644 unpacked/usr/lib/*/faketime/{CLOCK_LIBRARY} /out/"
    )
    for who, image in CLOCKS.items():
        folder = shared / "clocks" / who
        folder.mkdir(parents=True)
        command = ["docker", "run", "--rm", "--user", "0", "--entrypoint", "sh", "--volume", f"{folder}:/out", image]
        done = subprocess.run([*command, "-c", script], capture_output=True, text=True, check=False)
        if done.returncode:
            return f"libfaketime can't be had for the {who}'s image: {done.stderr.strip()[-300:]}"
    return ""


def versions(cluster: Cluster) -> dict[str, str]:
    """What ran."""
    server = yaml.safe_load(cluster.kubectl("version", "-o", "yaml"))["serverVersion"]["gitVersion"]
    root = str(Path(__file__).parents[2])
    return {
        "commit": call("git", "-C", root, "describe", "--always", "--dirty", "--abbrev=12").strip(),
        "kubernetes": server,
        "kind": call("kind", "version").strip(),
        "docker": call("docker", "version", "--format", "{{.Server.Version}}").strip(),
        "s3Image": S3_IMAGE,
        "kernel": os.uname().release,
        "cores": str(os.cpu_count()),
    }

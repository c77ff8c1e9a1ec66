"""Faults of single jobs: their workers, their processes' clocks, their sink's disk, and what people do to them.

They are contexts, as those of server_faults.py. They hit what runs at that moment, and wait a little for it.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from chaos.cluster import World, in_node, insist, seen
from chaos.jobs import other_value, set_clock
from chaos.rows import DISK, Tracked
from chaos.schedule import PlannedFault
from chaos.server_faults import HOUR_S, Make, Setting
from support.kind.cluster import Cluster
from support.small_disk import fill, make_room

# By their command lines. The brackets keep pgrep from finding whoever asks for it.
WORKER_PROCESSES = "[d]ueby_worker work"
# So long it is waited for something to hit, and for a job on a store that only some are on.
TARGET_S, RARE_TARGET_S = 25, 180
Target = TypeVar("Target")


@contextmanager
def pod_deleted(setting: Setting, planned: PlannedFault) -> Iterator[str | None]:
    found = _target(setting, planned, lambda: _worker_pods(setting.world))
    if found is not None:
        namespace, pod = found
        gone = ("delete", "pod", pod, "--force", "--grace-period=0")
        insist(setting.world, setting.world.namespaces[namespace], *gone)
    yield "/".join(found) if found else None


@contextmanager
def worker_killed(setting: Setting, planned: PlannedFault) -> Iterator[str | None]:
    found = _target(setting, planned, lambda: _worker_processes(setting.world))
    if found is not None:
        in_node(found[0], "kill", "-KILL", found[1])
    yield f"process {found[1]} on {found[0]}" if found else None


@contextmanager
def worker_stopped(setting: Setting, planned: PlannedFault) -> Iterator[str | None]:
    found = _target(setting, planned, lambda: _worker_processes(setting.world))
    if found is None:
        yield None
        return
    node, pid = found
    in_node(node, "kill", "-STOP", pid)
    try:
        yield f"process {pid} on {node}"
    finally:
        # A node that is paused meanwhile lets nobody in.
        while "is paused" in in_node(node, "kill", "-CONT", pid)[1] and not setting.world.aborted.wait(2.0):
            pass


@contextmanager
def clock_off(setting: Setting, planned: PlannedFault) -> Iterator[str | None]:
    """All processes of a job with libfaketime are an hour ahead, or behind."""
    tracked = _target(setting, planned, lambda: setting.jobs.running("clock"), wait_s=RARE_TARGET_S)
    if tracked is None:
        yield None
        return
    name, ahead_s = tracked.planned.name, HOUR_S if planned.draw % 2 else -HOUR_S
    cluster = setting.world.namespaces[tracked.planned.namespace]
    set_clock(cluster, name, ahead_s)
    try:
        yield f"{name}, {ahead_s:+d} s"
    finally:
        set_clock(cluster, name, 0)


@contextmanager
def disk_full(setting: Setting, planned: PlannedFault) -> Iterator[str | None]:
    """Nothing more can be written to the small disk, which is the sink of one job or several."""
    tracked = _target(setting, planned, lambda: setting.jobs.running(DISK), wait_s=RARE_TARGET_S)
    if tracked is None:
        yield None
        return
    disk = setting.world.cluster.shared / DISK
    try:
        fill(disk)
        yield tracked.planned.name
    finally:
        make_room(disk)


def edit(what: str) -> Make:
    """Edit a field of a job's spec."""

    @contextmanager
    def make(setting: Setting, planned: PlannedFault) -> Iterator[str | None]:
        tracked = _target(setting, planned, setting.jobs.running)
        yield _edit(setting.world, tracked, random.Random(planned.draw), what) if tracked else None

    return make


def _edit(world: World, tracked: Tracked, draw: random.Random, what: str) -> str:
    cluster, name = world.namespaces[tracked.planned.namespace], tracked.planned.name
    with tracked.lock:
        value = other_value(tracked.planned, draw, what)
        patch = json.dumps({"spec": {what: value}})
        # And not `apply`, which would make a job again that has just ended.
        is_done, told = insist(world, cluster, "patch", "infj", name, "--type=merge", "-p", patch)
        if is_done:
            tracked.document["spec"][what] = value
            tracked.edits += 1
    return f"{name}: {value}{'' if is_done else f' ({told.strip()[:150]})'}"


@contextmanager
def made_again(setting: Setting, planned: PlannedFault) -> Iterator[str | None]:
    """A job is deleted, and made again on the same sink, where it resumes."""
    tracked = _target(setting, planned, setting.jobs.running)
    yield _make_again(setting.world, tracked) if tracked else None


def _make_again(world: World, tracked: Tracked) -> str | None:
    with tracked.lock:
        if tracked.is_over:
            return None
        name, cluster = tracked.planned.name, world.namespaces[tracked.planned.namespace]
        insist(world, cluster, "delete", "infj", name, "--timeout=60s")
        is_done, told = insist(world, cluster, "create", "-f", "-", stdin=json.dumps(tracked.document))
        assert is_done, told
        tracked.times_made += 1
        return name


# ---- what there is to hit


def _worker_pods(world: World) -> list[tuple[str, str]]:
    """Namespace and name of the healthy jobs' worker pods that run."""

    def running(cluster: Cluster) -> list[str]:
        pods = cluster.items("pods", "dueby.dev/step=work")
        return [pod["metadata"]["name"] for pod in pods if pod.get("status", {}).get("phase") == "Running"]

    return sorted(
        (namespace, name)
        for namespace, cluster in world.namespaces.items()
        for name in seen(lambda there=cluster: running(there)) or ()  # type: ignore[misc]
    )


def _worker_processes(world: World) -> list[tuple[str, str]]:
    """Node and number of each worker's process, those of hostile jobs included."""
    found = []
    for node in world.nodes:
        is_done, told = in_node(node, "pgrep", "-f", WORKER_PROCESSES)
        found += [(node, pid) for pid in told.split() if is_done]
    return found


def _target(
    setting: Setting, planned: PlannedFault, find: Callable[[], Sequence[Target]], *, wait_s: int = TARGET_S
) -> Target | None:
    """Which of them is hit, once there is any; None if there is none for long."""
    for _ in range(wait_s):
        if found := find():
            return found[planned.draw % len(found)]
        if setting.world.over.wait(1.0):
            break
    return None


JOB_FAULTS: Mapping[str, Make] = {
    "worker pod deleted": pod_deleted,
    "worker killed": worker_killed,
    "worker stopped": worker_stopped,
    "worker's clock an hour off": clock_off,
    "sink's disk full": disk_full,
    "deadline edited": edit("deadline"),
    "gpus.max edited": edit("gpus"),
    "job deleted and made again": made_again,
}

"""Faults of what all jobs share: nodes, the operator, the API server, the S3 server.

A fault is a context: it lasts while it is open, and gives the words for what it has hit, or None where there was
nothing to hit. Processes are reached from the node that they run on, so that it works while the API server is away.

The operator's clock is its process's, by libfaketime. A whole node's can't be skewed here: kind's nodes are containers,
which share the clock of this machine.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import yaml

from chaos.cluster import CLOCK_LIBRARY, CLOCK_SETTINGS, World, in_node, insist
from chaos.jobs import HealthyJobs
from chaos.schedule import PlannedFault
from chaos.watch import OPERATOR_PROCESS, Watch
from support.kind.cluster import OPERATOR_NAMESPACE, SHARED, call
from support.lanes import CONTROL_PLANE

API_SERVER, S3_SERVER = "kube-apiserver", "versitygw"
HOUR_S = 3600
DOCKER_TRIES = 5
DEPLOYMENT = ("-n", OPERATOR_NAMESPACE, "deployment/dueby-operator")
Hit = AbstractContextManager[str | None]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What faults know."""

    world: World
    jobs: HealthyJobs
    watch: Watch


Make = Callable[[Setting, PlannedFault], Hit]


def node_is(away: str, back: str) -> Make:
    """Return the fault that does the one to a node, as Docker calls it, and the other in the end."""

    @contextmanager
    def hit(setting: Setting, planned: PlannedFault) -> Iterator[str | None]:
        node = setting.world.nodes[planned.draw % len(setting.world.nodes)]
        _tell_docker(setting, away, node)
        try:
            yield node
        finally:
            _tell_docker(setting, back, node)

    return hit


def _tell_docker(setting: Setting, verb: str, node: str) -> None:
    """Do it, at the latest at the last try: a node that starts processes just then may not be to be paused."""
    for _ in range(DOCKER_TRIES - 1):
        with suppress(AssertionError):
            call("docker", verb, node)
            return
        setting.world.aborted.wait(1.0)
    call("docker", verb, node)


@contextmanager
def operator_killed(setting: Setting, planned: PlannedFault) -> Iterator[str | None]:
    labelled = ("-n", OPERATOR_NAMESPACE, "-l", "app.kubernetes.io/name=dueby")
    with setting.watch.disturbed(restarts=1):
        insist(setting.world, setting.world.cluster, "delete", "pod", *labelled, "--force", "--grace-period=0")
    yield "its pod"


@contextmanager
def operator_paused(setting: Setting, planned: PlannedFault) -> Iterator[str | None]:
    # Its probe fails meanwhile, so that kubelet may start it again.
    with setting.watch.disturbed(restarts=1), _stopped("-f", OPERATOR_PROCESS) as is_there:
        yield "its process" if is_there else None


@contextmanager
def operator_clock(setting: Setting, planned: PlannedFault) -> Iterator[str | None]:
    if not setting.world.has_clocks:
        yield None
        return
    _roll_out(setting, "patch", *DEPLOYMENT, "-p", yaml.safe_dump(clock_patch()))
    try:
        yield "its Deployment, which starts it again"
    finally:
        _roll_out(setting, "rollout", "undo", *DEPLOYMENT)


def _roll_out(setting: Setting, *change: str) -> None:
    """Change the Deployment, and wait until the operator is up."""
    with setting.watch.disturbed(restarts=1):
        insist(setting.world, setting.world.cluster, *change)
        insist(setting.world, setting.world.cluster, "rollout", "status", *DEPLOYMENT, "--timeout=120s")


def clock_patch() -> dict[str, Any]:
    """What gives the operator another clock: libfaketime, from the folder that the nodes share."""
    variables = {"LD_PRELOAD": f"/clocks/{CLOCK_LIBRARY}", "FAKETIME": f"+{HOUR_S}", **CLOCK_SETTINGS}
    container = {
        "name": "operator",
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "volumeMounts": [{"name": "clocks", "mountPath": "/clocks", "readOnly": True}],
    }
    volume = {"name": "clocks", "hostPath": {"path": f"{SHARED}/clocks/operator"}}
    return {"spec": {"template": {"spec": {"containers": [container], "volumes": [volume]}}}}


def killed(process: str) -> Make:
    """Kill a process of the control plane's node, which kubelet starts again."""

    @contextmanager
    def make(setting: Setting, planned: PlannedFault) -> Iterator[str | None]:
        is_done, _ = in_node(CONTROL_PLANE, "pkill", "-KILL", process)
        yield process if is_done else None

    return make


def paused(process: str) -> Make:
    """Stop a process of the control plane's node: it accepts connections and answers nothing."""

    @contextmanager
    def make(setting: Setting, planned: PlannedFault) -> Iterator[str | None]:
        with _stopped(process) as is_there:
            yield process if is_there else None

    return make


@contextmanager
def _stopped(*which: str) -> Iterator[bool]:
    is_done, _ = in_node(CONTROL_PLANE, "pkill", "-STOP", *which)
    try:
        yield is_done
    finally:
        in_node(CONTROL_PLANE, "pkill", "-CONT", *which)


def repair(world: World) -> None:
    """Undo whatever may be left of faults, so that the last jobs can end."""
    for node in world.nodes:
        for verb in ("unpause", "start"):
            with suppress(AssertionError):  # it is as it should be
                call("docker", verb, node)
    for which in ((API_SERVER,), (S3_SERVER,), ("-f", OPERATOR_PROCESS)):
        in_node(CONTROL_PLANE, "pkill", "-CONT", *which)


SERVER_FAULTS: Mapping[str, Make] = {
    "node killed": node_is("kill", "start"),
    "node paused": node_is("pause", "unpause"),
    "operator killed": operator_killed,
    "operator paused": operator_paused,
    "operator's clock an hour ahead": operator_clock,
    "API server killed": killed(API_SERVER),
    "API server paused for 10 s": paused(API_SERVER),
    "API server paused for 60 s": paused(API_SERVER),
    "S3 server killed": killed(S3_SERVER),
    "S3 server paused": paused(S3_SERVER),
}

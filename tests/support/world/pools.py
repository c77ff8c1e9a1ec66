"""A pool that stands at zero, jobs for its class of GPUs, and an autoscaler that isn't always able to make a node.

It is asked by the pods that wait, by ProvisioningRequests or by CapacityBuffers. What becomes of each is drawn: a node
comes in time or late, the request is refused, what was promised is revoked, its booking ends before the node has come,
or nothing can be had for minutes. After some minutes every node can be had, so that all jobs end. Pods that wait beside
the buffer of their Job would be given twice the nodes: that is a fault of the operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from dueby_api.capacity import Asker, NodePool
from dueby_api.schema import validate
from dueby_api.units import format_time
from support.world.cluster import LABEL, TARIFF
from support.world.controllers import JOB_OF_POD
from support.world.objects import Key, Stored

if TYPE_CHECKING:
    from support.world.scenario import Scenario

NAME, SELECTOR, DEVICES, CLASS = "burst", {"pool": "burst"}, 2, "GPU-B"
# What the chart's values say that a node takes, and after what time there is one whenever it is asked for.
PROVISION_S, LAST_S = 15.0, 400.0
# An autoscaler looks at what asks so long after it has come.
LOOK_S = 1.0
ANSWERS = {
    "pods": ("in time", "late", "never"),
    "provisioningrequests": ("in time", "late", "never", "refused", "revoked", "expired"),
    "capacitybuffers": ("in time", "late", "never", "refused"),
}
ASKS: Mapping[str, Asker] = {
    "pods": "PendingPods",
    "provisioningrequests": "ProvisioningRequest",
    "capacitybuffers": "CapacityBuffer",
}
# What an autoscaler calls it that it has heard, that it makes nodes or doesn't, and that it refuses.
CONDITIONS = {
    "provisioningrequests": ("Accepted", "Provisioned", ("Failed", "True")),
    "capacitybuffers": ("ReadyForProvisioning", "Provisioning", ("ReadyForProvisioning", "False")),
}


@dataclass(eq=False)
class Pool:
    """The pool of a world, and its autoscaler."""

    scenario: Scenario
    kind: str = field(init=False)
    """What asks: one of ASKS. Where buffers ask, their Jobs' pods do, too, for what has not come before them."""

    def begin(self) -> None:
        """Have the operator know the pool, and jobs come for it soon."""
        scenario, cluster = self.scenario, self.scenario.cluster
        chance = cluster.world.chance
        self.kind = chance.choice(tuple(ASKS))
        pool = {"name": NAME, "class": CLASS, "nodeSelector": SELECTOR, "devicesPerNode": DEVICES, "maxNodes": 1}
        pool |= {"timeToProvision": f"{PROVISION_S:.0f}s", "ask": ASKS[self.kind]}
        prices = dict.fromkeys((*TARIFF.prices, CLASS), next(iter(TARIFF.prices.values())))
        tariff = replace(TARIFF, prices=prices)
        cluster.settings = replace(cluster.settings, node_pools=(validate(NodePool, pool),), tariff=tariff)
        cluster.add_profile(CLASS)
        cluster.devices_to_come = DEVICES
        cluster.server.listeners.append(self._changed)
        for name in "de":
            source = f"s3://photos/{name}"
            cluster.put_photos(source, chance.choice((12, 30, 45)))
            scenario.jobs[name] = {
                **scenario.spec(source, f"s3://out/{name}"),
                "deadline": f"{chance.choice((60, 120, 300))}s",
                "deadlineClass": chance.choice(("Hard", "Soft", "Relaxed")),
                "gpus": {"classes": [CLASS]},
            }
            scenario.later(chance.uniform(0, 30), name, scenario.submit)
            scenario.change_minds(name)

    def _changed(self, before: Stored | None, after: Stored | None) -> None:
        if before is not None or after is None:
            return
        kind, spec = after.place.kind, after.document.get("spec", {})
        is_pod = kind == "pods" and SELECTOR.items() <= spec.get("nodeSelector", {}).items()
        if is_pod and self.kind == "capacitybuffers":
            self._look_for_buffer(after)
        asks = is_pod and self.kind != "provisioningrequests"
        if asks or (kind == self.kind and kind != "pods"):
            self.scenario.cluster.world.at(LOOK_S, partial(self._answer, after.place.key))

    def _look_for_buffer(self, pod: Stored) -> None:
        """Fail if what asked for the pod's node before there was a pod still asks."""
        key = ("capacitybuffers", pod.place.namespace, pod.metadata["labels"][JOB_OF_POD])
        if key in self.scenario.cluster.server.objects:
            self.scenario.checks.fail(f"the pod {pod.place.name} asks for a node that a buffer asks for, too")

    def _answer(self, key: Key) -> None:
        """Draw what becomes of what asks."""
        world, kind = self.scenario.cluster.world, key[0]
        if key not in self.scenario.cluster.server.objects:
            return
        can_be_had = NAME in self.scenario.cluster.nodes or world.seconds > LAST_S
        answer = "in time" if can_be_had else world.chance.choice(ANSWERS[kind])
        world.tell(f"autoscaler: {kind} {key[2]}: {answer}")
        heard, makes, refuses = CONDITIONS.get(kind, ("", "", ("", "")))
        self._say(key, heard)
        if answer == "refused":
            self._say(key, refuses[0], status=refuses[1])
        elif answer == "never":
            self._say(key, makes, status="False")
            world.at(max(0.0, LAST_S - world.seconds), partial(self._answer, key))
        else:
            self._say(key, makes)
        if answer in ("expired", "revoked"):
            ends = "BookingExpired" if answer == "expired" else "CapacityRevoked"
            world.at(world.chance.uniform(1, 2 * PROVISION_S), partial(self._say, key, ends))
        elif answer == "in time":
            world.at(world.chance.uniform(2, PROVISION_S / 2), partial(self._make_node, key))
        elif answer == "late":
            world.at(PROVISION_S + world.chance.uniform(5, 90), partial(self._make_node, key))
        if answer != "in time":
            self.scenario.checks.excuses.note(2 * LAST_S)

    def _say(self, key: Key, kind: str, *, status: str = "True") -> None:
        """Write a condition to a request, if that is what asks."""
        server = self.scenario.cluster.server
        stored = server.objects.get(key)
        if stored is None or not kind:
            return
        said = {"type": kind, "status": status, "reason": kind, "message": "so the autoscaler says"}
        said |= {"lastTransitionTime": format_time(server.world.now_us)}
        before = (stored.document.get("status") or {}).get("conditions", [])
        server.set_status(key, {"conditions": [*(each for each in before if each["type"] != kind), said]})

    def _make_node(self, key: Key) -> None:
        """Make the node, unless it is there or nobody asks any more."""
        cluster = self.scenario.cluster
        if NAME not in cluster.nodes and key in cluster.server.objects:
            cluster.devices_to_come = 0
            cluster.add_node(NAME, DEVICES, labels={**SELECTOR, LABEL: CLASS})
            cluster.world.tell(f"the node {NAME} has come")

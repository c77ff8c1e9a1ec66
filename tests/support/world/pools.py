"""A pool that stands at zero, jobs for its class of GPUs, and an autoscaler that isn't always able to make a node.

It is asked by the pods that wait, or by ProvisioningRequests. What becomes of each is drawn: a node comes in time or
late, the request is refused, its booking ends before the node has come, or nothing can be had for minutes. After some
minutes every node can be had, so that all jobs end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from dueby_api.capacity import NodePool
from dueby_api.schema import validate
from dueby_api.units import format_time
from support.world.cluster import LABEL, TARIFF
from support.world.objects import Key, Stored

if TYPE_CHECKING:
    from support.world.scenario import Scenario

NAME, SELECTOR, DEVICES, CLASS = "burst", {"pool": "burst"}, 2, "GPU-B"
# What the chart's values say that a node takes, and after what time there is one whenever it is asked for.
PROVISION_S, LAST_S = 15.0, 400.0
# An autoscaler looks at what asks so long after it has come.
LOOK_S = 1.0
BY_PODS, BY_REQUESTS = ("in time", "late", "never"), ("in time", "late", "never", "refused", "expired")


@dataclass(eq=False)
class Pool:
    """The pool of a world, and its autoscaler."""

    scenario: Scenario
    kind: str = field(init=False)
    """What asks: pods or provisioningrequests."""

    def begin(self) -> None:
        """Have the operator know the pool, and jobs come for it soon."""
        scenario, cluster = self.scenario, self.scenario.cluster
        chance = cluster.world.chance
        self.kind = chance.choice(("pods", "provisioningrequests"))
        ask = "PendingPods" if self.kind == "pods" else "ProvisioningRequest"
        pool = {"name": NAME, "class": CLASS, "nodeSelector": SELECTOR, "devicesPerNode": DEVICES, "maxNodes": 1}
        pool |= {"timeToProvision": f"{PROVISION_S:.0f}s", "ask": ask}
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
        if before is not None or after is None or after.place.kind != self.kind:
            return
        if self.kind != "pods" or SELECTOR.items() <= after.document["spec"].get("nodeSelector", {}).items():
            self.scenario.cluster.world.at(LOOK_S, partial(self._answer, after.place.key))

    def _answer(self, key: Key) -> None:
        """Draw what becomes of what asks."""
        world = self.scenario.cluster.world
        can_be_had = NAME in self.scenario.cluster.nodes or world.seconds > LAST_S
        answer = "in time" if can_be_had else world.chance.choice(BY_PODS if self.kind == "pods" else BY_REQUESTS)
        world.tell(f"autoscaler: {key[2]}: {answer}")
        self._say(key, "Accepted")
        if answer == "refused":
            self._say(key, "Failed")
        elif answer == "never":
            self._say(key, "Provisioned", status="False")
            world.at(max(0.0, LAST_S - world.seconds), partial(self._answer, key))
        else:
            self._say(key, "Provisioned")
        if answer == "expired":
            world.at(world.chance.uniform(1, 2 * PROVISION_S), partial(self._say, key, "BookingExpired"))
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
        if stored is None or self.kind == "pods":
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

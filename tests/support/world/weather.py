"""Faults, drawn by a seed: each world has a few kinds of them, at rates of its own, for a time.

Not all kinds at once: a world in which everything fails shows little of what two faults do together. A gentle world has
only faults that a promise must survive: the API server's, and an operator that is replaced at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from support.world.bucket import USUAL, Fate
from support.world.cluster import Cluster
from support.world.network import TRAVEL_S, Request, network_of
from support.world.scheduler import Process

GENTLE = ("refused", "unheard", "cut", "killed operator")
HARSH = (
    *("lost", "paused operator", "two operators", "killed worker", "paused worker", "unheard store", "late store"),
    *("store away", "cut off node", "lost node"),
)
RARE, OFTEN = 0.004, 0.06
# How late a fault of a gentle world may make a job: a lost answer is waited for as long as the Lease allows, and a pass
# waits for its slowest request.
COST_S = {"refused": 2.5, "unheard": 13.0, "cut": 5.0, "killed operator": 6.0}
LATE_S = 2.0
WRITES = ("create", "replace", "delete")


@dataclass(eq=False)
class Weather:
    """The faults of one world."""

    cluster: Cluster
    is_gentle: bool
    ends_s: float
    rates: dict[str, float] = field(default_factory=dict)
    """How often each kind happens, of each chance that it has."""
    happened: int = 0
    cost_s: float = 0.0
    """How late what has happened may make a job."""
    away: dict[str, int] = field(default_factory=dict)
    """Until when a process can't reach the store, by its name."""

    def begin(self) -> None:
        """Draw the kinds, and have them happen."""
        chance = self.cluster.world.chance
        kinds = GENTLE if self.is_gentle else (*GENTLE, *HARSH)
        for kind in kinds:
            if chance.random() < 0.35:
                self.rates[kind] = RARE * (OFTEN / RARE) ** chance.random()
        self.cluster.world.tell(f"faults: {', '.join(f'{kind} {rate:.3f}' for kind, rate in self.rates.items())}")
        self.cluster.server.fault = self._api_fault
        network_of(self.cluster.world).fate = self._travel
        self.cluster.bucket.fate = self._store_fate
        self._look()

    def _draws(self, kind: str) -> bool:
        """Return whether it happens now."""
        world = self.cluster.world
        if world.seconds > self.ends_s or kind not in self.rates or world.chance.random() >= self.rates[kind]:
            return False
        self.happened += 1
        self.cost_s += COST_S.get(kind, inf)
        return True

    def _api_fault(self, request: Request) -> str:
        is_write = request.method != "GET"
        if self._draws("refused"):
            return str(self.cluster.world.chance.choice(("500", "503", "429", *(("409",) if is_write else ()))))
        if is_write and self._draws("unheard"):
            return "lost"
        if is_write and "operator" in request.by.name:
            return self._operator_fault(request.by)
        return ""

    def _operator_fault(self, operator: Process) -> str:
        world, chance = self.cluster.world, self.cluster.world.chance
        if self._draws("killed operator"):
            before = chance.random() < 0.5
            self._kill_operator(operator, chance.uniform(0.5, 3))
            return "dropped" if before else "lost"
        if self._draws("paused operator"):
            seconds = chance.uniform(2, 90)
            world.tell(f"{operator.name} stands still for {seconds:.0f} s")
            operator.paused_until_us = world.now_us + round(seconds * 1e6)
        if self._draws("two operators"):
            self.cluster.start_operator(pod_uid=f"pod-{len(self.cluster.operators) + 1}")
        return ""

    def _kill_operator(self, operator: Process, seconds: float) -> None:
        if operator.is_dead:
            return
        operator.is_dead = True
        self.cluster.world.tell(f"{operator.name} is killed")
        pod_uid = operator.attributes["pod_uid"]  # the container is started again in its pod
        self.cluster.world.at(seconds, lambda: self.cluster.start_operator(pod_uid=pod_uid))

    def _travel(self, request: Request, host: str) -> tuple[float, float]:
        chance = self.cluster.world.chance
        if host != "api":
            node = self.cluster.node_at(host)
            return (inf, TRAVEL_S) if node is None or node.is_cut_off else (TRAVEL_S, TRAVEL_S)
        if request.method != "GET" and self._draws("lost"):
            return (inf, TRAVEL_S) if chance.random() < 0.5 else (chance.uniform(0.1, 1.9), chance.uniform(0, 20))
        return TRAVEL_S * chance.uniform(0.5, 2), TRAVEL_S * chance.uniform(0.5, 2)

    def _store_fate(self, process: Process, what: str, uri: str) -> Fate:
        world, chance = self.cluster.world, self.cluster.world.chance
        if self.away.get(process.name, 0) > world.now_us:
            return Fate(answer_s=5.0, is_done=False, is_heard=False)
        if what not in WRITES:
            return USUAL
        if self._draws("store away"):
            self.away[process.name] = world.now_us + round(chance.uniform(5, 300) * 1e6)
        if self._draws("killed worker"):
            is_done = chance.random() < 0.5
            world.at(chance.choice((0.001, 0.005, 0.009)), process.attributes["kill"])
            return Fate(is_done=is_done)
        if self._draws("paused worker"):
            seconds = chance.uniform(5, 300)
            if chance.random() < 0.6:
                return Fate(pause_s=seconds)
            process.paused_until_us = world.now_us + round(seconds * 1e6)
            return USUAL
        if self._draws("unheard store"):
            return Fate(answer_s=chance.uniform(0.1, 20), is_heard=False, is_done=chance.random() < 0.7)
        if self._draws("late store"):
            # What a sender no longer waits for arrives soon or never.
            there_s = chance.uniform(1, 20)
            return Fate(there_s=there_s, answer_s=max(0.1, there_s - chance.uniform(0, LATE_S)), is_heard=False)
        return USUAL

    def _look(self) -> None:
        """Let happen what happens by itself."""
        world, chance, nodes = self.cluster.world, self.cluster.world.chance, list(self.cluster.nodes.values())
        if world.seconds > self.ends_s:
            return
        if self._draws("cut"):
            world.tell("all watches break")
            self.cluster.server.cut_watches()
        node = chance.choice(nodes)
        for kind, strike in (("cut off node", node.cut_off), ("lost node", node.crash)):
            if self._draws(kind) and not node.is_cut_off:
                self._strike(kind, node.name, strike, node.come_back)
        world.at(1.0, self._look)

    def _strike(self, kind: str, name: str, strike: Callable[[], None], come_back: Callable[[], None]) -> None:
        seconds = self.cluster.world.chance.uniform(10, 240)
        self.cluster.world.tell(f"{kind}: {name} for {seconds:.0f} s")
        strike()
        self.cluster.world.at(seconds, come_back)

"""Faults, drawn by a seed: each world has a few kinds of them, at rates of its own, for a time.

Not all kinds at once: a world in which everything fails shows little of what two faults do together. A gentle world has
only faults that a promise must survive: the API server's, and an operator that is replaced at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from support.world.bucket import USUAL, Fate
from support.world.cluster import Cluster
from support.world.excuses import Excuses
from support.world.network import TRAVEL_S, Request, network_of
from support.world.objects import place_of
from support.world.scheduler import Process

GENTLE = ("refused", "unheard", "cut", "killed operator")
HARSH = (
    *("lost", "paused operator", "two operators", "killed worker", "paused worker", "unheard store", "late store"),
    *("store away", "cut off node", "lost node"),
)
RARE, OFTEN = 0.004, 0.06
# What follows from a fault once it is over, in seconds. An operator that starts waits for what the one before it has
# sent, lists everything and decides; another one waits until the Lease has run out. A lost answer to what is written
# about a job is waited for as long as the Lease allows, and by the others for a moment.
OPERATOR_STARTS_S, LEASE_S = 10.0, 18.0
ANSWER_S, MOMENT_S, RENEWAL_S = 13.0, 3.0, 8.0
# A failed pass is repeated, and so is a list whose watch has broken.
REFUSED_S, CUT_S = 4.5, 5.0
# A worker starts again, warms up and computes its open part again, after what the Job's controller waits first.
WORKER_STARTS_S, FIRST_PAUSE_S = 12.0, 10.0
# A store that didn't answer is asked again after a pause, which gets as long as it was away, and no longer than this.
STORE_PAUSE_S = 31.0
# A node's pods are deleted a while after it was seen to be away, and made again after a pause.
NODE_S = 40.0
LATE_S = 2.0
WRITES = ("create", "replace", "delete")


@dataclass(eq=False)
class Weather:
    """The faults of one world."""

    cluster: Cluster
    excuses: Excuses
    is_gentle: bool
    ends_s: float
    surely: tuple[str, ...] = ()
    """Kinds that happen often in this world: without them a bug that is looked for would need hundreds of worlds."""
    rates: dict[str, float] = field(default_factory=dict)
    """How often each kind happens, of each chance that it has."""
    happened: int = 0
    away: dict[str, int] = field(default_factory=dict)
    """Until when a process can't reach the store, by its name."""

    def begin(self) -> None:
        """Draw the kinds, and have them happen."""
        chance = self.cluster.world.chance
        kinds = GENTLE if self.is_gentle else (*GENTLE, *HARSH)
        for kind in kinds:
            if chance.random() < 0.35:
                self.rates[kind] = RARE * (OFTEN / RARE) ** chance.random()
        self.rates |= dict.fromkeys(self.surely, OFTEN)
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
        return True

    def _note_unanswered(self, request: Request) -> None:
        """Note that nothing is heard of a request, or that it was refused."""
        place = place_of(request.path)
        if place.kind == "leases":
            self.excuses.note(RENEWAL_S)
            return
        body = request.body or {}
        found = self.cluster.server.objects.get(place.key)
        owners = [*body.get("metadata", {}).get("ownerReferences", ()), body.get("involvedObject", {})]
        uid = next((owner["uid"] for owner in owners if "uid" in owner), "") or (
            self.excuses.job_of(found) if found else ""
        )
        self.excuses.note(ANSWER_S, job=uid)
        self.excuses.note(MOMENT_S)

    def _api_fault(self, request: Request) -> str:
        is_write = request.method != "GET"
        if self._draws("refused"):
            self.excuses.note(REFUSED_S)
            return str(self.cluster.world.chance.choice(("500", "503", "429", *(("409",) if is_write else ()))))
        if is_write and self._draws("unheard"):
            self._note_unanswered(request)
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
            self.excuses.note(seconds + LEASE_S + OPERATOR_STARTS_S)
            operator.paused_until_us = world.now_us + round(seconds * 1e6)
        if self._draws("two operators"):
            self.cluster.start_operator(pod_uid=f"pod-{len(self.cluster.operators) + 1}")
        return ""

    def _kill_operator(self, operator: Process, seconds: float) -> None:
        if operator.is_dead:
            return
        operator.is_dead = True
        self.cluster.world.tell(f"{operator.name} is killed")
        has_rival = sum(not each.is_dead for each in self.cluster.operators) > 0
        self.excuses.note(seconds + OPERATOR_STARTS_S + (LEASE_S if has_rival else 0))
        pod_uid = operator.attributes["pod_uid"]  # the container is started again in its pod
        self.cluster.world.at(seconds, lambda: self.cluster.start_operator(pod_uid=pod_uid))

    def _travel(self, request: Request, host: str) -> tuple[float, float]:
        chance = self.cluster.world.chance
        if host != "api":
            node = self.cluster.node_at(host)
            return (inf, TRAVEL_S) if node is None or node.is_cut_off else (TRAVEL_S, TRAVEL_S)
        if request.method != "GET" and self._draws("lost"):
            self._note_unanswered(request)
            return (inf, TRAVEL_S) if chance.random() < 0.5 else (chance.uniform(0.1, 1.9), chance.uniform(0, 20))
        return TRAVEL_S * chance.uniform(0.5, 2), TRAVEL_S * chance.uniform(0.5, 2)

    def _store_fate(self, process: Process, what: str, uri: str) -> Fate:
        world, chance = self.cluster.world, self.cluster.world.chance
        if self.away.get(process.name, 0) > world.now_us:
            return Fate(answer_s=5.0, is_done=False, is_heard=False)
        if what not in WRITES:
            return USUAL
        if self._draws("store away"):
            seconds = chance.uniform(5, 300)
            self.away[process.name] = world.now_us + round(seconds * 1e6)
            self.cluster.bucket.away.add(process.name)
            self._note_worker(process, 2 * seconds if seconds < STORE_PAUSE_S else seconds + STORE_PAUSE_S)
        if self._draws("killed worker"):
            is_done = chance.random() < 0.5
            self._note_worker(process, FIRST_PAUSE_S * 2 ** int(process.attributes["losses"]))
            world.at(chance.choice((0.001, 0.005, 0.009)), process.attributes["kill"])
            return Fate(is_done=is_done)
        if self._draws("paused worker"):
            seconds = chance.uniform(5, 300)
            self._note_worker(process, seconds)
            if chance.random() < 0.6:
                return Fate(pause_s=seconds)
            process.paused_until_us = world.now_us + round(seconds * 1e6)
            return USUAL
        if self._draws("unheard store"):
            answer_s = chance.uniform(0.1, 20)
            self._note_worker(process, answer_s)
            return Fate(answer_s=answer_s, is_heard=False, is_done=chance.random() < 0.7)
        if self._draws("late store"):
            # What a sender no longer waits for arrives soon or never.
            there_s = chance.uniform(1, 20)
            self._note_worker(process, there_s)
            return Fate(there_s=there_s, answer_s=max(0.1, there_s - chance.uniform(0, LATE_S)), is_heard=False)
        return USUAL

    def _note_worker(self, process: Process, seconds: float) -> None:
        self.excuses.note(seconds + WORKER_STARTS_S, job=process.attributes["job"])

    def _look(self) -> None:
        """Let happen what happens by itself."""
        world, chance, nodes = self.cluster.world, self.cluster.world.chance, list(self.cluster.nodes.values())
        if world.seconds > self.ends_s:
            return
        if self._draws("cut"):
            world.tell("all watches break")
            self.excuses.note(CUT_S)
            self.cluster.server.cut_watches()
        node = chance.choice(nodes)
        for kind, strike in (("cut off node", node.cut_off), ("lost node", node.crash)):
            if self._draws(kind) and not node.is_cut_off:
                self._strike(kind, node.name, strike, node.come_back)
        world.at(1.0, self._look)

    def _strike(self, kind: str, name: str, strike: Callable[[], None], come_back: Callable[[], None]) -> None:
        seconds = self.cluster.world.chance.uniform(10, 240)
        self.cluster.world.tell(f"{kind}: {name} for {seconds:.0f} s")
        self.excuses.note(seconds + NODE_S, node=name)
        strike()
        self.cluster.world.at(seconds, come_back)

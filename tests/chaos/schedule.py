"""What the chaos does and when: jobs, faults and hostile objects, made from a seed before anything starts. Pure.

Times are seconds since the start. Which pod or node a fault hits is drawn when it comes, by the number that is planned
here, since nobody knows before what will run then. Faults of one lane never overlap: two API servers can't be paused,
and of two nodes that were killed at a time, Docker may give either the other's address.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from dueby_api.inference_job import DeadlineClass

# What the profile of the tests says of one slice, which this machine need not keep: 8 images in 40 ms.
IMAGES_PER_SECOND = 200
# Listing the images, starting pods and counting the rows, on a machine of two cores that is busy.
OVERHEAD_S = 90.0
# A deadline is the overhead and the work on one slice, so many times. The rest is there for the faults.
MIN_ROOM, MAX_ROOM = 4.0, 8.0
MIN_IMAGES, MAX_IMAGES = 1_000, 8_000
CONFIDENCES = (0.8, 0.9, 0.95, 0.99)
NAMESPACES = ("chaos-a", "chaos-b", "chaos-c", "chaos-d", "chaos-e")
# The shortest that a job can take, for how many a namespace may need.
SHORTEST_JOB_S = 40.0
# Nothing is done to a cluster that has just begun.
FIRST_FAULT_S = 20.0
# A node that comes back, or an API server, has so long before the next fault of its lane.
SETTLE_S = 20.0
# Kubelet waits longer from one crash of a container to the next, and forgets them after 10 minutes.
FORGOTTEN_S = 660.0
ONCE_S = 10.0**9
# Each takes a step or two of Python's start, and some a slice until their deadline.
CASES_APART_S = 40.0


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """A kind of fault: how long it lasts, and beside what it can't be."""

    lane: str
    least_s: float = 0.0
    most_s: float = 0.0
    apart_s: float = SETTLE_S
    """From the end of one to the beginning of the next of this kind."""
    first_s: float = FIRST_FAULT_S
    """None comes earlier."""


FAULTS: Mapping[str, FaultKind] = {
    "worker pod deleted": FaultKind(lane="pods"),
    "worker killed": FaultKind(lane="processes"),
    "worker stopped": FaultKind(lane="processes", least_s=15, most_s=50),
    "node killed": FaultKind(lane="nodes", least_s=20, most_s=60),
    "node paused": FaultKind(lane="nodes", least_s=15, most_s=60),
    "operator killed": FaultKind(lane="operator"),
    "operator paused": FaultKind(lane="operator", least_s=60, most_s=60),
    "operator's clock an hour ahead": FaultKind(lane="operator", least_s=90, most_s=120, apart_s=ONCE_S, first_s=240),
    "API server killed": FaultKind(lane="API server", apart_s=FORGOTTEN_S),
    "API server paused for 10 s": FaultKind(lane="API server", least_s=10, most_s=10),
    "API server paused for 60 s": FaultKind(lane="API server", least_s=60, most_s=60),
    "S3 server killed": FaultKind(lane="S3 server", apart_s=FORGOTTEN_S),
    "S3 server paused": FaultKind(lane="S3 server", least_s=10, most_s=60),
    "worker's clock an hour off": FaultKind(lane="clocks", least_s=20, most_s=60),
    "sink's disk full": FaultKind(lane="disk", least_s=20, most_s=60),
    "deadline edited": FaultKind(lane="edits"),
    "gpus.max edited": FaultKind(lane="edits"),
    "job deleted and made again": FaultKind(lane="edits"),
}
# How often a job is on each kind of store.
STORES: Mapping[str, int] = {"folder": 4, "s3": 3, "synthetic": 2, "clock": 2, "disk": 2}


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """A healthy job. It begins when the one before it in its namespace has ended."""

    name: str
    namespace: str
    store: str
    deadline_class: DeadlineClass
    images: int
    confidence: float
    room: float
    deadline_s: int


@dataclass(frozen=True, kw_only=True)
class PlannedFault:
    """A fault of a kind."""

    at_s: float
    kind: str
    seconds: float
    """How long it lasts."""
    draw: int
    """Which of those that it could hit it does, modulo how many they are then."""


@dataclass(frozen=True, kw_only=True)
class PlannedCase:
    """Hostile objects that are applied."""

    at_s: float
    case: str


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """All of it."""

    seed: int
    minutes: float
    jobs: tuple[PlannedJob, ...]
    faults: tuple[PlannedFault, ...]
    cases: tuple[PlannedCase, ...]

    def document(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)


def make_schedule(*, seed: int, minutes: float, fault_every_s: float, cases: Sequence[str]) -> Schedule:
    """The schedule of a seed. The jobs are the same whatever happens between two faults."""
    end_s = minutes * 60
    return Schedule(
        seed=seed,
        minutes=minutes,
        jobs=tuple(job for name in NAMESPACES for job in _jobs(random.Random(f"{seed} {name}"), name, end_s)),
        faults=tuple(_faults(random.Random(f"{seed} faults"), end_s, fault_every_s)),
        cases=tuple(_cases(random.Random(f"{seed} cases"), end_s, cases)),
    )


def _jobs(draw: random.Random, namespace: str, end_s: float) -> list[PlannedJob]:
    """As many as the namespace can come to."""
    return [_job(draw, namespace, number) for number in range(1 + int(end_s / SHORTEST_JOB_S))]


def _job(draw: random.Random, namespace: str, number: int) -> PlannedJob:
    (store,) = draw.choices(list(STORES), weights=list(STORES.values()))
    images = draw.randint(MIN_IMAGES, MAX_IMAGES)
    room = round(draw.uniform(MIN_ROOM, MAX_ROOM), 1)
    return PlannedJob(
        name=f"{namespace[-1]}-{number:03d}-{store}",
        namespace=namespace,
        store=store,
        deadline_class=draw.choice(get_args(DeadlineClass)),
        images=images,
        confidence=draw.choice(CONFIDENCES),
        room=room,
        deadline_s=round(room * (OVERHEAD_S + images / IMAGES_PER_SECOND)),
    )


def _faults(draw: random.Random, end_s: float, every_s: float) -> list[PlannedFault]:
    """One after so many seconds on average, every kind in turn in an order that is drawn again each time."""
    found: list[PlannedFault] = []
    bag: list[str] = []
    # By lane and by kind, when the next may begin.
    free_s: dict[str, float] = {}
    at_s = FIRST_FAULT_S
    while at_s < end_s:
        if not bag:
            bag = draw.sample(sorted(FAULTS), len(FAULTS))
        kind = next((each for each in bag if _may_begin(each, at_s, free_s)), None)
        if kind is not None:
            bag.remove(kind)
            about = FAULTS[kind]
            seconds = round(draw.uniform(about.least_s, about.most_s), 1)
            found.append(PlannedFault(at_s=round(at_s, 1), kind=kind, seconds=seconds, draw=draw.randrange(10**6)))
            free_s[about.lane] = at_s + seconds + SETTLE_S
            free_s[kind] = at_s + seconds + about.apart_s
        elif all(free_s.get(each, 0.0) > end_s for each in bag):
            bag = []
        at_s += draw.uniform(0.5, 1.5) * every_s
    return found


def _may_begin(kind: str, at_s: float, free_s: Mapping[str, float]) -> bool:
    about = FAULTS[kind]
    return at_s >= max(about.first_s, free_s.get(about.lane, 0.0), free_s.get(kind, 0.0))


def _cases(draw: random.Random, end_s: float, names: Sequence[str]) -> list[PlannedCase]:
    """Each once in every half of an hour, at even distances; in a short run as many as there is time for."""
    times = max(1, int(end_s // 1800))
    order = [name for _ in range(times) for name in draw.sample(sorted(names), len(names))]
    apart_s = max(CASES_APART_S, (end_s - FIRST_FAULT_S) / len(order))
    found = [PlannedCase(at_s=round(FIRST_FAULT_S + apart_s * place, 1), case=name) for place, name in enumerate(order)]
    return [each for each in found if each.at_s < end_s]

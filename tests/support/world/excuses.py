"""What excuses that a job is late: the faults that touched it, while they lasted and until they are made up for.

A fault touches a job if it befalls its objects, its pods or their node, or the operator and so everybody. One of
another job's worker or node touches a job that waits for a device, since that may be the one that it waits for. What
touched nothing of the job excuses nothing, and times that overlap count once.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from support.world.api_server import APIServer
from support.world.objects import Document, Stored

OVER = ("Succeeded", "Failed")


@dataclass(frozen=True, kw_only=True)
class Span:
    """A time, in seconds since the beginning."""

    from_s: float
    to_s: float = inf

    def meets(self, other: "Span") -> bool:
        """Return whether there is a moment in both."""
        return self.from_s <= other.to_s and other.from_s <= self.to_s


@dataclass(frozen=True, kw_only=True)
class Touch:
    """A fault: its time with what follows from it, and what it touches. Nothing named is everybody."""

    span: Span
    job: str = ""
    """A job's uid."""
    node: str = ""


@dataclass(eq=False)
class Excuses:
    """The faults of one world, and where each job was meanwhile."""

    server: APIServer
    touches: list[Touch] = field(default_factory=list)
    _waiting: dict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))
    """When jobs waited for devices, by uid."""
    _on_node: dict[tuple[str, str], list[Span]] = field(default_factory=lambda: defaultdict(list))
    """When they had pods on a node, by uid and node."""

    def begin(self) -> None:
        """Follow jobs and pods from now on."""
        self.server.listeners.append(self._changed)

    def note(self, lasts_s: float, *, job: str = "", node: str = "") -> None:
        """Note a fault that begins now: of a job's process or objects, of a node, or of everybody."""
        now_s = self.server.world.seconds
        self.touches.append(Touch(span=Span(from_s=now_s, to_s=now_s + lasts_s), job=job, node=node))

    def late_s(self, uid: str, *, since_s: float) -> float:
        """Return by how much the faults since then may have made the job late by now."""
        since = Span(from_s=since_s, to_s=self.server.world.seconds)
        total_s, until_s = 0.0, since_s
        for span in sorted((each.span for each in self._touching(uid, since)), key=lambda span: span.from_s):
            total_s += max(0.0, span.to_s - max(span.from_s, until_s))
            until_s = max(until_s, span.to_s)
        return total_s

    def _touching(self, uid: str, since: Span) -> Iterator[Touch]:
        for touch in self.touches:
            is_own = touch.job == uid or not (touch.job or touch.node)
            there = [*self._waiting[uid], *self._on_node[uid, touch.node]]
            if touch.span.meets(since) and (is_own or any(touch.span.meets(span) for span in there)):
                yield touch

    def _changed(self, before: Stored | None, after: Stored | None) -> None:
        stored = after or before
        if stored is None:
            return
        if stored.place.kind == "inferencejobs":
            self._keep(self._waiting[stored.metadata["uid"]], is_so=after is not None and _waits(after.document))
        elif stored.place.kind == "pods" and (node := stored.document["spec"].get("nodeName")):
            is_there = after is not None and after.document["status"].get("phase") not in OVER
            if uid := self.job_of(stored):
                self._keep(self._on_node[uid, node], is_so=is_there or self._has_pods(uid, node))

    def _has_pods(self, uid: str, node: str) -> bool:
        on_node = (pod for pod in self.server.all("pods") if pod.document["spec"].get("nodeName") == node)
        return any(pod.document["status"].get("phase") not in OVER and self.job_of(pod) == uid for pod in on_node)

    def _keep(self, spans: list[Span], *, is_so: bool) -> None:
        now_s = self.server.world.seconds
        is_open = bool(spans) and spans[-1].to_s == inf
        if is_so and not is_open:
            spans.append(Span(from_s=now_s))
        elif is_open and not is_so:
            spans[-1] = Span(from_s=spans[-1].from_s, to_s=now_s)

    def job_of(self, stored: Stored) -> str:
        """Return the uid of the InferenceJob that an object is for; empty if it is for none."""
        if stored.place.kind == "inferencejobs":
            return str(stored.metadata["uid"])
        for owner in stored.metadata.get("ownerReferences") or ():
            if owner["kind"] == "InferenceJob":
                return str(owner["uid"])
            above = self.server.objects.get(("jobs", stored.place.namespace, owner["name"]))
            if above is not None:
                return self.job_of(above)
        return ""


def _waits(job: Document) -> bool:
    """Return whether the job has no workers yet, or devices are reserved for it that it doesn't have."""
    status = job.get("status") or {}
    plan = status.get("plan") or {}
    return status.get("phase") not in OVER and (not plan.get("revision") or bool(plan.get("windows")))

"""A Lease that one operator holds at a time, so that two of them never act on the same jobs.

The chart makes the Lease. An operator holds it by writing its name and renewing the time. Another operator that wants
it waits until the time has stood still for as long as the Lease says. It measures that by its own clock: clocks of two
machines are never compared.

The holder counts from the moment before it sent a renewal, so its own time ends before another's wait does. Each write
asks `Term.seconds_to_write` how long it may take, and a term that is over allows none ever again: what a loop still has
under way when it loses the Lease can't act, even if the same process takes the Lease again. The clock also counts the
time in which a machine was suspended, so that a process that was stopped knows of it as soon as it wakes.
"""

import asyncio
import logging
import math
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dueby_api.errors import DueByError
from dueby_operator import paths
from dueby_operator.kube.client import Conflict, Kube
from dueby_operator.kube.connection import UNSENT_S
from dueby_operator.kube.documents import Document
from dueby_operator.kube.server_clock import steady_clock_s
from dueby_operator.kube.trouble import Trouble

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LeaseTimes:
    """How long what takes."""

    duration_s: float = 15
    """Others wait so long: as long as for Kubernetes' own controllers."""
    renew_s: float = 3.0
    """Between two renewals: with retries, two that wait in vain for an answer still leave time for a third."""
    retry_s: float = 1.0
    """After a renewal that failed, and between two attempts to take it."""
    answer_s: float = 4.0
    """A request for the Lease waits no longer: the next attempt may find another API server."""
    margin_s: float = 3.0
    """A write ends so long before the Lease does: a timeout may be a second late, and bytes that are on their way
    arrive within two seconds or never (sockets.UNSENT_S)."""


class LeaseLost(BaseException):
    """Somebody else may hold the Lease now: stop at once.

    It is no Exception, as CancelledError is none, so that who goes on after one job's error doesn't go on after this.
    """


@dataclass(kw_only=True)
class Term:
    """A stretch of time in which the Lease is held."""

    document: Document
    """The Lease as it was written last."""
    until_s: float
    """Nobody else takes the Lease before."""
    margin_s: float
    clock_s: Callable[[], float]
    is_over: bool = False

    @property
    def left_s(self) -> float:
        """Seconds for which writes are safe."""
        return 0.0 if self.is_over else max(0.0, self.until_s - self.margin_s - self.clock_s())

    def seconds_to_write(self) -> float:
        """Return how long a write that is sent now may take. Raise LeaseLost if none may be sent."""
        if (left_s := self.left_s) <= 0:
            raise LeaseLost("the Lease has run out")
        return left_s


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Which Lease to hold, and in whose name."""

    path: str
    holder: str
    """Name of this process, unlike any other's."""
    predecessors: str = ""
    """How names of processes begin that are dead if this one lives: those of the same container. Empty: unknown."""
    times: LeaseTimes = field(default_factory=LeaseTimes)


def claim(lease: str, *, pod_uid: str) -> Claim:
    """Return the claim of this process to NAMESPACE/NAME.

    A container is started again only when its processes are dead, so its next process need not wait for their Lease.
    A pod's uid tells that it is the same container; a host's name alone does not: two processes may share it.
    """
    namespace, _, name = lease.partition("/")
    pod = f"{socket.gethostname()}_{pod_uid}_" if pod_uid else ""
    return Claim(
        path=paths.lease_path(namespace, name),
        holder=f"{pod or f'{socket.gethostname()}_'}{uuid.uuid4()}",
        predecessors=pod,
    )


@dataclass(kw_only=True)
class Lease:
    """The Lease that one operator claims."""

    kube: Kube
    """A client of its own, without a limit by the Lease and with the claim's `times.answer_s`."""
    claim: Claim
    outage: Trouble | None = None
    """The API server's own, of which others tell."""
    clock_s: Callable[[], float] = steady_clock_s
    was_held: bool = False
    """Whether it was ever taken."""
    began_s: float = field(init=False)
    """When this process was there: those of its container before it were dead."""

    def __post_init__(self) -> None:
        self.began_s = self.clock_s()

    async def take(self) -> Term:
        """Wait until the Lease is free, and hold it."""
        seen, since_s, logged = None, self.clock_s(), ""
        trouble = Trouble(
            f"taking the Lease {self.claim.path}",
            "the Lease can be read again",
            within=self.outage,
            clock_s=self.clock_s,
        )
        while True:
            try:
                lease = await self.kube.get(self.claim.path)
                trouble.worked()
                spec = lease.get("spec") or {}
                if (spec.get("holderIdentity"), spec.get("renewTime")) != seen:
                    seen, since_s = (spec.get("holderIdentity"), spec.get("renewTime")), self.clock_s()
                duration_s = float(spec.get("leaseDurationSeconds") or self.claim.times.duration_s)
                if self._is_free(spec) or self.clock_s() - since_s > duration_s:
                    await self._outlive(spec)
                    term = await self._begin(lease)
                    log.info("holding the Lease %s as %s", self.claim.path, self.claim.holder)
                    return term
                if logged != spec["holderIdentity"]:
                    logged = spec["holderIdentity"]
                    log.info("the Lease is held by %s; waiting", logged)
            except Conflict:  # it was renewed, or another was quicker
                pass
            except DueByError as error:
                trouble.failed(error)
            await asyncio.sleep(self.claim.times.retry_s)

    async def keep(self, term: Term) -> None:
        """Renew the Lease again and again. Raise LeaseLost once another holds it, or if it can't be renewed in time."""
        pause_s, why = self.claim.times.renew_s, ""
        try:
            while True:
                await asyncio.sleep(min(pause_s, term.left_s))
                if term.left_s <= 0:
                    since_s = self.clock_s() - term.until_s + self.claim.times.duration_s
                    why = why or "this process or its machine stood still"
                    raise LeaseLost(f"the Lease was not renewed for {since_s:.0f} s: {why}")
                try:
                    async with asyncio.timeout(term.left_s):
                        await self._renew(term)
                    pause_s, why = self.claim.times.renew_s, ""
                except (DueByError, TimeoutError) as error:
                    pause_s, why = self.claim.times.retry_s, str(error) or "no answer"
        finally:
            term.is_over = True

    async def give_back(self) -> None:
        """Let the next one have it at once."""
        if not self.was_held:
            return
        try:
            lease = await self.kube.get(self.claim.path)
            if (lease.get("spec") or {}).get("holderIdentity") == self.claim.holder:
                await self._write(lease, "")
        except DueByError as error:
            log.warning("giving the Lease back: %s", error)

    def _is_free(self, spec: Document) -> bool:
        """Return whether nobody holds it, or none but this process or a dead one of its container."""
        holder = spec.get("holderIdentity") or self.claim.holder
        return holder == self.claim.holder or bool(
            self.claim.predecessors and holder.startswith(self.claim.predecessors)
        )

    async def _outlive(self, spec: Document) -> None:
        """Wait until nothing arrives any more that a dead process of this container has sent."""
        if spec.get("holderIdentity") not in (None, "", self.claim.holder):
            await asyncio.sleep(self.began_s + UNSENT_S - self.clock_s())

    async def _begin(self, lease: Document) -> Term:
        sent_s, self.was_held = self.clock_s(), True
        return Term(
            document=await self._write(lease, self.claim.holder),
            until_s=sent_s + self.claim.times.duration_s,
            margin_s=self.claim.times.margin_s,
            clock_s=self.clock_s,
        )

    async def _renew(self, term: Term) -> None:
        """Renew it by the version that was written last, or, if that isn't the newest, by the one that is there."""
        sent_s = self.clock_s()
        try:
            document = await self._write(term.document, self.claim.holder)
        except Conflict:  # a renewal without an answer was carried out nevertheless, or somebody else wrote
            lease = await self.kube.get(self.claim.path)
            holder = (lease.get("spec") or {}).get("holderIdentity")
            if holder != self.claim.holder:
                raise LeaseLost(f"the Lease is held by {holder or 'nobody'}") from None
            sent_s = self.clock_s()
            document = await self._write(lease, self.claim.holder)
        if term.left_s > 0:  # what is over stays over
            term.document, term.until_s = document, sent_s + self.claim.times.duration_s

    async def _write(self, lease: Document, holder: str) -> Document:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = lease.get("spec") or {}
        duration_s = math.ceil(self.claim.times.duration_s)
        spec = {**before, "holderIdentity": holder, "renewTime": now, "leaseDurationSeconds": duration_s}
        if before.get("holderIdentity") != holder:
            spec |= {"acquireTime": now, "leaseTransitions": int(before.get("leaseTransitions") or 0) + 1}
        version = await self.kube.replace(self.claim.path, {**lease, "spec": spec})
        return {**lease, "metadata": {**lease["metadata"], "resourceVersion": version}, "spec": spec}

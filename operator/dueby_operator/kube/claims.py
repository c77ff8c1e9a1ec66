"""A claim to each namespace with jobs that are under way, so that two releases never work on the same jobs.

A release's own Lease keeps its processes apart. Two releases have two of them, and by mistake may watch one namespace.
So an operator decides about a namespace's jobs only while it holds the Lease of this name there. It is held in the name
of the release, whose processes follow each other without a wait; another release waits until it was not renewed for
DURATION_S, by its own clock, and leaves the jobs alone meanwhile.

Where the operator may not have such a Lease, it works as before and says so once.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dueby_api.errors import DueByError
from dueby_api.schema import LenientSpec, field
from dueby_operator import paths
from dueby_operator.control.conditions import is_done_with
from dueby_operator.jobs import names
from dueby_operator.kube.client import Conflict, Kube, Missing, Refused
from dueby_operator.kube.documents import read_as
from dueby_operator.kube.server_clock import steady_clock_s
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.meta import HasIdentity, ObjectMeta

NAME = "dueby-jobs"
# A pass takes less than the difference, so that what it writes is written while the claim is held.
DURATION_S, RENEW_S = 180.0, 60.0
# A pass waits no longer for the renewal of a claim that is held: the next one tries again.
PATIENCE_S = 1.0
AT_ONCE = 16
log = logging.getLogger(__name__)


class TenantLeaseSpec(LenientSpec, frozen=True, kw_only=True):
    """Who holds a claim."""

    holder_identity: str | None = None
    renew_time: str | None = None


class TenantLease(LenientSpec, frozen=True, kw_only=True):
    """A Lease in a tenant's namespace, who may write anything into it."""

    metadata: ObjectMeta
    spec: TenantLeaseSpec = field(default_factory=TenantLeaseSpec)


@dataclass(frozen=True, kw_only=True)
class HeldClaim:
    """A claim as it was written last."""

    version: str
    """Empty if the operator may not have it."""
    written_s: float
    """Before it was sent."""


class NamespaceClaims:
    """The claims of one operator."""

    def __init__(self, kube: Kube, *, lease: str, clock_s: Callable[[], float] = steady_clock_s) -> None:
        """`lease` is the path of the release's own Lease, by which releases are told apart."""
        self._kube = kube
        *_, namespace, _, name = lease.split("/")
        self._release = f"{namespace}/{name}"
        self._clock_s = clock_s
        self._held: dict[str, HeldClaim] = {}
        self._others: dict[str, tuple[tuple[str, str | None], float]] = {}
        """By namespace, who held it by which renewal, and since when that was seen."""
        self._told: dict[str, str] = {}
        """By namespace, why its jobs are left alone."""
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def leave_alone(self, jobs: Sequence[JobSnapshot]) -> list[JobSnapshot]:
        """Return the jobs, those that are another release's as such that can't be read now."""
        missing = await self.hold({job.namespace for job in jobs if not is_done_with(job)})
        if not missing:
            return list(jobs)
        whys = [job.unreadable or missing.get(job.namespace, "") for job in jobs]
        return [replace(job, unreadable=why) for job, why in zip(jobs, whys, strict=True)]

    async def hold(self, namespaces: Collection[str]) -> dict[str, str]:
        """Hold the claims to these namespaces; return why not, by those that can't be had."""
        ordered = sorted(namespaces)
        reasons = await asyncio.gather(*(self._hold(namespace) for namespace in ordered))
        missing = {namespace: why for namespace, why in zip(ordered, reasons, strict=True) if why}
        for namespace, why in missing.items():
            if self._told.get(namespace) != why:
                log.warning("the jobs of the namespace %s are left alone: %s", namespace, why)
        for namespace in self._told.keys() - missing.keys():
            log.info("the jobs of the namespace %s are left alone no more", namespace)
        self._told = missing
        return missing

    async def _hold(self, namespace: str) -> str:
        """Return why the claim can't be had; empty if it is held."""
        held = self._held.get(namespace)
        if held and self._clock_s() < held.written_s + RENEW_S:
            return ""
        async with self._turns:
            try:
                async with asyncio.timeout(PATIENCE_S if held else None):
                    return await self._take(namespace, held)
            except Refused as error:
                if namespace not in self._held:
                    log.warning("no claim keeps other releases from the namespace %s: %s", namespace, error)
                self._held[namespace] = HeldClaim(version="", written_s=self._clock_s())
                return ""
            except (Conflict, Missing):  # it was changed or deleted meanwhile, and is read in the next pass
                self._held.pop(namespace, None)
                return "its claim has just changed"
            except (DueByError, TimeoutError) as error:
                is_held = held and self._clock_s() < held.written_s + DURATION_S - RENEW_S
                return "" if is_held else f"its claim can't be renewed: {str(error) or 'no answer'}"

    async def _take(self, namespace: str, held: HeldClaim | None) -> str:
        if held and held.version:
            try:
                await self._write(namespace, held.version)
                return ""
            except (Conflict, Missing):  # a renewal without an answer was carried out, or somebody else wrote
                pass
        try:
            claim = await self._kube.read(paths.lease_path(namespace, NAME), TenantLease)
        except Missing:
            claim = None
        holder = claim.spec.holder_identity if claim else None
        others = holder if holder != self._release else None
        if claim and others and not self._is_over(namespace, (others, claim.spec.renew_time)):
            return f"the release {others} works on them; have only one of the two watch this namespace"
        await self._write(namespace, claim.metadata.resource_version if claim else "")
        return ""

    def _is_over(self, namespace: str, renewal: tuple[str, str | None]) -> bool:
        """Return whether another's claim has not been renewed for so long that it is over."""
        seen, since_s = self._others.get(namespace, (("", None), 0.0))
        if seen != renewal:
            self._others[namespace] = renewal, self._clock_s()
            return False
        return self._clock_s() - since_s > DURATION_S

    async def _write(self, namespace: str, version: str) -> None:
        """Make the Lease, or replace this version of it."""
        sent_s, now = self._clock_s(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self._release, "renewTime": now, "leaseDurationSeconds": math.ceil(DURATION_S)}
        metadata: dict[str, object] = {"name": NAME, "namespace": namespace, "labels": dict(names.MANAGED)}
        document = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        if version:
            metadata["resourceVersion"] = version
            version = await self._kube.replace(paths.lease_path(namespace, NAME), document)
        else:
            answer = await self._kube.create(paths.lease_path(namespace, ""), document)
            version = read_as(HasIdentity, answer).metadata.resource_version
        self._held[namespace] = HeldClaim(version=version, written_s=sent_s)

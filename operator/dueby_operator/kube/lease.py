"""A Lease that one operator holds at a time, so that two of them never act on the same jobs.

The chart makes the Lease. An operator holds it by writing its name and renewing the time. Another operator that wants
it waits until the time has stood still for as long as the Lease says. It measures that by its own clock: clocks of two
machines are never compared.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from dueby_api.errors import DueByError
from dueby_operator.kube.client import Conflict, Document, Kube

# The duration is that of Kubernetes' own controllers. Two renewals may fail before another may take the Lease.
DURATION_S, RENEW_S = 15, 5.0
log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Somebody else may hold the Lease now: stop at once."""


@dataclass(kw_only=True)
class Lease:
    """One operator's claim to the Lease at this path."""

    kube: Kube
    path: str
    holder: str
    """Name of this process, unlike any other's."""
    clock_s: Callable[[], float] = time.monotonic

    async def take(self) -> None:
        """Wait until the Lease is free, and hold it."""
        seen, since_s, logged = None, self.clock_s(), ""
        while True:
            try:
                lease = await self.kube.get(self.path)
                spec = lease.get("spec") or {}
                if (spec.get("holderIdentity"), spec.get("renewTime")) != seen:
                    seen, since_s = (spec.get("holderIdentity"), spec.get("renewTime")), self.clock_s()
                duration_s = float(spec.get("leaseDurationSeconds") or DURATION_S)
                if not spec.get("holderIdentity") or self.clock_s() - since_s > duration_s:
                    await self._write(lease, self.holder)
                    log.info("holding the Lease %s as %s", self.path, self.holder)
                    return
                if logged != spec["holderIdentity"]:
                    logged = spec["holderIdentity"]
                    log.info("the Lease is held by %s; waiting", logged)
            except DueByError as error:
                log.warning("taking the Lease: %s", error)
            await asyncio.sleep(RENEW_S / 5)

    async def keep(self, pause_s: float = RENEW_S) -> None:
        """Renew the Lease again and again. Raise LeaseLost once another holds it, or if it can't be renewed in time."""
        renewed_s = self.clock_s()
        while True:
            await asyncio.sleep(pause_s)
            try:
                lease = await self.kube.get(self.path)
                if (lease.get("spec") or {}).get("holderIdentity") != self.holder:
                    raise LeaseLost(f"the Lease is held by {lease['spec'].get('holderIdentity') or 'nobody'}")
                await self._write(lease, self.holder)
                renewed_s = self.clock_s()
            except Conflict:
                continue
            except DueByError as error:
                log.warning("renewing the Lease: %s", error)
            if self.clock_s() - renewed_s > DURATION_S - RENEW_S:
                raise LeaseLost(f"the Lease could not be renewed for {self.clock_s() - renewed_s:.0f} s")

    async def give_back(self) -> None:
        """Let the next one have it at once."""
        try:
            lease = await self.kube.get(self.path)
            if (lease.get("spec") or {}).get("holderIdentity") == self.holder:
                await self._write(lease, "")
        except DueByError as error:
            log.warning("giving the Lease back: %s", error)

    async def _write(self, lease: Document, holder: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = lease.get("spec") or {}
        spec = {**before, "holderIdentity": holder, "renewTime": now, "leaseDurationSeconds": DURATION_S}
        if before.get("holderIdentity") != holder:
            spec |= {"acquireTime": now, "leaseTransitions": int(before.get("leaseTransitions") or 0) + 1}
        await self.kube.replace(self.path, {**lease, "spec": spec})

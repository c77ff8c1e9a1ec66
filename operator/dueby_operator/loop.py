"""The loop that never ends: tables of nodes and pods, the Lease, and one pass after the other while it is held.

The tables are kept with or without the Lease, so that a term begins with what is known already. A term ends at once
when the Lease is lost: its task is cancelled, its connections are closed, and its client refuses to write. Then the
same process takes the Lease again: at once if nobody else has it, which is so after most outages of the API server.

Whatever fails, the loop goes on. What is expected (the API server is away) is told in two lines, what is not (a bug) is
counted, and its traceback logged once.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from dueby_api.errors import DueByError
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.gathering.gather import Gatherer
from dueby_operator.gathering.progress import JobObserver
from dueby_operator.gathering.worker_poll import WorkerClient
from dueby_operator.kube.client import Kube
from dueby_operator.kube.connection import Access
from dueby_operator.kube.lease import Claim, Lease, LeaseLost, Term
from dueby_operator.kube.served_apis import OlderDefinition, ServedAPIs
from dueby_operator.kube.server_clock import ServerClock
from dueby_operator.kube.tables import WatchedTables
from dueby_operator.kube.trouble import Backoff, Trouble
from dueby_operator.model.devices import Devices
from dueby_operator.model.job_snapshot import Fault
from dueby_operator.passes.decision_log import EVERYBODY, FaultLog
from dueby_operator.passes.pace import Pace, PassTime
from dueby_operator.passes.reconciler import Reconciler
from dueby_operator.settings import OperatorSettings
from dueby_operator.web.calendar_page import CalendarPage
from dueby_operator.web.metrics import count_fault, count_request, record_reconcile, show_definitions

# Events within this time are answered by one pass.
DEBOUNCE_S = 0.3
# After this long without a successful pass, while the API server answers, the probe fails and kubelet restarts it all.
STUCK_S = 120.0
# After a pass that the API server has failed. An outage that is shorter than this and a term costs one pass.
RETRY_S = 2.0
# After a bug. One that every pass meets shall not keep a core busy; one of a single moment shall not cost a minute.
FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 30.0
# Passes that fail for so long, while the API server answers others, are reported.
FAILING_S = 10.0
log = logging.getLogger(__name__)


class Stuck(Exception):
    """No pass succeeds, and it isn't the API server's fault: starting again may help."""


class Pass(Protocol):
    """What is done again and again, such as a Reconciler's pass."""

    snapshot: ClusterSnapshot
    left: Devices
    unused: Mapping[str, int]

    async def reconcile(self) -> float:
        """Do it once; return the seconds until the next time."""


class ControlLoop:
    """The loop, what wakes it, and how it is."""

    def __init__(
        self,
        settings: OperatorSettings,
        *,
        sign_in: Callable[[], Access],
        claim: Claim | None,
        page: CalendarPage | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without a claim nobody else may be acting. The page, if there is one, shows each pass."""
        self.settings = settings
        self.wake = asyncio.Event()
        self._sign_in = sign_in
        self._claim = claim
        self._page = page
        self._clock_s = clock_s
        self._clock = ServerClock()
        self._outage = Trouble("the API server does not answer", "the API server answers again", clock_s=clock_s)
        self._outage.at_end(self._go_on)
        self._tables: WatchedTables | None = None
        self._clients: set[Kube] = set()
        """Those of the tables and of the passes."""
        self._passes = Trouble(
            "reconciling fails", "reconciling works again", within=self._outage, short_s=FAILING_S, clock_s=clock_s
        )
        self._faults = FaultLog(count=count_fault)
        self._last_good_s = clock_s()
        self.pass_time = PassTime(clock_s=clock_s)
        self._has_failed = False
        """Whether a pass has failed since."""
        self._is_waiting = False
        """Whether another holds the Lease."""
        self._older = ""
        """Why nothing is decided, if the cluster's resource definitions are older than this operator."""

    async def run(self) -> None:
        """Keep the tables, hold the Lease and reconcile, until cancelled."""
        kube = self._kube()
        self._clients.add(kube)
        self._tables = tables = WatchedTables(kube, self.settings, wake=self.wake.set, outage=self._outage)
        try:
            async with asyncio.TaskGroup() as together:
                for work in (*(table.run for table in tables.all()), lambda: self._act(tables)):
                    together.create_task(self.keep_going(work))
        finally:
            await kube.close()

    def note_change(self, kind: str) -> None:
        """Note that an object of this kind, by its plural, has come, was edited or is gone: a pass should see it."""
        if self._tables:
            self._tables.watches.note_change(kind)
        self.wake.set()

    def health(self) -> str:
        """Return how the loop is. Raise Stuck if it should be started again, which helps against no outage.

        It is raised at once if the resource definitions are older: nobody should think that the operator is ready.
        """
        if self._is_waiting:
            return "waiting for the Lease"
        if self._outage.lasts:
            return "waiting for the API server"
        if self._older:
            raise Stuck(self._older)
        # A pass may be long. Many of which each fails are no progress.
        progress_s = self._last_good_s if self._has_failed else self.pass_time.last_progress_s
        silent_s = self._clock_s() - max(self._last_good_s, self._outage.ended_s, progress_s)
        if silent_s > STUCK_S:
            raise Stuck(f"No successful reconcile pass for {silent_s:.0f} s.")
        return f"{silent_s:.0f} s ago"

    async def keep_going(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work again whenever a bug has ended it."""
        backoff = Backoff(first_s=FIRST_PAUSE_S, last_s=LAST_PAUSE_S)
        while True:
            began_s = self._clock_s()
            try:
                await work()
            except Exception as error:  # whatever it is, it must not end the process's work
                self._faults.record(Fault(stage="reconciling", error=error), about=EVERYBODY)
            if self._clock_s() - began_s > LAST_PAUSE_S:
                backoff.reset()
            await asyncio.sleep(backoff.next_s())

    async def repeat(self, work: Pass, *, pace: Pace | None = None) -> None:
        """Reconcile again and again: when something has happened, and when it is due."""
        backoff, pace = Backoff(first_s=FIRST_PAUSE_S, last_s=LAST_PAUSE_S), pace or Pace(clock_s=self._clock_s)
        while True:
            self.wake.clear()
            pace.begin()
            began_s = self._clock_s()
            try:
                pause_s = await work.reconcile()
            except DueByError as error:
                self._has_failed = True
                self._older = str(error) if isinstance(error, OlderDefinition) else ""
                self._passes.failed(error)
                await self._rest(RETRY_S)
            except Exception as error:  # a bug that is no single job's
                self._has_failed = True
                self._faults.record(Fault(stage="reconciling", error=error), about=EVERYBODY)
                await asyncio.sleep(backoff.next_s())
            else:
                self._last_good_s, self._has_failed, self._older = self._clock_s(), False, ""
                record_reconcile(work.snapshot, seconds=self._last_good_s - began_s, unused=work.unused)
                if self._page:
                    self._page.show(work.snapshot, work.left)
                self._passes.worked()
                backoff.reset()
                await self._rest(pace.rest_s(pause_s), least_s=pace.least_s)

    async def _act(self, tables: WatchedTables) -> None:
        """Reconcile while the Lease is held; take it again whenever it is lost."""
        if self._claim is None:
            await self._reconcile(tables, seconds_to_write=None)
            return
        answer_s = self._claim.times.answer_s
        lease = Lease(kube=self._kube(answer_s=answer_s), claim=self._claim, outage=self._outage)
        try:
            while True:
                await self._serve(lease, tables, await self._taken(lease))
        finally:
            await lease.give_back()
            await lease.kube.close()

    async def _serve(self, lease: Lease, tables: WatchedTables, term: Term) -> None:
        """Reconcile until the Lease is lost."""
        try:
            async with asyncio.TaskGroup() as together:
                together.create_task(lease.keep(term))
                together.create_task(self._reconcile(tables, seconds_to_write=term.seconds_to_write))
        except* LeaseLost as lost:
            log.warning("stopped: %s; taking it again", lost.exceptions[0])
        finally:
            term.is_over = True

    async def _taken(self, lease: Lease) -> Term:
        """Wait for the Lease; waiting is not being stuck."""
        self._is_waiting = True
        try:
            return await lease.take()
        finally:
            self._is_waiting = False
            self._last_good_s = self._clock_s()

    async def _reconcile(self, tables: WatchedTables, *, seconds_to_write: Callable[[], float] | None) -> None:
        """Reconcile with a client and a memory of its own: another operator may have acted meanwhile."""
        note = tables.watches.note_request
        kube, workers = self._kube(seconds_to_write=seconds_to_write, note=note), WorkerClient()
        self._clients.add(kube)
        try:
            observer = JobObserver(kube, ask=workers.ask)
            gatherer = Gatherer(
                kube,
                self.settings,
                observer=observer,
                nodes=tables.nodes,
                scope=tables.scope,
                watches=tables.watches,
                lease=self._claim.path if self._claim else "",
            )
            served = ServedAPIs(kube, show=show_definitions)
            reconciler = Reconciler(
                kube,
                gatherer,
                now_us=self._clock.now_us,
                faults=self._faults,
                served=served,
                pass_time=self.pass_time,
            )
            await self.repeat(reconciler)
        finally:
            self._clients.discard(kube)
            await workers.close()
            await kube.close()

    def _go_on(self) -> None:
        """Begin again after an outage: what was asked before it may never be answered, and a pass is due."""
        for client in self._clients:
            client.renew()
        self.wake.set()

    async def _rest(self, pause_s: float, *, least_s: float = 0.0) -> None:
        """Wait so long, or until something has happened and the least time is over."""
        began_s = self._clock_s()
        try:
            await asyncio.wait_for(self.wake.wait(), pause_s)
            await asyncio.sleep(max(DEBOUNCE_S, began_s + least_s - self._clock_s()))
        except TimeoutError:
            pass

    def _kube(self, *, note: Callable[[str, str], None] = lambda method, path: None, **options: Any) -> Kube:
        def count(method: str, path: str, code: int | None) -> None:
            count_request(method, path, code)
            note(method, path)

        return Kube(self._sign_in, count=count, outage=self._outage, hear=self._clock.hear, **options)

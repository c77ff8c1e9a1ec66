"""Kopf's part: signing in, start and stop, probes, and watches that wake the one loop, which reads everything again.

Events say when, lists say what: nothing is lost with an event that is missed, and a storm of them is one pass. So a
watch of Kopf's may break for any reason without harm. What Kopf takes for the end (an error that the API server sends
down a watch, or a token that it doesn't know for a moment while it starts) is the beginning of the next attempt here.
"""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import kopf

from dueby_operator.calendar_page import CalendarPage
from dueby_operator.jobs import names
from dueby_operator.kube.backoff import Backoff
from dueby_operator.kube.client import ANSWER_S, CONNECT_S
from dueby_operator.kube.pages import PAGE
from dueby_operator.kube.trouble import Trouble
from dueby_operator.loop import Claim, ControlLoop, Stuck
from dueby_operator.settings import OperatorSettings

# Between two attempts to watch after Kopf has ended.
FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 8.0
# A request of Kopf's that fails is tried again after these seconds, and so on without an end: Kopf would end after nine
# attempts, and be half a minute late after an outage.
RETRIES_S, NEXT_RETRIES_S = (0.5, 1.0, 2.0), 4.0
# The Lease is given back within this time, or it runs out by itself.
STOP_S = 10.0
log = logging.getLogger(__name__)


class Retries:
    """The pauses between attempts at a request, which never end."""

    def __iter__(self) -> Iterator[float]:
        """Return them in their order."""
        return chain(RETRIES_S, repeat(NEXT_RETRIES_S))


def sign_in() -> kopf.ConnectionInfo:
    """Return the credentials of the pod's service account, or those of a kubeconfig."""
    settings = kopf.OperatorSettings()
    found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    if found is None:
        raise SystemExit("No cluster: this is no pod, and neither KUBECONFIG nor ~/.kube/config leads to one.")
    return found


def operate(
    settings: OperatorSettings, *, liveness: str | None, claim: Claim | None, page: CalendarPage | None = None
) -> None:
    """Run the operator until it is told to stop, answering probes at the address `liveness`."""
    backoff = Backoff(first_s=FIRST_PAUSE_S, last_s=LAST_PAUSE_S)
    told = ""
    while True:
        registry = register(ControlLoop(settings, sign_in=sign_in, claim=claim, page=page))
        began_s = time.monotonic()
        try:
            asyncio.run(kopf.operator(registry=registry, clusterwide=True, standalone=True, liveness_endpoint=liveness))
            return
        except Exception as error:  # whatever ends Kopf must not end the operator
            if repr(error) != told:
                told = repr(error)
                log.warning("Kopf has ended and is started again: %s", told)
        if time.monotonic() - began_s > 2 * LAST_PAUSE_S:
            backoff.reset()
        # Asyncio has given the signal back, and the first process of a container ignores it then.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        time.sleep(backoff.next_s())


def register(loop: ControlLoop) -> kopf.OperatorRegistry:
    """Return the handlers of an operator with this loop."""
    registry = kopf.OperatorRegistry()
    tasks: list[asyncio.Task[None]] = []
    trouble = Trouble("the probe fails", "the probe succeeds again", short_s=0)

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        return sign_in()

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        asyncio.get_running_loop().set_exception_handler(leave_out_kopfs)
        tasks.append(asyncio.create_task(loop.run()))

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        for task in tasks:
            task.cancel()
            await asyncio.wait([task], timeout=STOP_S)

    @kopf.on.probe(id="loop", registry=registry)
    def probe(**_: Any) -> str:
        try:
            health = loop.health()
        except Stuck as error:
            trouble.failed(error)
            raise kopf.PermanentError(str(error)) from None
        trouble.worked()
        return health

    watch(loop, registry)
    return registry


def configure(settings: kopf.OperatorSettings) -> None:
    """Set what isn't Kopf's default."""
    settings.posting.enabled = False  # these are kopf's own Events; the loop posts ours
    settings.scanning.disabled = True
    settings.networking.error_backoffs = Retries()
    settings.networking.connect_timeout = CONNECT_S
    settings.networking.request_timeout = ANSWER_S
    settings.watching.chunk_size = PAGE  # without it all are one answer; Kopf before 1.45 does not look at it


def leave_out_kopfs(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log errors of tasks that nobody has waited for, but not of Kopf's: who starts Kopf again tells why it ended."""
    if not type(context.get("exception")).__module__.startswith("kopf"):
        loop.default_exception_handler(context)


def watch(loop: ControlLoop, registry: kopf.OperatorRegistry) -> None:
    """Register the watch of Kopf's that wakes the loop. What tenants make is watched elsewhere (tables.py)."""

    def wake(**_: Any) -> None:
        loop.wake.set()

    kopf.on.event(names.GROUP, names.VERSION, "gpuprofiles", registry=registry)(wake)

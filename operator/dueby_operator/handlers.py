"""Kopf's part: probes, and the watches of InferenceJobs and GPUProfiles that wake the one loop, which reads everything.

Events say when, lists say what: nothing is lost with an event that is missed, and a storm of them is one pass. Kopf has
a thread and an event loop of its own, since it cancels all tasks of its event loop when it ends. What Kopf takes for
the end (an error that the API server sends down a watch, or a token that it doesn't know for a moment) is the beginning
of the next attempt here: meanwhile nobody wakes the control loop, and it goes on by itself.
"""

import asyncio
import gc
import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, repeat
from typing import Any, NoReturn

import kopf

from dueby_operator.jobs import names
from dueby_operator.kube.client import ANSWER_S, CONNECT_S
from dueby_operator.kube.lease import Claim
from dueby_operator.kube.trouble import Backoff, Trouble
from dueby_operator.loop import ControlLoop, Stuck
from dueby_operator.settings import OperatorSettings
from dueby_operator.web.calendar_page import CalendarPage

# Between two attempts to watch after Kopf has ended.
FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 8.0
# A request of Kopf's that fails is tried again after these seconds, and so on without an end: Kopf would end after nine
# attempts, and be half a minute late after an outage.
RETRIES_S, NEXT_RETRIES_S = (0.5, 1.0, 2.0), 4.0
# The Lease is given back within this time, or it runs out by itself.
STOP_S = 10.0
# Kopf reads all of an object: 10 MiB for a tenant's largest, 1.4 MB of labels. Of a list it has so many at once,
FEW = 5
# and what an event brought for so long. Its own 5 s would be all the jobs that a tenant touches in that time.
KEPT_S = 0.1
# What it has done with is a circle, which waits for Python to look for garbage. It does so after so many letters.
LITTER = 8_000_000
log = logging.getLogger(__name__)


class Retries:
    """The pauses between attempts at a request, which never end."""

    def __iter__(self) -> Iterator[float]:
        """Return them in their order."""
        return chain(RETRIES_S, repeat(NEXT_RETRIES_S))


def sign_in() -> kopf.ConnectionInfo:
    """Return the credentials of the pod's service account, or those of a kubeconfig."""
    settings = kopf.OperatorSettings()
    credentials = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    if credentials is None:
        raise SystemExit("No cluster: this is no pod, and neither KUBECONFIG nor ~/.kube/config leads to one.")
    return credentials


async def operate(
    settings: OperatorSettings, *, liveness: str | None, claim: Claim | None, page: CalendarPage | None
) -> None:
    """Run the operator until it is told to stop, answering probes at the address `liveness`."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    control = ControlLoop(settings, sign_in=sign_in, claim=claim, page=page)
    work = asyncio.create_task(control.run())
    work.add_done_callback(lambda _: told.set())
    registry = register(control, wake=lambda kind: loop.call_soon_threadsafe(control.note_change, kind))
    threading.Thread(target=keep_watching, args=(registry, settings, liveness), name="kopf", daemon=True).start()
    await told.wait()
    work.cancel()
    await asyncio.wait([work], timeout=STOP_S)
    if work.done() and not work.cancelled():
        work.result()


def keep_watching(registry: kopf.OperatorRegistry, settings: OperatorSettings, liveness: str | None) -> NoReturn:
    """Run Kopf, and again whenever something ends it, for as long as the process lives."""
    backoff = Backoff(first_s=FIRST_PAUSE_S, last_s=LAST_PAUSE_S)
    told = ""
    while True:
        began_s = time.monotonic()
        try:
            asyncio.run(
                kopf.operator(
                    registry=registry,
                    clusterwide=not settings.watch_namespaces,
                    namespaces=settings.watch_namespaces,
                    standalone=True,
                    liveness_endpoint=liveness,
                )
            )
        except Exception as error:  # whatever ends Kopf must not end its watches
            if repr(error) != told:
                told = repr(error)
                log.warning("Kopf has ended and is started again: %s", told)
        if time.monotonic() - began_s > 2 * LAST_PAUSE_S:
            backoff.reset()
        time.sleep(backoff.next_s())


def register(loop: ControlLoop, *, wake: Callable[[str], object]) -> kopf.OperatorRegistry:
    """Return Kopf's handlers: `wake` is called, in Kopf's thread, with the plural of what has changed."""
    registry = kopf.OperatorRegistry()
    trouble = Trouble("the probe fails", "the probe succeeds again", short_s=0)

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        return sign_in()

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        asyncio.get_running_loop().set_exception_handler(leave_out_kopfs)

    @kopf.on.probe(id="loop", registry=registry)
    def probe(**_: Any) -> str:
        try:
            health = loop.health()
        except Stuck as error:
            trouble.failed(error)
            raise kopf.PermanentError(str(error)) from None
        trouble.worked()
        return health

    seen: dict[str, tuple[Any, Any]] = {}
    litter = 0

    @kopf.on.event(names.GROUP, names.VERSION, "inferencejobs", registry=registry)
    def job_changed(event: Mapping[str, Any], uid: str, meta: Mapping[str, Any], **_: Any) -> None:
        nonlocal litter
        litter += len(json.dumps(event["object"]))
        if litter > LITTER:
            gc.collect()
            litter = 0
        edited = meta.get("generation"), meta.get("deletionTimestamp")
        if event["type"] == "DELETED":
            seen.pop(uid, None)
        elif seen.get(uid) == edited:  # its status alone, which the operator writes itself
            return
        else:
            seen[uid] = edited
        wake("inferencejobs")

    @kopf.on.event(names.GROUP, names.VERSION, "gpuprofiles", registry=registry)
    def profile_changed(**_: Any) -> None:
        wake("gpuprofiles")

    return registry


def configure(settings: kopf.OperatorSettings) -> None:
    """Set what isn't Kopf's default."""
    settings.posting.enabled = False  # these are kopf's own Events; the loop posts ours
    settings.scanning.disabled = True
    settings.networking.error_backoffs = Retries()
    settings.networking.connect_timeout = CONNECT_S
    settings.networking.request_timeout = ANSWER_S
    settings.watching.chunk_size = FEW  # Kopf before 1.45 does not look at it
    settings.queueing.idle_timeout = KEPT_S


def leave_out_kopfs(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log errors of tasks that nobody has waited for, but not of Kopf's: who starts Kopf again tells why it ended."""
    if not type(context.get("exception")).__module__.startswith("kopf"):
        loop.default_exception_handler(context)

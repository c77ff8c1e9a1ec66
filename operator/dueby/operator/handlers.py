"""Kopf's part: it watches, and every event does no more than wake the one loop, which looks at everything anew.

Events say when, lists say what: nothing is lost with an event that is missed, and a storm of them is one look.
"""

import asyncio
import logging
import time
from typing import Any

import kopf

from dueby.operator import names
from dueby.operator.controller import Controller
from dueby.operator.kube import Kube
from dueby.operator.manifests import Setting
from dueby.operator.metrics import record_look
from dueby.operator.scrape import Scraper
from dueby.planner.errors import DueByError

# Events within so many seconds are answered by one look.
DEBOUNCE_S = 0.3
# After so many seconds without a look that went well, the operator's probe fails and it is started anew.
STUCK_S = 120.0
log = logging.getLogger(__name__)


class Watch:
    """The loop's task, and what wakes it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.last_good_s = time.monotonic()

    async def run(self) -> None:
        """Look, wait for an event or for a while, look again."""
        kube, scraper = await Kube.connect(), Scraper()
        controller = Controller(kube, self.setting, ask=scraper.ask, now_us=lambda: time.time_ns() // 1000)
        try:
            while True:
                self.wake.clear()
                pause_s = 5.0
                began_s = time.monotonic()
                try:
                    pause_s = await controller.tick()
                    self.last_good_s = time.monotonic()
                    record_look(controller.world, seconds=self.last_good_s - began_s)
                except DueByError as error:
                    log.warning("looking again in %.0f s: %s", pause_s, error)
                try:
                    await asyncio.wait_for(self.wake.wait(), pause_s)
                    await asyncio.sleep(DEBOUNCE_S)
                except TimeoutError:
                    pass
        finally:
            await scraper.close()
            await kube.close()


def operate(setting: Setting, *, liveness: str | None) -> None:
    """Run the operator until it is told to stop, answering probes at the address `liveness`."""
    asyncio.run(
        kopf.operator(registry=register(setting), clusterwide=True, standalone=True, liveness_endpoint=liveness)
    )


def register(setting: Setting) -> kopf.OperatorRegistry:
    """The handlers of an operator with this setting."""
    registry = kopf.OperatorRegistry()
    watch = Watch(setting)

    @kopf.on.login(registry=registry)
    def sign_in(**about: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**about) or kopf.login_with_kubeconfig(**about)

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False  # kopf's own events; ours are posted by the loop
        settings.scanning.disabled = True
        watch.task = asyncio.create_task(watch.run())

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        if watch.task:
            watch.task.cancel()

    @kopf.on.probe(id="loop", registry=registry)
    def is_alive(**_: Any) -> str:
        if watch.task is None or watch.task.done():
            raise kopf.PermanentError("the loop has ended")
        silent_s = time.monotonic() - watch.last_good_s
        if silent_s > STUCK_S:
            raise kopf.PermanentError(f"no look went well for {silent_s:.0f} s")
        return f"{silent_s:.0f} s ago"

    def wake(**_: Any) -> None:
        watch.wake.set()

    kopf.on.event(names.GROUP, names.VERSION, "inferencejobs", registry=registry)(wake)
    kopf.on.event(names.GROUP, names.VERSION, "gpuprofiles", registry=registry)(wake)
    kopf.on.event("batch", "v1", "jobs", labels={names.JOB: kopf.PRESENT}, registry=registry)(wake)
    kopf.on.event("", "v1", "pods", labels={names.JOB: kopf.PRESENT}, registry=registry)(wake)
    return registry

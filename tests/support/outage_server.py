"""An API server that goes away and comes back, with one Lease and no jobs; it knows who has asked for what."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from dueby_operator import paths
from dueby_operator.jobs import names
from dueby_operator.kube.served_apis import INDEX_PATH
from support.api import Open
from support.lease import LeaseStore

LEASE_PATH = "/apis/coordination.k8s.io/v1/namespaces/dueby/leases/dueby-operator"
JOBS_PATH = paths.jobs_path()

NOTHING = {"metadata": {"resourceVersion": "1"}, "items": []}


def resources(**kinds: str) -> dict[str, Any]:
    """What a version of an API group serves: kinds by their plurals."""
    verbs = ["list", "patch", "watch"]
    served = {"namespaced": False, "verbs": verbs, "singularName": ""}
    return {"resources": [{"name": plural, "kind": kind, **served} for plural, kind in kinds.items()]}


VERSION = {"version": names.VERSION}
# What Kopf asks for, before it watches.
DISCOVERY: dict[str, dict[str, Any]] = {
    "/api": {"versions": ["v1"]},
    "/api/v1": resources(namespaces="Namespace"),
    "/apis": {"groups": [{"name": names.GROUP, "versions": [VERSION], "preferredVersion": VERSION}]},
    f"/apis/{names.GROUP}/{names.VERSION}": resources(inferencejobs="InferenceJob", gpuprofiles="GPUProfile"),
}


class OutageServer:
    """Empty lists, watches on which nothing happens, and the Lease."""

    def __init__(self) -> None:
        self.lease = LeaseStore()
        self.requests: list[tuple[str, str]] = []
        self.status = 200
        """Of every answer; with another nothing is shown or done."""
        self.address = ""
        self.is_silent = False
        """Whether nothing is answered; what is asked then, and the watches of before, are never answered."""
        self.watched: list[str] = []
        """Paths of watches that were opened."""
        self.jobs: list[bytes] = []
        """InferenceJobs, as JSON; those that watch them are shown each a second time, as changed."""
        self.shown = 0
        """How many were shown so and taken."""
        self._watches: set[asyncio.Task[Any]] = set()

    @property
    def passes(self) -> int:
        """How many times it was asked what it serves, which the first pass of a term does, and one in each minute."""
        return sum(path == INDEX_PATH for _, path in self.requests)

    def go_away(self) -> None:
        """Answer nobody, and break what is open."""
        self.status = 503
        for task in list(self._watches):
            task.cancel()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        if self.is_silent:
            await asyncio.sleep(3600)
        if self.status != 200:
            return web.json_response({"message": "away"}, status=self.status)
        if request.path == LEASE_PATH:
            return await self.lease.answer(request)
        if "watch" in request.query:
            return await self._watch(request)
        if request.path == JOBS_PATH and self.jobs:
            return self._page_of_jobs(request)
        return web.json_response(DISCOVERY.get(request.path, NOTHING))

    def _page_of_jobs(self, request: web.Request) -> web.Response:
        first, limit = int(request.query.get("continue", 0)), int(request.query.get("limit", len(self.jobs)))
        more = str(first + limit) if first + limit < len(self.jobs) else ""
        head = json.dumps({"resourceVersion": "1", "continue": more}).encode()
        items = b",".join(self.jobs[first : first + limit])
        return web.Response(body=b'{"metadata":%s,"items":[%s]}' % (head, items), content_type="application/json")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        self.watched.append(request.path)
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        try:
            for job in self.jobs if request.path == JOBS_PATH else ():
                await response.write(b'{"type":"MODIFIED","object":%s}\n' % job)
                self.shown += 1
            await asyncio.sleep(3600)
        finally:
            self._watches.discard(task)
        return response

    def sign_in(self) -> Open:
        return Open(self.address)


@asynccontextmanager
async def outage_server() -> AsyncIterator[OutageServer]:
    """Serve it on a port of this machine."""
    server = OutageServer()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    server.address = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()

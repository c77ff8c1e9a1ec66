"""What wakes the loop: jobs that come, are edited or go, and none of them keeps the others from being seen."""

import asyncio
import json
from typing import Any

from aiohttp import web

from dueby_operator import paths
from dueby_operator.jobs import names
from dueby_operator.kube.tables import WatchedTables
from dueby_operator.kube.trouble import Trouble
from dueby_operator.settings import OperatorSettings
from support.api import served

DEEP = '{"a":' * 2000 + "1" + "}" * 2000


def job(name: str, **metadata: Any) -> dict[str, Any]:
    found = {"name": name, "uid": name, "resourceVersion": "7", "generation": 1, **metadata}
    return {"metadata": found, "spec": {"worker": {"volumes": "@"}}, "status": {"phase": "Running"}}


def event(kind: str, found: dict[str, Any]) -> str:
    return json.dumps({"type": kind, "object": found})


def wakes(*events: str, path: str = paths.jobs_path(), label: str | None = None) -> int:
    """How often these events of a path wake the loop, after a list that has a job of its own.

    The loop must ask for the objects with this label.
    """
    woken: list[None] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        is_ours = request.path == path and request.query.get("labelSelector") == label
        if "watch" not in request.query:
            found = {"metadata": {"resourceVersion": "1"}, "items": [job("old")] if is_ours else []}
            return web.json_response(text=json.dumps(found).replace('"@"', DEEP))
        response = web.StreamResponse()
        await response.prepare(request)
        for text in (*events, event("ADDED", job("last", generation=99, resourceVersion="99"))) if is_ours else ():
            await response.write(text.replace('"@"', DEEP).encode() + b"\n")
        await asyncio.sleep(3600)
        return response

    async def run() -> None:
        settings, outage = OperatorSettings(image="dueby/worker:1"), Trouble("it is away", "it is back")
        async with served(answer) as kube:
            tables = WatchedTables(kube, settings, wake=lambda: woken.append(None), outage=outage).all()
            tasks = [asyncio.create_task(table.run()) for table in tables]
            try:
                async with asyncio.timeout(20):
                    while not {("99", 99, None), "99"} & {row for table in tables for row in await table.rows()}:
                        await asyncio.sleep(0.01)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    asyncio.run(run())
    return len(woken) - 2  # for the list, and for the last job


def test_each_change_of_a_labelled_job_of_kubernetes_does_and_no_other_is_asked_for() -> None:
    batch = paths.batch_path()
    assert wakes(event("ADDED", job("new")), path=batch, label=names.JOB) == 1
    assert wakes(event("MODIFIED", job("old", resourceVersion="8")), path=batch, label=names.JOB) == 1
    assert wakes(event("DELETED", job("old")), path=batch, label=names.JOB) == 1

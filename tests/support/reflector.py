"""A table that is kept by a watch, and what an API server says of its kind."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from dueby_api.schema import Raw
from dueby_operator.kube.reflector import Reflector
from support.api import served


def item(name: str, value: int = 0, version: str = "1") -> dict[str, Any]:
    return {"metadata": {"uid": name, "name": name, "resourceVersion": version}, "value": value}


def listed(*items: dict[str, Any], version: str) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": version}, "items": list(items)}


def event(kind: str, found: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": found}


def value_of(found: Raw) -> int | None:
    value: int = json.loads(bytes(found))["value"]
    return None if value < 0 else value


async def first_row(answer: Callable[[web.Request], Any], clock_s: Callable[[], float] = time.monotonic) -> list[int]:
    """The table once there is a row in it."""
    there = asyncio.Event()
    async with served(answer) as kube:
        reflector = Reflector(
            kube, "/things", reduce=value_of, changed=lambda *_: there.set(), clock_s=clock_s, wait_s=0.2
        )
        task = asyncio.create_task(reflector.run())
        try:
            await asyncio.wait_for(there.wait(), 60)
            return await reflector.rows()
        finally:
            task.cancel()

"""A Lease as the API server keeps it: with a version that a writer must know."""

import asyncio
from typing import Any

from aiohttp import web


class LeaseStore:
    """One Lease, and who has asked for it how often."""

    def __init__(self, **spec: Any) -> None:
        self.lease: dict[str, Any] = {"metadata": {"resourceVersion": "1"}, "spec": spec}
        self.requests = 0
        self.status = 200
        """Of every answer; with another the Lease is neither shown nor written."""
        self._asked = asyncio.Event()

    @property
    def holder(self) -> str:
        return str(self.lease["spec"].get("holderIdentity") or "")

    def put(self, **spec: Any) -> None:
        """Write it, whoever holds it."""
        version = str(int(self.lease["metadata"]["resourceVersion"]) + 1)
        self.lease = {"metadata": {"resourceVersion": version}, "spec": {**self.lease["spec"], **spec}}

    async def answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        self._asked.set()
        if self.status != 200:
            return web.json_response({"message": "no"}, status=self.status)
        if request.method == "PUT":
            document = await request.json()
            if document["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
                return web.json_response({"message": "changed"}, status=409)
            self.put(**document["spec"])
        return web.json_response(self.lease)

    async def wait_for_requests(self, count: int) -> None:
        """Wait until there were so many."""
        while self.requests < count:
            self._asked.clear()
            await self._asked.wait()

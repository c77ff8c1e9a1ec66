"""A table of all objects of a kind, kept by a watch: for the many that are not ours, pods and nodes.

Ten thousand pods are 42 MB of JSON, too much to list in each pass. They are listed once, in pages, and watched from
there; no more is kept of each than is needed. A watch that breaks is taken up again; where it can't be, or was silent
for too long, the table is made anew from a list, since only an absence from a list shows that an object is gone.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from dueby_api.errors import DueByError
from dueby_operator.kube.client import Expired, Kube, Refused

Row = TypeVar("Row")
# Before listing again after a failure. A list of all pods is costly for an API server that is in trouble already.
PAUSE_S = 2.0
log = logging.getLogger(__name__)


class Reflector(Generic[Row]):
    """The table of one kind."""

    def __init__(
        self,
        kube: Kube,
        path: str,
        *,
        reduce: Callable[[dict[str, Any]], Row | None],
        changed: Callable[[Row | None, Row | None], None],
    ) -> None:
        """`reduce` returns an object's row, None for one that doesn't matter; `changed` gets a row before and after."""
        self._kube = kube
        self._path = path
        self._reduce = reduce
        self._changed = changed
        self._answered = asyncio.Event()
        self._refusal: Refused | None = None
        """Why the kind may not be read, if that was the last answer."""
        self._rows: dict[str, Row] = {}

    async def rows(self) -> list[Row]:
        """Return the table as it is, once it has been listed. Raise Refused if it may not be."""
        await self._answered.wait()
        if self._refusal:
            raise Refused(self._refusal.status, self._refusal.message)
        return list(self._rows.values())

    async def run(self) -> None:
        """Keep the table until cancelled."""
        version = ""
        while True:
            try:
                if not version:
                    version = await self._list()
                    self._answer(None)
                async for event in self._kube.watch(self._path, version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    self._take(event)
            except Expired:
                version = ""
            except DueByError as error:
                if isinstance(error, Refused):
                    self._answer(error)
                log.warning("%s: listing again in %.0f s: %s", self._path, PAUSE_S, error)
                version = ""
                await asyncio.sleep(PAUSE_S)

    def _answer(self, refusal: Refused | None) -> None:
        self._refusal = refusal
        self._answered.set()

    async def _list(self) -> str:
        found: dict[str, Row] = {}
        version = ""
        async for page in self._kube.pages(self._path):
            version = page["metadata"]["resourceVersion"]
            for item in page.get("items") or ():
                if (row := self._row_of(item)) is not None:
                    found[item["metadata"]["uid"]] = row
        before, self._rows = self._rows, found
        for uid in before.keys() | found.keys():
            self._tell(before.get(uid), found.get(uid))
        return version

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "BOOKMARK":
            return
        item = event["object"]
        uid = item["metadata"]["uid"]
        row = None if event["type"] == "DELETED" else self._row_of(item)
        before = self._rows.pop(uid, None)
        if row is not None:
            self._rows[uid] = row
        self._tell(before, row)

    def _row_of(self, item: dict[str, Any]) -> Row | None:
        try:
            return self._reduce(item)
        except Exception as error:  # one object that can't be read must not hold up the table
            log.warning("%s: an object is left out: %r", self._path, error)
            return None

    def _tell(self, before: Row | None, after: Row | None) -> None:
        if before != after:
            self._changed(before, after)

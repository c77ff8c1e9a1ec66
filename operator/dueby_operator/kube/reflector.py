"""A table of all objects of a kind, kept by a watch: for the many that are not ours, pods and nodes.

Ten thousand pods are 42 MB of JSON, too much to list in each pass. They are listed once, in pages, and watched from
there; no more is kept of each than is needed. A watch that breaks is taken up where it broke, so that an API server
that has just come back isn't asked for everything at once. Where it can't be, the table is made again from a list:
only an absence from a list shows that an object is gone. While the watch is broken nobody gets the table: it is old.

A kind that an older API server doesn't serve has an empty table, if it may be absent.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from dueby_api.errors import DueByError, Transient
from dueby_api.schema import Raw
from dueby_operator.kube.client import Expired, Kube, Missing, Refused
from dueby_operator.kube.documents import Event
from dueby_operator.kube.trouble import Backoff, Trouble
from dueby_operator.objects.meta import HasIdentity, Identity
from dueby_operator.objects.parse import parse

Row = TypeVar("Row")
# Between two attempts to watch. The longest one is how late the loop may be after an outage.
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 4.0
# A watch that was broken for longer begins with a list: the API server may have been restored from a backup since.
RELIST_S = 60.0
# A watch that was open for so long works, whatever ends it then: a load balancer cuts connections that are quiet.
STEADY_S = 5.0
# Between two looks for a kind that isn't served. It may be after an upgrade, which takes longer.
ABSENT_S = 60.0
# Who asks for the table waits so long for a watch that is broken. Trouble that is over sooner is nobody's.
WAIT_S = 10.0
log = logging.getLogger(__name__)


class Reflector(Generic[Row]):
    """The table of one kind."""

    def __init__(
        self,
        kube: Kube,
        path: str,
        *,
        reduce: Callable[[Raw], Row | None],
        changed: Callable[[Row | None, Row | None], None],
        outage: Trouble | None = None,
        wait_s: float = WAIT_S,
        may_be_absent: bool = False,
        label: str = "",
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reduce` returns an object's row, None for one that doesn't matter; `changed` gets a row before and after.

        `outage` is the API server's own, of which others tell. A kind that `may_be_absent` is served by some servers.
        With a `label`, objects that have it are all there is.
        """
        self._kube = kube
        self._path = path
        self._query = {"labelSelector": label} if label else {}
        self._reduce = reduce
        self._changed = changed
        self._wait_s = wait_s
        self._may_be_absent = may_be_absent
        self._outage = outage or Trouble("the API server does not answer", "the API server answers again")
        self._trouble = Trouble(
            f"watching {path} fails", f"{path} are watched again", within=self._outage, short_s=wait_s
        )
        self._backoff = Backoff(first_s=FIRST_PAUSE_S, last_s=LAST_PAUSE_S)
        self._clock_s = clock_s
        self._is_known = asyncio.Event()
        """Whether the table is current, or may not be read."""
        self._is_absent = False
        """Whether the API server served no such kind when it was asked last."""
        self._refusal: Refused | None = None
        """Why it may not be read, if that was the last answer."""
        self._watched_s = float("-inf")
        """When the watch last showed that it works, or what it begins with was listed."""
        self._opened_s: float | None = None
        """When the watch that is tried now was begun; None before that."""
        self._rows: dict[str, Row] = {}
        self._news = 0

    @property
    def news(self) -> int | None:
        """A number that changes with the table; None while it isn't current, may not be read, or isn't served."""
        return None if self._refusal or self._is_absent or not self._is_known.is_set() else self._news

    def add_news(self) -> None:
        """Take note of a change that the watch will show."""
        self._news += 1

    async def rows(self) -> list[Row]:
        """Return the table as it is. Raise Transient if it can't be had for long, Refused if it may not be read."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._is_known.wait()
        except TimeoutError:
            raise Transient(f"{self._path}: the watch is broken, or the first list not complete") from None
        if self._refusal:
            raise Refused(self._refusal.status, self._refusal.message)
        return list(self._rows.values())

    def amend(self, rows: Mapping[str, Row | None]) -> None:
        """Keep these rows, by uid, instead of those that are kept of the same objects until they change; None: none."""
        for uid in rows.keys() & self._rows.keys():
            row = rows[uid]
            if row is None:
                del self._rows[uid]
            else:
                self._rows[uid] = row

    async def run(self) -> None:
        """Keep the table until cancelled."""
        try:
            await self._follow()
        finally:
            self._is_known.clear()

    async def _follow(self) -> None:
        version = ""
        while True:
            self._opened_s = None
            try:
                if not version:
                    version = await self._list()
                    self._watched_s = self._clock_s()
                    self._know(None)
                async for event in self._kube.watch(self._path, version, self._query, opened=self._watches):
                    version = self._take(event)
                    self._works(self._clock_s())
                self._works(self._clock_s())
            except Expired:
                version = ""
            except Refused as error:
                version = ""
                self._know(error)
                self._trouble.failed(error)
            except DueByError as error:
                if isinstance(error, Missing) and self._may_be_absent:
                    version = ""
                    await self._wait_to_be_served()
                    continue
                self._is_known.clear()
                self._trouble.failed(error)
                if self._opened_s is not None and self._clock_s() - self._opened_s >= STEADY_S:
                    self._works(max(self._watched_s, self._opened_s))  # what ended it may have been a long silence
                if self._clock_s() - self._watched_s > RELIST_S:
                    version = ""
            if await self._outage.rest(self._backoff.next_s()):
                self._backoff.reset()

    async def _wait_to_be_served(self) -> None:
        """Give out an empty table until it is time to ask again."""
        self._is_absent = True
        self._replace({})
        self._know(None)
        await asyncio.sleep(ABSENT_S)
        self._is_absent = False

    def _watches(self) -> None:
        """Take note of a watch that the API server has begun; what was missed follows at once."""
        self._opened_s = self._clock_s()
        self._know(None)
        self._trouble.worked()

    def _works(self, at_s: float) -> None:
        """Take note that the watch did at this time: it showed something, ended as it should, or began and stayed.

        One that has only begun may break where the one before it did.
        """
        self._watched_s = at_s
        self._backoff.reset()

    def _know(self, refusal: Refused | None) -> None:
        self._refusal = refusal
        self._is_known.set()

    async def _list(self) -> str:
        rows: dict[str, Row] = {}
        version = ""
        async for page in self._kube.pages(self._path, **self._query):
            version = page.meta.resource_version
            for item in page.items or ():
                if (row := self._row_of(item)) is not None:
                    rows[_meta(item).uid] = row
            del page  # before the next one comes
        self._replace(rows)
        return version

    def _replace(self, rows: dict[str, Row]) -> None:
        before, self._rows = self._rows, rows
        for uid in before.keys() | rows.keys():
            self._tell(before.get(uid), rows.get(uid))

    def _take(self, event: Event) -> str:
        """Keep what has happened; return the version to go on from."""
        meta = _meta(event.object)
        if event.type != "BOOKMARK":
            row = None if event.type == "DELETED" else self._row_of(event.object)
            before = self._rows.pop(meta.uid, None)
            if row is not None:
                self._rows[meta.uid] = row
            self._tell(before, row)
        return meta.resource_version

    def _row_of(self, item: Raw) -> Row | None:
        try:
            return self._reduce(item)
        except Exception as error:  # one object that can't be read must not hold up the table
            log.warning("%s: an object is left out: %r", self._path, error)
            return None

    def _tell(self, before: Row | None, after: Row | None) -> None:
        if before != after:
            self.add_news()
            self._changed(before, after)


def _meta(item: Raw) -> Identity:
    return parse(HasIdentity, item).metadata

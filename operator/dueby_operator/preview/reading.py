"""The operator's client for a user: it reads by the way in which the user reaches the cluster, and writes nothing.

What the user may not read counts as empty and is noted, so that the answer can say what it takes for granted. Without
nodes and profiles there is no answer.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NoReturn

from dueby_operator.kube.client import Kube, Refused, failure_of
from dueby_operator.kube.documents import Document, Event, Page
from dueby_operator.kube.pages import JSON, OBJECT_BYTES, TooLong

Fetch = Callable[[str, Mapping[str, str], str], tuple[int, bytes]]
"""Asks the API server for a path, with a query and an Accept header; returns the status and the body."""
BAD_REQUEST, FORBIDDEN = 400, 403
# What the answer takes for granted, by the kind that can't be read. Without others, nodes and profiles, there is none.
_COUNTS: Mapping[str, str] = {
    "deployments": (
        "the plan is made without the chart's prices, budgets, promises, stores, nodePools, capacity, maintenance and "
        "gpuClassLabels"
    ),
    "inferencejobs": "what is reserved for jobs there counts as free",
    "pods": "devices that pods have there count as free",
    "jobs": "jobs there count as if they had no workers",
    "configmaps": "devices of running jobs there count as held for an unknown time",
    "resourcequotas": "no quota counts",
    "resourceslices": "GPUs that nodes publish in ResourceSlices don't count",
    "resourceclaims": "GPUs that nodes publish in ResourceSlices count as free",
    "localqueues": "jobs that wait in a queue count as waiting",
    "clusterqueues": "jobs that wait in a queue count as waiting",
    "resourceflavors": "jobs that wait in a queue count as waiting",
}
# Of kinds whose name is another's, too.
_NAMES = {"jobs": "jobs.batch"}
_OF_NO_NAMESPACE = ("resourceslices", "clusterqueues", "resourceflavors", "deployments")
_PLACE = re.compile(r"^/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/([^/]+))?/([^/]+)")


class UsersKube(Kube):
    """Reads what one user may read; where that isn't all namespaces, then the one that jobs are previewed in."""

    def __init__(self, fetch: Fetch, *, namespace: str) -> None:
        super().__init__(_no_access)
        self._fetch = fetch
        self._namespace = namespace
        self._unread: dict[str, set[bool]] = {}
        """By kind, whether it is of that namespace, or of others, that it may not be read."""

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What could not be read, and what counts instead, in sentences."""
        return tuple(
            f"You may not read {_NAMES.get(kind, kind)}{self._where(kind)}: {counts}."
            for kind, counts in _COUNTS.items()
            if kind in self._unread
        )

    def _where(self, kind: str) -> str:
        if kind in _OF_NO_NAMESPACE or len(self._unread[kind]) > 1:
            return ""
        is_own = True in self._unread[kind]
        return f" of {'the namespace' if is_own else 'other namespaces than'} {self._namespace}"

    async def pages(self, path: str, **query: str) -> AsyncIterator[Page]:
        """Yield a list, page by page; of what may not be read the part that may, or nothing."""
        try:
            async for page in super().pages(path, **query):
                yield page
            return
        except Refused as error:
            kind, namespace = _place_of(path)
            if error.status != FORBIDDEN or kind not in _COUNTS:
                raise
        self._note(kind, namespace)
        if namespace or kind in _OF_NO_NAMESPACE:
            return
        async for page in self.pages(path.replace(f"/{kind}", f"/namespaces/{self._namespace}/{kind}"), **query):
            yield page

    def _note(self, kind: str, namespace: str) -> None:
        self._unread.setdefault(kind, set()).add(namespace == self._namespace)

    async def watch(
        self,
        path: str,
        version: str,
        query: Mapping[str, str] | None = None,
        *,
        opened: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[Event]:
        """Yield nothing, for ever: tables stay as they were listed."""
        opened()
        await asyncio.Event().wait()
        for event in tuple[Event, ...]():
            yield event

    async def _read(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Document | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        limit: int = OBJECT_BYTES,
    ) -> bytes:
        if method != "GET":
            raise ValueError(f"a preview writes nothing: {method} {path}")
        shown = {name: value for name, value in (query or {}).items() if value}
        status, text = await asyncio.to_thread(self._fetch, path, shown, accept)
        if status == FORBIDDEN and not _PLACE.fullmatch(path):  # an object; of lists, pages() knows what is left
            self._note(*_place_of(path))
        if status >= BAD_REQUEST:
            raise failure_of(status, text.decode(errors="replace"))
        if len(text) > limit:
            raise TooLong(f"the API server: its answer about {path} is longer than {limit >> 20} MiB")
        return text


def _place_of(path: str) -> tuple[str, str]:
    """Return the kind, by its plural, and the namespace of what is at the path; empty: of all, or of none."""
    match = _PLACE.match(path)
    return (match[2], match[1] or "") if match else ("", "")


def _no_access() -> NoReturn:
    raise ValueError("a preview makes no connection of its own")

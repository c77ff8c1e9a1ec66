"""The Kubernetes API as this operator uses it: plain documents over HTTP, a page at a time, and four kinds of failure.

No typed client: typed classes take 9 s and 730 MiB to build a list of 10,000 pods where pages of plain documents take
3 s and 120 MiB, refuse fields that a newer server sends, and would be a quarter of the operator's image.

What comes over a connection is read up to a size: whoever is asked may send more than there is memory for.

Lists are read page by page: a page's documents are gone before the next one comes, and what was read of them is kept.
What can't be read is left out and logged: a pod that isn't ours, a profile that somebody wrote by hand.
"""

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from dueby_api.errors import DueByError, Invalid, Transient
from dueby_api.schema import Kind, LenientSpec, Raw
from dueby_operator.kube.connection import Access, Connection
from dueby_operator.kube.documents import Document, Event, Page, read_as, read_document
from dueby_operator.kube.pages import JSON, OBJECT_BYTES, PagedLists, TooLong
from dueby_operator.kube.trouble import Trouble
from dueby_operator.objects.meta import HasIdentity
from dueby_operator.objects.parse import Parsed, parse

Found = TypeVar("Found")
CHUNK = 2**16
# An API server that is there connects within milliseconds; a list of a large cluster may take seconds.
CONNECT_S, ANSWER_S = 5.0, 30.0
# A watch shows a bookmark each minute; one that is silent for longer is a connection that died without a word.
WATCH_S, SILENCE_S = 290, 90.0
MERGE = "application/merge-patch+json"
Count = Callable[[str, str, int | None], None]
# Codes of an API server that can't answer anybody now. The others show that it is there.
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500
# As it says that such a webhook keeps it from taking an object.
WEBHOOK_AWAY = "failed calling webhook"
log = logging.getLogger(__name__)


async def read_body(content: aiohttp.StreamReader, limit: int) -> bytes | None:
    """Return the whole body; None if it is longer than the limit, in bytes."""
    body = bytearray()
    async for chunk in content.iter_chunked(CHUNK):
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


async def read_lines(content: aiohttp.StreamReader, limit: int) -> AsyncIterator[bytes | None]:
    """Yield each line without its end; None instead of one that is longer than the limit, in bytes."""
    line = bytearray()
    async for chunk in content.iter_chunked(CHUNK):
        first, *others = chunk.split(b"\n")
        # A byte beyond the limit tells that it is exceeded; no more is kept.
        line += first[: limit + 1 - len(line)]
        for other in others:
            yield bytes(line) if len(line) <= limit else None
            line = bytearray(other[: limit + 1])
    if line:
        yield bytes(line) if len(line) <= limit else None


class Missing(DueByError):
    """There is no such object (404)."""


class Conflict(DueByError):
    """Somebody else was first: the object is there already, or has changed since it was read (409)."""


class Expired(DueByError):
    """The version to watch from is too old (410): list again."""


@dataclass
class Refused(DueByError):
    """The API server doesn't want it, and wouldn't the next time (400, 403, 422)."""

    status: int
    message: str

    def __str__(self) -> str:
        return self.message


class WebhookAway(Transient):
    """A webhook that has a say in the object doesn't answer (500)."""


class _Status(LenientSpec, frozen=True, kw_only=True):
    """What the API server says instead of an event."""

    code: int = SERVER_ERROR


class Kube:
    """One connection to an API server, made at the first call."""

    def __init__(
        self,
        sign_in: Callable[[], Access],
        *,
        count: Count | None = None,
        seconds_to_write: Callable[[], float] | None = None,
        outage: Trouble | None = None,
        answer_s: float = ANSWER_S,
        hear: Callable[[str | None], None] = lambda date: None,
    ) -> None:
        """`count` is called with every request: method, path, and the answer's code, None where there was none.

        `seconds_to_write` is asked directly before each write how long it may take, and raises if there may be none.
        `outage` is told whether the API server answers. No request waits longer than `answer_s`.
        `hear` gets each answer's header `Date`.
        """
        self._hear = hear
        self._connection = Connection(sign_in, before_write=seconds_to_write)
        self._count = count
        self._seconds_to_write = seconds_to_write
        self._outage = outage or Trouble("the API server does not answer", "the API server answers again")
        self._answer_s = answer_s
        self._lists = PagedLists(self._read_get)

    async def close(self) -> None:
        """Close the connection. What is under way fails, and nothing is asked any more."""
        await self._connection.close()

    def renew(self) -> None:
        """Go on with new sockets, and have what is under way fail: the API server may not know the old ones.

        A socket that died without a word would have a watch wait for a minute and more, and a request for `answer_s`.
        """
        self._connection.renew()

    async def get(self, path: str) -> Document:
        """Return an object that is no tenant's. Raise Missing if there is none."""
        return read_document(await self._read("GET", path))

    async def read(self, path: str, kind: type[Kind]) -> Kind:
        """Return what is read of the object. Raise Missing if there is none."""
        return read_as(kind, await self._read("GET", path))

    async def pages(self, path: str, **query: str) -> AsyncIterator[Page]:
        """Yield a list, page by page. An object that is too long for the memory is left out and logged."""
        async for page in self._lists.pages(path, query):
            yield page

    async def watch(
        self,
        path: str,
        version: str,
        query: Mapping[str, str] | None = None,
        *,
        opened: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[Event]:
        """Yield what happens after this version, for some minutes: events ADDED, MODIFIED, DELETED and BOOKMARK.

        `opened` is called once the API server has begun. Raise Expired if it has forgotten what happened since then,
        and at the end if something was too long to be read.
        """
        is_complete = True
        parameters = {**(query or {}), "watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
        url = self._connection.url(path, {**parameters, "timeoutSeconds": str(WATCH_S)})
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        try:
            headers = self._connection.headers()
            async with self._connection.request("GET", url, headers=headers, timeout=timeout) as answer:
                self._record("WATCH", path, answer.status)
                if answer.status >= 400:
                    raise failure_of(answer.status, await answer.text())
                opened()
                async for line in read_lines(answer.content, OBJECT_BYTES):
                    if line is None:
                        log.warning("the watch of %s: a line is too long and left out", path)
                        is_complete = False
                        continue
                    event = read_as(Event, line)
                    if event.type == "ERROR":
                        raise failure_of(read_as(_Status, bytes(event.object)).code, bytes(event.object).decode())
                    yield event
        except DueByError:  # a line that was cut, or an error instead of an event
            if is_complete:
                raise
        except (OSError, aiohttp.ClientError, HttpProcessingError, TimeoutError, ValueError) as error:
            if is_complete:
                raise Transient(f"the watch of {path} broke: {error!r}") from None
        if not is_complete:
            raise Expired(f"the watch of {path} is not complete")

    async def create(self, path: str, document: Document, *, dry_run: bool = False) -> bytes:
        """Create the object; return the text of what is answered.

        Raise Refused for a field that doesn't exist, Conflict if the object exists already.
        """
        query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        return await self._read("POST", path, query=query, body=document)

    async def replace(self, path: str, document: Document) -> str:
        """Replace the object that was read; return its new version. Raise Conflict if it has changed since."""
        return read_as(HasIdentity, await self._read("PUT", path, body=document)).metadata.resource_version

    async def merge(self, path: str, change: Document, *, uid: str = "") -> None:
        """Change some fields of the object. Raise Conflict if `uid` is given and the object is another by now."""
        if uid:
            change = {**change, "metadata": {**change.get("metadata", {}), "uid": uid}}
        try:
            await self._read("PATCH", path, body=change, content_type=MERGE)
        except Refused as error:
            # To the API server a patch with another uid is an attempt to change it.
            if uid and error.status == 422 and "metadata.uid" in error.message:
                raise Conflict(error.message) from None
            raise

    async def delete(self, path: str, *, uid: str, waits: bool = False) -> None:
        """Delete the object of this uid and, in the background, what it owns; or that first, if the object `waits`.

        One that is gone is no error, nor is another that has its name by now, which stays.
        """
        options = {"propagationPolicy": "Foreground" if waits else "Background", "preconditions": {"uid": uid}}
        try:
            await self._read("DELETE", path, body={"apiVersion": "v1", "kind": "DeleteOptions", **options})
        except (Missing, Conflict):
            return

    async def _read_get(self, path: str, query: Mapping[str, str], *, limit: int, accept: str = JSON) -> bytes:
        return await self._read("GET", path, query=query, limit=limit, accept=accept)

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
        """Return what is answered. Raise TooLong if it has more bytes than the limit."""
        data = None if body is None else json.dumps(body, separators=(",", ":"))
        headers = {**self._connection.headers(), "Accept": accept, "Content-Type": content_type}
        limit_s = self._answer_s
        if method != "GET" and self._seconds_to_write is not None:
            limit_s = min(limit_s, self._seconds_to_write())
            # The API server gives a request up at the same time: closing the connection alone does not recall it.
            query = {**(query or {}), "timeout": f"{limit_s * 1000:.0f}ms"}
        timeout = aiohttp.ClientTimeout(total=limit_s, sock_connect=CONNECT_S)
        url = self._connection.url(path, query or {})
        try:
            async with self._connection.request(method, url, data=data, headers=headers, timeout=timeout) as answer:
                text = await read_body(answer.content, limit)
        except (OSError, aiohttp.ClientError, HttpProcessingError, TimeoutError) as error:
            self._record(method, path, None)
            if not isinstance(error, aiohttp.ClientSSLError):  # a server that isn't trusted is no server that is away
                self._outage.failed(repr(error))
            raise Transient(f"the API server: {error!r}") from None
        self._record(method, path, answer.status)
        self._hear(answer.headers.get("Date"))
        if answer.status >= 400:
            raise failure_of(answer.status, (text or b"").decode(errors="replace"))
        if text is None:
            raise TooLong(f"the API server: its answer about {path} is longer than {limit >> 20} MiB")
        return text

    def _record(self, method: str, path: str, code: int | None) -> None:
        if self._count:
            self._count(method, path, code)
        if code is None:
            return
        if code >= SERVER_ERROR or code == TOO_MANY_REQUESTS:
            self._outage.failed(f"{method} {path}: {code}")
        else:
            self._outage.worked()


def failure_of(status: int, body: str) -> DueByError:
    """Return the API server's answer as the kind of failure that it is."""
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body[:500]
    kinds: Mapping[int, type[DueByError]] = {404: Missing, 409: Conflict, 410: Expired}
    if status in kinds:
        return kinds[status](message)
    if status >= SERVER_ERROR and WEBHOOK_AWAY in message:
        return WebhookAway(message)
    # A token that has just run out is answered with 401; it is read again before the next call.
    return Refused(status, message) if 400 <= status < 500 and status not in (401, 408, 429) else Transient(message)


async def read_list(kube: Kube, path: str, read: Callable[[Raw], Found], **query: str) -> list[Found]:
    """Return what can be read of the objects of a list."""
    return [one async for page in kube.pages(path, **query) for one in read_each(page.items or (), read)]


async def parse_list(kube: Kube, path: str, kind: type[Parsed], **query: str) -> list[Parsed]:
    """Return the objects of a list that are of this kind."""
    return await read_list(kube, path, lambda document: parse(kind, document), **query)


def read_each(documents: Iterable[Raw], read: Callable[[Raw], Found]) -> list[Found]:
    """Return what can be read of the documents. The others are logged."""
    readable = []
    for document in documents:
        try:
            readable.append(read(document))
        except Exception as error:  # one object that can't be read must not hold up the others
            log.warning("%s is left out: %r", _name_of(document), error)
    return readable


def _name_of(document: Raw) -> str:
    try:
        metadata = parse(HasIdentity, document).metadata
    except Invalid:
        return "an object"
    return f"{metadata.namespace}/{metadata.name}"

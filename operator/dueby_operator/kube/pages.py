"""Lists, a page at a time: of so many objects, and of no more bytes than fit into the memory many times over.

An object may have 1.5 MiB, and the API server writes each `<` in it as six characters. So 500 of one tenant's may be
gigabytes. A page that is too long is given up on the way and asked for again with fewer objects. One object that is too
long even alone is left out: then its name is asked for, to go on behind it, and logged.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from dueby_api.errors import Transient
from dueby_operator.kube.documents import Page, read_as
from dueby_operator.objects.meta import HasIdentity

# Objects in a page, as kubectl asks for them: the API server holds a whole page in memory.
PAGE = 500
# Bytes of a page of several objects, whose text is held while they are read one after the other.
PAGE_BYTES = 4 * 2**20
# Bytes of one object: etcd keeps 1.5 MiB, which is 9 MiB of JSON if the API server writes each byte as six.
OBJECT_BYTES = 16 * 2**20
# Instead of half the objects: few requests for what is given up, however large the objects are.
FEWER, MORE = 4, 2
JSON = "application/json"
# The objects' metadata alone.
METADATA = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
log = logging.getLogger(__name__)


class TooLong(Transient):
    """The API server's answer is longer than the operator reads."""


class Read(Protocol):
    """Asks the API server."""

    async def __call__(self, path: str, query: Mapping[str, str], *, limit: int, accept: str = JSON) -> bytes:
        """Return the answer. Raise TooLong if it has more bytes than the limit."""


class PagedLists:
    """Reads lists."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._told: set[str] = set()
        """Objects that were left out, as they were logged."""
        self._counts: dict[str, int] = {}
        """By path, how many objects the last page that was asked for had."""

    async def pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Page]:
        """Yield a list, page by page. Raise TooLong if there is an object of which not even its metadata is short."""
        count, more = self._counts.get(path, PAGE), ""
        while True:
            self._counts[path] = count
            parameters = {**query, "limit": str(count), "continue": more}
            try:
                text = await self._read(path, parameters, limit=PAGE_BYTES if count > 1 else OBJECT_BYTES)
            except TooLong:
                if count > 1:
                    count = max(1, count // FEWER)
                    continue
                page, is_short = await self._without_object(path, parameters), True
            else:
                page, is_short = read_as(Page, text), len(text) <= PAGE_BYTES / MORE
                del text
            if is_short:
                count = min(count * MORE, PAGE)
            more = page.meta.more
            yield page
            del page  # before the next one comes
            if not more:
                return

    async def _without_object(self, path: str, parameters: Mapping[str, str]) -> Page:
        """Return a page of one object without it, and log its name once."""
        page = read_as(Page, await self._read(path, parameters, limit=OBJECT_BYTES, accept=METADATA))
        names = [read_as(HasIdentity, bytes(item)).metadata for item in page.items or ()]
        if len(names) > 1:
            raise TooLong(f"{path}: the answer is longer than {OBJECT_BYTES >> 20} MiB, and the server has no pages")
        for metadata in names:
            name = f"{path}: {metadata.namespace}/{metadata.name}"
            if name not in self._told:
                self._told.add(name)
                log.warning("%s is left out: it is longer than %d MiB", name, OBJECT_BYTES >> 20)
        return page.replace(items=())

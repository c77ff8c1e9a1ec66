"""Read lists page by page: a page's documents are gone before the next one comes, and what was read of them is kept.

What can't be read is left out and logged: a pod that isn't ours, a profile that somebody wrote by hand.
"""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from dueby_api.errors import Invalid
from dueby_api.schema import Raw
from dueby_operator.kube.client import Kube
from dueby_operator.objects.meta import HasIdentity
from dueby_operator.objects.parse import Parsed, parse

log = logging.getLogger(__name__)
Found = TypeVar("Found")


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

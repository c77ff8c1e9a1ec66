"""Read what the API server sends, however deep and however wide a tenant has made it.

A list is of all tenants, and Python needs twenty times the memory of a text for documents made of empty lists. So a
list's objects, and those of a watch's events, stay text (Raw) until what is needed of each is read on its own; objects
of Python's are made of the fields that are known, and of nothing else.

The API server takes 10,000 levels where a schema leaves a field free; the readers give up after a thousand. One such
object must not keep the others from being read: what lies deeper than anything of Kubernetes is read as null.
"""

import re
from typing import Any

from dueby_api.errors import Invalid, Transient
from dueby_api.schema import Kind, LenientSpec, Raw, decode, decode_plain, field

Document = dict[str, Any]
# A pod's deepest field lies at twelve, and a list adds two.
MAX_DEPTH = 100
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


class ListMeta(LenientSpec, frozen=True, kw_only=True):
    """Of a page of a list."""

    resource_version: str = ""
    more: str = field(default="", name="continue")
    """What the next page is asked for with; empty if there is none."""


class Page(LenientSpec, frozen=True, kw_only=True):
    """A page of a list."""

    metadata: ListMeta | None = None
    items: tuple[Raw, ...] | None = None

    @property
    def meta(self) -> ListMeta:
        return self.metadata or ListMeta()


class Event(LenientSpec, frozen=True, kw_only=True):
    """An event of a watch."""

    type: str
    """ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""
    object: Raw


def read_as(kind: type[Kind], text: bytes) -> Kind:
    """Return the JSON document as `kind`. Raise Transient if it isn't: the connection was cut, or a proxy answered."""
    try:
        return decode(kind, text)
    except Invalid as error:
        if "recursion" not in error.message:
            raise Transient(f"the API server: its answer makes no sense: {error}") from None
    return read_as(kind, _without_depths(text))


def read_document(text: bytes) -> Document:
    """Return the JSON document, which is no tenant's or short. Raise Transient if it is none."""
    try:
        document = decode_plain(text, origin="its answer")
    except Invalid as error:
        raise Transient(f"the API server: {error}") from None
    if not isinstance(document, dict):
        raise Transient("the API server: its answer is not an object")
    return document


def _without_depths(text: bytes) -> bytes:
    """Return the JSON with null for what lies too deep."""
    kept, depth, start = [], 0, 0
    whole = text.decode(errors="replace")
    for token in _TOKEN.finditer(whole):
        if token[0] in ("{", "["):
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += [whole[start : token.start()], "null"]
        elif token[0] in ("}", "]"):
            if depth == MAX_DEPTH + 1:
                start = token.end()
            depth -= 1
    return "".join([*kept, whole[start:]]).encode()

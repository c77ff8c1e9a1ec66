"""Objects of the simulated API server: where they are, what they are, and which a list selects. Pure."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

Document = dict[str, Any]
Key = tuple[str, str, str]
"""Kind, namespace and name."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a path leads."""

    api: str
    kind: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Kind, namespace and name."""
        return self.kind, self.namespace, self.name


def place_of(path: str) -> Place:
    """Return where the path leads."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    depth = 2 if parts[0] == "api" else 3
    api, rest = "/".join(parts[:depth]), parts[depth:] or [""]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    name, subresource = (*rest[1:], "", "")[:2]
    return Place(api=api, kind=rest[0], namespace=namespace, name=name, subresource=subresource)


class Stop(Exception):
    """The API server refuses a request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Stored:
    """An object as it is."""

    place: Place
    document: Document
    encoded: bytes

    @property
    def metadata(self) -> Document:
        """Its metadata."""
        found: Document = self.document["metadata"]
        return found


def merged(document: Document, change: Document) -> Document:
    """Return the document after a merge patch."""
    result = dict(document)
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merged(result[name], value)
        else:
            result[name] = value
    return result


def is_selected(stored: Stored, selector: str) -> bool:
    """Return whether the object has the labels of a selector."""
    labels = stored.metadata.get("labels") or {}
    for term in filter(None, selector.split(",")):
        name, equals, value = term.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    return True


def has_fields(document: Document, selector: str) -> bool:
    """Return whether the document is as a field selector says: `metadata.name=a`, `status.phase!=Failed`."""
    for term in filter(None, selector.split(",")):
        path, _, value = term.partition("=")
        found: Any = document
        for name in path.removesuffix("!").split("."):
            found = (found or {}).get(name)
        if (str(found or "") == value) == path.endswith("!"):
            return False
    return True

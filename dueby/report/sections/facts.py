"""Facts: named values, which several sections show in a grid."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

Facts: TypeAlias = Iterable[tuple[str, str]]


def flatten(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Return a document's fields as facts named `field` or `outer.field`; absent and empty ones are left out."""
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            if value:
                yield f"{prefix}{key}", ", ".join(map(str, value))
        elif value not in (None, ""):
            yield f"{prefix}{key}", str(value)

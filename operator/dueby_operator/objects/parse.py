"""From what the API server sends to the classes beside this file, and the small values in them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from dueby_api.errors import Invalid
from dueby_api.schema import LenientSpec, Raw, decode, decode_plain, validate
from dueby_api.units import to_micros

# Indexed Jobs may not have more; what says otherwise is not believed.
MAX_INDEX = 100_000
# An object with nulls where none should be is read whole, as plain data, which takes twenty times as much memory.
MAX_WITH_NULLS = 2**18
Parsed = TypeVar("Parsed", bound=LenientSpec)


def parse(kind: type[Parsed], document: Mapping[str, Any] | Raw) -> Parsed:
    """Return the object. Raise Invalid, with its name, if it isn't of this kind."""
    try:
        return decode(kind, document) if isinstance(document, Raw) else validate(kind, document)
    except Invalid:
        if isinstance(document, Raw) and len(memoryview(document)) > MAX_WITH_NULLS:
            raise
        plain = decode_plain(document, origin=kind.__name__) if isinstance(document, Raw) else document
        # Some programs send null for what is absent, and the API server keeps it in places.
        return validate(kind, _without_nulls(plain), origin=_name_of(plain))


def micros_of(moment: str | None) -> int | None:
    """Return the microseconds since 1970 of a Kubernetes time; None if there is none, or none that can be read."""
    if moment is None:
        return None
    try:
        return to_micros(datetime.fromisoformat(moment))
    except (ValueError, TypeError):  # TypeError: it has no offset from UTC
        return None


def parse_index(text: str) -> int | None:
    """Return the number of a label such as a pod's index; None if it is none, or none that a Job can have."""
    # Python also takes the digits of other scripts for a number.
    number = int(text) if re.fullmatch(r"[0-9]{1,6}", text) else MAX_INDEX + 1
    return number if number <= MAX_INDEX else None


def parse_indices(text: str) -> frozenset[int]:
    """Return the numbers of `1,3-5`, as a Job's status lists them, ascending. What is no such list holds none."""
    indices: list[int] = []
    for run in text.split(","):
        begin, _, end = run.partition("-")
        first, last = parse_index(begin), parse_index(end or begin)
        if first is not None and last is not None and first > (indices[-1] if indices else -1):
            indices.extend(range(first, last + 1))
    return frozenset(indices)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _name_of(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""

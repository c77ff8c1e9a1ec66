"""What `kubectl apply` changes, so that who uses both it and the library finds one behaviour.

Each object remembers in an annotation what was applied last. So a field that the manifest no longer has is told from
one that somebody else has set: the first is removed, the second stays.
"""

import json
from collections.abc import Mapping
from typing import Any

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def with_last_applied(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object with the annotation that says what was applied."""
    metadata = wanted["metadata"]
    annotations = {name: text for name, text in (metadata.get("annotations") or {}).items() if name != _LAST_APPLIED}
    applied = json.dumps({**wanted, "metadata": {**metadata, "annotations": annotations}})
    return {**wanted, "metadata": {**metadata, "annotations": {**annotations, _LAST_APPLIED: applied}}}


def merge_patch(annotations: Mapping[str, str], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch (RFC 7386) that makes of the object with these annotations what is wanted of it."""
    return _patch(_mapping(_read(annotations.get(_LAST_APPLIED, ""))), wanted)


def _read(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:  # it was never applied, or somebody has changed the annotation
        return None


def _patch(last: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    removed = dict.fromkeys(last.keys() - wanted.keys(), None)
    changed = {
        name: _patch(_mapping(last.get(name)), value) if isinstance(value, Mapping) else value
        for name, value in wanted.items()
    }
    return {**removed, **changed}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

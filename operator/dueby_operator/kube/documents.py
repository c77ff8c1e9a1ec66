"""Read what the API server sends, however deep a tenant has nested it.

The API server takes 10,000 levels where a resource's schema leaves a field free, as it does volumes; Python's reader
gives up after a thousand. A list is of all tenants, so one such object must not keep the others from being read: what
lies deeper than anything of Kubernetes is read as null. A pod made of it is refused by the API server.
"""

import json
import re
from typing import Any

from dueby_api.errors import Transient

Document = dict[str, Any]
# A pod's deepest field lies at twelve, and a list adds two.
MAX_DEPTH = 100
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def read_document(text: str | bytes) -> Document:
    """Return the JSON document. Raise Transient if it is none: the connection was cut, or a proxy has answered."""
    try:
        try:
            found = json.loads(text)
        except RecursionError:
            found = json.loads(_without_depths(text if isinstance(text, str) else text.decode()))
    except ValueError as error:
        raise Transient(f"the API server: its answer is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Transient("the API server: its answer is not an object")
    return found


def _without_depths(text: str) -> str:
    """Return the JSON with null for what lies too deep."""
    kept, depth, start = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("{", "["):
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += [text[start : token.start()], "null"]
        elif token[0] in ("}", "]"):
            if depth == MAX_DEPTH + 1:
                start = token.end()
            depth -= 1
    return "".join([*kept, text[start:]])

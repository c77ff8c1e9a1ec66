"""Reading what another version of DueBy may have written: what is wrong is as if it were absent.

A status is an example. An operator that is rolled back finds a phase in it that it doesn't know, and nothing else that
the status says may be lost to that: a finished job would be done again.
"""

import json
import re
from typing import Any, TypeVar

from dueby_api.errors import Invalid
from dueby_api.schema import LenientSpec, Raw, decode, validate

Kind = TypeVar("Kind", bound=LenientSpec)
# A plan has 256 windows at most. A document of which more is wrong is none of its kind.
MAX_WRONG = 600


def decode_readable(kind: type[Kind], data: Raw | bytes) -> Kind:
    """Return what can be read of the JSON text: a wrong field costs that field, a wrong item of a list that item.

    Where a field is needed, what needs it goes, too. Raise Invalid if the text is no mapping.
    """
    try:
        return decode(kind, data)
    except Invalid as error:
        refusal = error
    try:
        document = json.loads(bytes(data))
    except (ValueError, RecursionError):
        raise refusal from None
    for _ in range(MAX_WRONG):
        try:
            return validate(kind, document)
        except Invalid as error:
            if not _remove(document, error.field):
                break
    raise refusal


def _remove(document: Any, path: str) -> bool:
    """Take what is at the path, such as `conditions[3].status`, out of the document; return whether there was any.

    Of a field that is missing, what should have it is taken out; of a value in a mapping, all of the mapping.
    """
    steps = re.findall(r"([^.\[\]]+)|\[(\d+)\]", path.partition("[...]")[0])
    keys: list[Any] = [int(index) if index else name for name, index in steps]
    for length in range(len(keys), 0, -1):
        *above, last = keys[:length]
        try:
            holder = document
            for key in above:
                holder = holder[key]
            del holder[last]
        except (LookupError, TypeError):
            continue
        return True
    return False

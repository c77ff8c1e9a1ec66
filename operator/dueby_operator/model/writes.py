"""Changes of objects in the cluster, as data. kube/apply.py carries them out.

All can be done twice: what is to be created and exists was created by an operator that was killed after it, or by this
one a moment ago. That is so only if it has the same owner; anybody may have made an object of the name. And what is to
be changed or deleted is the object that was seen, by its uid, and not one that was made in its place meanwhile.
"""

from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Create:
    """Create a Job with what its pods are told."""

    config_map: Document
    job: Document


@dataclass(frozen=True, kw_only=True)
class Add:
    """Create an object, unless there is one of its name."""

    kind: str
    """The path of objects like it."""
    document: Document


@dataclass(frozen=True, kw_only=True)
class Change:
    """Change some fields of an object."""

    path: str
    fields: Document
    uid: str = ""
    """Of the object that is meant; empty: whichever has the name."""


@dataclass(frozen=True, kw_only=True)
class Put:
    """Create an object, or replace the one of its name that the operator made."""

    kind: str
    """The path of objects like it."""
    document: Document


@dataclass(frozen=True, kw_only=True)
class Delete:
    """Delete an object with all that it owns."""

    path: str
    uid: str
    """Of the object that is meant."""
    waits: bool = False
    """Whether the object stays until what it owns is gone."""


Write = Create | Add | Change | Put | Delete

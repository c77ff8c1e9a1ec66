"""The table of URI schemes: where images come from and results go.

A scheme is one entry here, one store class of the worker and its test. The class is named as text, since this package
imports no other of ours, and since a worker that reads files has no use for an object store's library.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SchemeKind = Literal["folder", "bucket", "web"]


@dataclass(frozen=True, kw_only=True)
class SchemeEntry:
    """What is known of a scheme without loading its store."""

    name: str
    kind: SchemeKind
    """What stands after `://`: a path, a bucket or a host."""
    store: str
    """The worker's store class, as module:class."""
    is_writable: bool
    """Whether results can go there."""


SCHEMES: Mapping[str, SchemeEntry] = {
    entry.name: entry
    for entry in (
        SchemeEntry(name="file", kind="folder", store="dueby_worker.storage.local_store:LocalStore", is_writable=True),
        SchemeEntry(name="s3", kind="bucket", store="dueby_worker.storage.object_store:ObjectStore", is_writable=True),
        SchemeEntry(name="gs", kind="bucket", store="dueby_worker.storage.object_store:ObjectStore", is_writable=True),
        SchemeEntry(name="az", kind="bucket", store="dueby_worker.storage.object_store:ObjectStore", is_writable=True),
        SchemeEntry(name="http", kind="web", store="dueby_worker.storage.web_store:WebStore", is_writable=False),
        SchemeEntry(name="https", kind="web", store="dueby_worker.storage.web_store:WebStore", is_writable=False),
    )
}
READ_ONLY = tuple(name for name, entry in SCHEMES.items() if not entry.is_writable)
WRITABLE = tuple(name for name, entry in SCHEMES.items() if entry.is_writable)

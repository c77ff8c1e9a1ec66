"""What is to be changed in the cluster, as data, and carrying it out.

Deciding makes a list of these; what each of them does is known here alone. All can be done twice: what is to be created
and is there already was created by an operator that was killed after it, or by this one a moment ago.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dueby_operator.jobs import names
from dueby_operator.kube.client import Conflict, Kube

Document = dict[str, Any]
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Create:
    """Create a Job with what it is told."""

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


@dataclass(frozen=True, kw_only=True)
class Put:
    """Create an object, or put it in the place of the one of its name."""

    kind: str
    """The path of objects like it."""
    document: Document


@dataclass(frozen=True, kw_only=True)
class Delete:
    """Delete an object with all that it owns."""

    path: str


Write = Create | Add | Change | Put | Delete


async def carry_out(kube: Kube, writes: Iterable[Write]) -> None:
    """All of them, in this order; Refused by the first that the API server doesn't want."""
    for write in writes:
        match write:
            case Create():
                await _create(kube, write)
            case Add():
                await _create_unless_there(kube, write.kind, write.document)
            case Change():
                await kube.merge(write.path, write.fields)
            case Put():
                await _put(kube, write)
            case Delete():
                await kube.delete(write.path)


async def _create(kube: Kube, create: Create) -> None:
    """A dry run of the Job first, so that what is wrong with it leaves nothing behind."""
    namespace = create.job["metadata"]["namespace"]
    path = names.batch_path(namespace)
    try:
        await kube.create(path, create.job, dry_run=True)
        await _create_unless_there(kube, names.core_path("configmaps", namespace), create.config_map)
        await kube.create(path, create.job)
    except Conflict:
        log.info("%s is there already", create.job["metadata"]["name"])


async def _create_unless_there(kube: Kube, path: str, document: Document) -> None:
    try:
        await kube.create(path, document)
    except Conflict:
        # An operator before this one was killed after it: what it decided then stands.
        log.info("%s %s is there already", document["kind"], document["metadata"]["name"])


async def _put(kube: Kube, put: Put) -> None:
    metadata = put.document["metadata"]
    try:
        await kube.create(put.kind, put.document)
    except Conflict:
        path = f"{put.kind}/{metadata['name']}"
        version = (await kube.get(path))["metadata"]["resourceVersion"]
        await kube.replace(path, {**put.document, "metadata": {**metadata, "resourceVersion": version}})

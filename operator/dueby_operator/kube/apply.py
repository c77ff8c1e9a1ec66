"""Carry out writes. What each kind of write does to the cluster is known here alone."""

import logging
from collections.abc import Iterable

from dueby_operator import paths
from dueby_operator.kube.client import Conflict, Kube
from dueby_operator.model.writes import Add, Change, Create, Delete, Document, Put, Write

log = logging.getLogger(__name__)


async def carry_out(kube: Kube, writes: Iterable[Write]) -> None:
    """Carry them out in this order. Raise Refused by the first that the API server doesn't want."""
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
    """Create both. The Job is tried dry first, so that one that is refused leaves nothing behind."""
    namespace = create.job["metadata"]["namespace"]
    path = paths.batch_path(namespace)
    try:
        await kube.create(path, create.job, dry_run=True)
        await _create_unless_there(kube, paths.core_path("configmaps", namespace), create.config_map)
        await kube.create(path, create.job)
    except Conflict:
        log.info("%s exists already", create.job["metadata"]["name"])


async def _create_unless_there(kube: Kube, path: str, document: Document) -> None:
    try:
        await kube.create(path, document)
    except Conflict:
        # An operator before this one was killed after it: what it decided then stands.
        log.info("%s %s exists already", document["kind"], document["metadata"]["name"])


async def _put(kube: Kube, put: Put) -> None:
    metadata = put.document["metadata"]
    try:
        await kube.create(put.kind, put.document)
    except Conflict:
        path = f"{put.kind}/{metadata['name']}"
        version = (await kube.get(path))["metadata"]["resourceVersion"]
        await kube.replace(path, {**put.document, "metadata": {**metadata, "resourceVersion": version}})

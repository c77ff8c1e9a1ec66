"""Carry out writes, or try one. What each kind of write does to the cluster is known here alone.

What is to be created and exists is ours only if it has the same owner: anybody may make an object of that name, and an
InferenceJob that was deleted and made again meets what its predecessor has left. Nothing of either is ever used.
"""

import logging
from collections.abc import Iterable

from dueby_api.conditions import Reason
from dueby_api.errors import DueByError
from dueby_operator import paths
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.control.trial import is_passing, require_kept_sink, trial_pod
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import PLAN_KEY, Owner
from dueby_operator.kube.client import Conflict, Kube, Refused, WebhookAway
from dueby_operator.kube.documents import read_document
from dueby_operator.kube.served_apis import ServedAPIs
from dueby_operator.model.writes import Add, Change, Create, Delete, Document, Put, Write
from dueby_operator.objects.jobs import ConfigMap
from dueby_operator.objects.meta import HasMeta, ObjectMeta
from dueby_operator.objects.parse import parse

# HTTP status of a quota or an admission policy that says no.
FORBIDDEN = 403
# A field of Jobs that API servers before Kubernetes 1.37 don't know, and what they say to it.
SCHEDULING = "scheduling"
UNKNOWN_SCHEDULING = f'unknown field "spec.{SCHEDULING}"'
log = logging.getLogger(__name__)


class NameTaken(DueByError):
    """Somebody else's object has the name of one that is to be made."""


class NotYetGone(DueByError):
    """An object of the name is on its way out; the name is free after that."""


def reason_of(error: DueByError) -> Reason:
    """Return why a job's objects can't be made, by what was raised when they were."""
    match error:
        case NameTaken():
            return Reason.NAME_TAKEN
        case NotYetGone():
            return Reason.WAITING_FOR_CLEANUP
        case WebhookAway():
            return Reason.WEBHOOK_AWAY
        case Refused() if error.status == FORBIDDEN:
            return Reason.FORBIDDEN
        case _:
            return Reason.INVALID_TEMPLATE


async def try_pod(kube: Kube, owner: Owner, devices: ClusterDevices) -> None:
    """Ask what the API server would say to a job's pods, without making any.

    Raise Refused if it takes no worker's pod of the job, Invalid if that would keep no rows.
    """
    try:
        pods = paths.core_path("pods", owner.namespace)
        pod = await kube.create(pods, trial_pod(owner, devices), dry_run=True)
    except Conflict:  # somebody has a pod of this name; this one would have been taken
        return
    except Refused as error:
        if not is_passing(error.message, owner.job.spec):
            raise
        return
    require_kept_sink(owner.job, read_document(pod))


async def carry_out(kube: Kube, writes: Iterable[Write], *, served: ServedAPIs | None = None) -> None:
    """Carry them out in this order; `served` remembers which fields the API server doesn't know.

    Raise Refused by the first that the API server doesn't want, NameTaken or NotYetGone by the first whose name isn't
    free.
    """
    for write in writes:
        match write:
            case Create():
                await _create_both(kube, write, served or ServedAPIs(kube))
            case Add():
                await _create(kube, write.kind, write.document)
            case Change():
                await kube.merge(write.path, write.fields, uid=write.uid)
            case Put():
                await _put(kube, write)
            case Delete():
                await kube.delete(write.path, uid=write.uid, waits=write.waits)


async def _create_both(kube: Kube, create: Create, served: ServedAPIs) -> None:
    """Create both. The Job is tried dry first, so that one that is refused leaves nothing behind."""
    namespace = create.job["metadata"]["namespace"]
    path, config_maps = paths.batch_path(namespace), paths.core_path("configmaps", namespace)
    if job := await _try(kube, path, create.job, served):
        if not await _create(kube, config_maps, create.config_map):
            await _require_same_workers(kube, config_maps, create.config_map)
        await _create(kube, path, job)


async def _try(kube: Kube, path: str, job: Document, served: ServedAPIs) -> Document | None:
    """Return the Job as far as the API server knows its fields; None if it is there already."""
    if served.knows(SCHEDULING):
        try:
            return job if await _create(kube, path, job, dry_run=True) else None
        except Refused as error:
            if UNKNOWN_SCHEDULING not in error.message:
                raise
            served.note_unknown(SCHEDULING)
    without = {**job, "spec": {name: value for name, value in job["spec"].items() if name != SCHEDULING}}
    return without if await _create(kube, path, without, dry_run=True) else None


async def _require_same_workers(kube: Kube, kind: str, wanted: Document) -> None:
    """Raise NotYetGone unless the ConfigMap that is there tells the same to as many workers.

    It is of a plan whose Job was never made. That was taken back, so its number is that of the plan of now; the next
    one has another number, and a ConfigMap of its own.
    """
    existing = await kube.read(f"{kind}/{wanted['metadata']['name']}", ConfigMap)
    if existing.plan != (wanted.get("data") or {}).get(PLAN_KEY):
        raise NotYetGone(f"{_name_of(wanted)} is of a plan that was taken back. The job is planned once more.")


async def _create(kube: Kube, kind: str, document: Document, *, dry_run: bool = False) -> bool:
    """Create the object; return whether it wasn't there. Raise NameTaken or NotYetGone if another has its name."""
    try:
        await kube.create(kind, document, dry_run=dry_run)
    except Conflict:
        existing = await kube.read(f"{kind}/{document['metadata']['name']}", HasMeta)
        _require_own(existing.metadata, document)
        # An operator before this one was killed after it: what it decided then stands.
        log.info("%s exists already", _name_of(document))
        return False
    return True


def _require_own(existing: ObjectMeta, document: Document) -> None:
    """Raise NameTaken or NotYetGone unless the object that is there is the one that was to be created."""
    wanted = parse(ObjectMeta, document["metadata"])
    # What is made for everybody has no owner. It is where no tenant makes anything, and is known by its labels.
    name, owner = _name_of(document), next(iter(wanted.owner_references), None)
    is_own = existing.is_owned_by(owner.uid) if owner else wanted.labels.items() <= existing.labels.items()
    if is_own and not existing.is_deleting:
        return
    # Garbage collection deletes what is owned by an object of this kind and name with another uid: that one is gone.
    is_left_over = owner and any(
        (reference.kind, reference.name) == (owner.kind, owner.name) for reference in existing.owner_references
    )
    if existing.is_deleting or is_left_over:
        raise NotYetGone(f"{name} of before is still being deleted; it is made again once that one is gone.")
    owners = ", ".join(f"{reference.kind} {reference.name}" for reference in existing.owner_references)
    whose = f"belongs to {owners}" if owners else "belongs to nobody"
    maker = f"this {owner.kind}" if owner else "the operator"
    raise NameTaken(f"{name} exists and isn't {maker}'s: it {whose}. Delete or rename it, or rename this.")


def _name_of(document: Document) -> str:
    metadata = document["metadata"]
    return f"{document['kind']} {metadata.get('namespace', '')}/{metadata['name']}"


async def _put(kube: Kube, put: Put) -> None:
    metadata = put.document["metadata"]
    try:
        await kube.create(put.kind, put.document)
    except Conflict:
        path = f"{put.kind}/{metadata['name']}"
        existing = (await kube.read(path, HasMeta)).metadata
        if not names.is_managed(existing.labels):
            raise NameTaken(
                f"{put.document['kind']} {metadata['name']} was made by somebody else and stays as it is, so what was "
                "measured isn't stored. Rename it, to have both."
            ) from None
        replaced = {**metadata, "resourceVersion": existing.resource_version}
        await kube.replace(path, {**put.document, "metadata": replaced})

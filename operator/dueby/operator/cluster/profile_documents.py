"""From what a pod measured to GPUProfiles: its node's, and the class's from all its nodes'. Pure.

A node's profile is owned by the Node and goes with it; the class's stays, so that a pool that was scaled to nothing can
be planned.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from dueby.operator.cluster import names
from dueby.operator.cluster.inventory import Node
from dueby.operator.cluster.writes import Change, Put
from dueby.planner.errors import Invalid
from dueby.planner.job import API_VERSION
from dueby.planner.pool import aggregate
from dueby.planner.profiles import GPUProfile, ProfileMetadata, ProfileSpec

Document = dict[str, Any]


def profiles_of(spec: ProfileSpec, *, node: Node | None, profiles: Sequence[GPUProfile]) -> list[Put]:
    """The profile of the node that this was measured on, if that is still there, and its class's.

    A class that has a profile under another name keeps that one.
    """
    parts = _parts(spec)
    alike = [profile for profile in profiles if _parts(profile.spec) == parts]
    nodes = [profile for profile in alike if profile.spec.device.node]
    name = names.profile_name(*parts)
    put = []
    if node is not None:
        own_spec = spec.replace(device=spec.device.replace(node=node.name))
        own = _profile(names.profile_name(*parts, node.name), own_spec)
        nodes = [*(profile for profile in nodes if profile.name != own.name), own]
        put.append(_put(own, owner=_owner(node)))
    if all(profile.spec.device.node or profile.name == name for profile in alike):
        put.append(_put(_profile(name, _of_class(spec, nodes))))
    return put


def images_per_second(spec: ProfileSpec) -> int:
    """Of one device at its best measured size."""
    largest = spec.max_mini_batch_size or spec.steps[-1].mini_batch_size
    sizes = [step for step in spec.steps if step.mini_batch_size <= largest]
    return round(max(step.mini_batch_size * 1e6 / step.latency_micros.mean for step in sizes))


def rates(profiles: Sequence[GPUProfile]) -> list[Change]:
    """What brings `status.imagesPerSecond` up to date, where it isn't."""
    return [
        Change(path=names.profiles_path(profile.name, "status"), fields={"status": {"imagesPerSecond": rate}})
        for profile in profiles
        if (rate := images_per_second(profile.spec)) != (profile.status or {}).get("imagesPerSecond")
    ]


def _parts(spec: ProfileSpec) -> tuple[str, ...]:
    """What profiles of one class, model and engine have in common."""
    return spec.device_class, spec.model.name, str(spec.model.image_size), spec.model.precision, spec.engine


def _of_class(spec: ProfileSpec, nodes: Sequence[GPUProfile]) -> ProfileSpec:
    """What the nodes' profiles say together; `spec` where they have no size in common, as the latest of them."""
    with suppress(Invalid):
        spec = aggregate(nodes).spec if nodes else spec
    return spec.replace(device=spec.device.replace(node=None, uuid=None))


def _profile(name: str, spec: ProfileSpec) -> GPUProfile:
    return GPUProfile(api_version=API_VERSION, kind="GPUProfile", metadata=ProfileMetadata(name=name), spec=spec)


def _put(profile: GPUProfile, *, owner: Document | None = None) -> Put:
    document = profile.document()
    document["metadata"] |= {"labels": names.MANAGED, **({"ownerReferences": [owner]} if owner else {})}
    return Put(kind=names.profiles_path(), document=document)


def _owner(node: Node) -> Document:
    return {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid}

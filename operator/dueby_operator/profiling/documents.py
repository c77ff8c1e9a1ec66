"""From what a pod measured to GPUProfiles: its node's, and the class's from all its nodes'. Pure.

A node's profile is owned by the Node and goes with it; the class's stays, so that a pool that was scaled to nothing can
be planned. `slow_nodes` keeps the classes' up to the nodes' from then on.
"""

from collections.abc import Sequence
from dataclasses import replace

from dueby_api.gpu_profile import GPUProfile, ProfileSpec, images_per_second
from dueby_api.status import ProfileStatus
from dueby_operator.cluster.nodes import Node
from dueby_operator.control.writes import Change, Put
from dueby_operator.jobs import names
from dueby_operator.profiling.class_profiles import class_profile, is_managed, keep_up, managed, put, subject_of


def profiles_of(spec: ProfileSpec, *, node: Node | None, profiles: Sequence[GPUProfile]) -> list[Put]:
    """The profile of the node that this was measured on, if that is still there, and its class's.

    A class that has a profile under another name keeps that one.
    """
    own_node, subject = names.node_of(spec.device_class), subject_of(spec)
    if node is None:  # nothing will be kept up by it
        found = None if own_node else class_profile(subject, [], before=spec)
        alike = [profile for profile in profiles if subject_of(profile.spec) == subject]
        return [put(found)] if found and not any(p.name != found.name or p.spec.device.node for p in alike) else []
    device = spec.device.replace(node=node.name)
    own = managed(names.profile_name(*subject, node.name), spec.replace(device_class=subject[0], device=device))
    # What has one of these names and is about something else is no obstacle.
    taken = {own.name, names.profile_name(*subject)}
    others = [p for p in profiles if p.name not in taken or (p.name != own.name and subject_of(p.spec) == subject)]
    kept = keep_up([*others, own])
    made = [p for p in kept.profiles if subject_of(p.spec) == subject and not p.spec.device.node and is_managed(p)]
    return [_with_owner(put(own), node), *map(put, made)]


def rates(profiles: Sequence[GPUProfile]) -> list[Change]:
    """What brings `status.imagesPerSecond` up to date, where it isn't."""
    return [
        Change(path=names.profiles_path(profile.name, "status"), fields={"status": {"imagesPerSecond": rate}})
        for profile in profiles
        if (rate := round(images_per_second(profile.spec))) != (profile.status or ProfileStatus()).images_per_second
    ]


def _with_owner(written: Put, node: Node) -> Put:
    owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid}
    document = written.document
    return replace(written, document={**document, "metadata": {**document["metadata"], "ownerReferences": [owner]}})

"""Classes' profiles, kept up to their nodes'. Pure.

A class's profile is made of its nodes', whoever measured those, and is written where it differs. A slow node's is that
of a class of its own (slow_nodes.py). What somebody else wrote is left alone: profiles without the operator's label,
and classes that have a profile of another name.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, ProfileSpec
from dueby_api.subject import Subject, node_of, own_class, profile_subject
from dueby_operator.cluster.nodes import Node, has_class
from dueby_operator.profiling.known_profiles import (
    is_managed,
    is_of_slow_node,
    is_predicted,
    managed_profile,
    node_subject,
    profile_name,
)
from dueby_operator.profiling.provenance import measured_s
from dueby_operator.profiling.slow_nodes import slow_nodes, without_fast
from dueby_planner.profiles.class_profiles import aggregate
from dueby_planner.profiles.observed import keep_valid_rows


@dataclass(frozen=True, kw_only=True)
class KeptProfiles:
    """The profiles as they are to be, and what brings the cluster there."""

    profiles: tuple[GPUProfile, ...]
    slow: frozenset[str] = frozenset()
    """Nodes that are classes of their own."""
    new: tuple[GPUProfile, ...] = ()
    """Profiles to write."""
    gone: tuple[str, ...] = ()
    """Names of profiles to delete."""


def without_foreign(profiles: Iterable[GPUProfile], nodes: Mapping[str, Node]) -> tuple[GPUProfile, ...]:
    """Return the profiles without those that name a node of the cluster and a class which that node doesn't have.

    A node's token may write whatever is about its node, and must not speak for other nodes' devices by that.
    """
    return tuple(
        profile
        for profile in profiles
        if (node := nodes.get(profile.spec.device.node or "")) is None or has_class(node, profile.spec.device_class)
    )


def keep_profiles(profiles: Sequence[GPUProfile], nodes: Mapping[str, Node] | None = None) -> KeptProfiles:
    """Return every class's profile made of its nodes' as they are now. A second time there is nothing to write.

    `nodes` are those of the cluster; without them no profile is foreign.
    """
    old, of_cluster = {profile.name: profile for profile in profiles}, without_foreign(profiles, nodes or {})
    foreign = old.keys() - {profile.name for profile in of_cluster}
    slow = slow_nodes(of_cluster)
    wanted = {profile.name: profile for profile in _wanted(of_cluster, slow, old)}
    new = {
        name: _in_place_of(old.get(name), profile)
        for name, profile in wanted.items()
        if name not in old or profile.spec != old[name].spec
    }
    # Operators of before have stored what they predicted.
    gone = {name for name in old.keys() - wanted.keys() if is_of_slow_node(old[name]) or is_predicted(old[name])}
    after = old | new
    return KeptProfiles(
        profiles=tuple(after[name] for name in sorted(after.keys() - gone - foreign)),
        slow=slow,
        new=tuple(new.values()),
        gone=tuple(sorted(gone)),
    )


def profiles_of(spec: ProfileSpec, *, node: Node | None, profiles: Sequence[GPUProfile]) -> list[GPUProfile]:
    """Return what a measurement makes: the profile of its node, if that is still there, and its class's.

    A node's profile goes with the Node. The class's stays, so that a pool that was scaled to nothing can be planned. A
    class that has a profile under another name keeps that one.
    """
    subject = node_subject(spec)
    if node is None:
        return _of_lost_node(subject, spec, [profile for profile in profiles if node_subject(profile.spec) == subject])
    device = spec.device.replace(node=node.name)
    of_node = managed_profile(
        profile_name(subject, node.name), spec.replace(device_class=subject.device_class, device=device), node=node
    )
    # What has one of these names and is about something else is no obstacle.
    both = {of_node.name, profile_name(subject)}
    others = [p for p in profiles if p.name not in both or (p.name != of_node.name and node_subject(p.spec) == subject)]
    kept = keep_profiles([*others, of_node])
    shared = [p for p in kept.profiles if node_subject(p.spec) == subject and not p.spec.device.node and is_managed(p)]
    return [of_node, *shared]


def _of_lost_node(subject: Subject, spec: ProfileSpec, alike: Sequence[GPUProfile]) -> list[GPUProfile]:
    """Return the class's profile, of a measurement whose node is gone; nothing if the class has one that is as new.

    What was measured is seen in every pass for as long as its Job is kept.
    """
    name = profile_name(subject)
    is_taken = any(profile.name != name or profile.spec.device.node for profile in alike)
    if node_of(spec.device_class) or is_taken:
        return []
    before = next(iter(alike), None)
    if before and measured_s(before.spec) >= measured_s(spec):
        return []
    kept = spec.replace(observed=keep_valid_rows(before.spec, spec) if before else spec.observed)
    profile = class_profile(subject, [], before=kept)
    return [_in_place_of(before, profile)] if profile else []


def class_profile(
    subject: Subject, nodes: Sequence[GPUProfile], *, node: str = "", before: ProfileSpec | None = None
) -> GPUProfile | None:
    """Return what the nodes' profiles say together, as their class's or as the class of one `node`.

    If they have no size in common it stays as it was, or else is the latest of theirs; None if there is nothing to make
    it of.
    """
    of_class = subject.of_class(own_class(subject.device_class, node))
    by_name = sorted(nodes, key=lambda profile: profile.name)
    spec = before
    with suppress(Invalid):  # no size in common
        spec = aggregate(by_name).spec if by_name else before
    if spec is None and by_name:
        spec = max(by_name, key=lambda profile: measured_s(profile.spec)).spec
    if spec is None:
        return None
    latest = max((p.spec.measured_at for p in by_name if p.spec.measured_at), default=spec.measured_at)
    spec = spec.replace(
        observed=keep_valid_rows(before, spec) if before else spec.observed,
        device_class=of_class.device_class,
        device=spec.device.replace(node=None, uuid=None),
        measured_at=latest,
    )
    return managed_profile(profile_name(of_class), spec)


def _in_place_of(before: GPUProfile | None, after: GPUProfile) -> GPUProfile:
    """Return the profile with what the API server keeps when the one before it is replaced."""
    if before is None:
        return after
    # Without these the profile's conditions would look new in this pass, and their times would begin again.
    metadata = after.metadata.replace(generation=before.metadata.generation)
    return after.replace(metadata=metadata, status=before.status)


def _wanted(
    profiles: Iterable[GPUProfile], slow: frozenset[str], by_name: Mapping[str, GPUProfile]
) -> Iterator[GPUProfile]:
    """Return the classes' profiles that the operator has to keep, as they are to be. `by_name` are all there are."""
    of_class: dict[Subject, list[GPUProfile]] = defaultdict(list)
    of_nodes: dict[Subject, dict[str, list[GPUProfile]]] = defaultdict(lambda: defaultdict(list))
    for profile in profiles:
        if node := profile.spec.device.node:
            of_nodes[node_subject(profile.spec)][node if node in slow else ""].append(profile)
        elif not is_predicted(profile):
            of_class[profile_subject(profile.spec)].append(profile)
    for subject, nodes in sorted(of_nodes.items()):
        for node, members in sorted({"": [], **nodes}.items()):
            about = subject.of_class(own_class(subject.device_class, node))
            name = profile_name(about)
            alike = [*of_class[about], *([by_name[name]] if name in by_name else [])]
            if all(p.name == name and is_managed(p) and not p.spec.device.node for p in alike):
                before = alike[0].spec if alike else None
                yield from filter(None, [class_profile(subject, without_fast(members), node=node, before=before)])

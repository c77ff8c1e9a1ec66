"""Classes' profiles, kept up to their nodes'; nodes that are too slow for their class, as classes of their own. Pure.

A class's profile is made of its nodes', whoever measured those, and is written where it differs. A node is slow where
its mean step is more than 20 % longer than its class's: over the sizes that other nodes have, too, the mean of its L
over the lower median of theirs. For any model and engine it is the node that is slow, and whatever was measured there
is the profile of a class of its own, `CLASS@NODE`. It stays one until it is within 15 %, so that a node at the border
doesn't come and go. A node without others to compare it with stays what it is.

What somebody else wrote is left alone: profiles without the operator's label, and classes with one of another name.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, ProfileMetadata, ProfileSpec
from dueby_api.inference_job import API_VERSION
from dueby_operator.control.writes import Delete, Put, Write
from dueby_operator.jobs import names
from dueby_operator.profiling.provenance import measured_s
from dueby_planner.profiles.class_profiles import aggregate
from dueby_planner.profiles.observed import keep_valid_rows

SLOW, RECOVERED = 1.20, 1.15
Subject = tuple[str, ...]
"""Class, model, image size, precision and engine: what profiles of one class have in common."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The profiles as they are to be, and what brings the cluster there."""

    profiles: tuple[GPUProfile, ...]
    slow: frozenset[str] = frozenset()
    """Nodes that are classes of their own."""
    writes: tuple[Write, ...] = ()


def keep_up(profiles: Sequence[GPUProfile]) -> Kept:
    """Every class's profile made of its nodes' as they are now; a second time there is nothing to write."""
    slow = slow_nodes(profiles)
    there = {profile.name: profile for profile in profiles}
    wanted = {found.name: found for found in _of_classes(profiles, slow)}
    new = {name: found for name, found in wanted.items() if name not in there or found.spec != there[name].spec}
    measured = {parts_of(found.spec) for found in [*profiles, *wanted.values()] if found.spec.predicted is None}
    gone = {
        name
        for name in there.keys() - wanted.keys()
        if is_own(there[name]) or (is_predicted(there[name]) and _is_outdated(there[name].spec, measured, slow))
    }
    after = there | new
    return Kept(
        profiles=tuple(after[name] for name in sorted(after.keys() - gone)),
        slow=slow,
        writes=(*map(put, new.values()), *(Delete(path=names.profiles_path(name)) for name in sorted(gone))),
    )


def slow_nodes(profiles: Iterable[GPUProfile]) -> frozenset[str]:
    """The nodes that are too slow for their class with any model."""
    known = list(profiles)
    already = {names.node_of(profile.spec.device_class) for profile in known if is_own(profile)}
    slow = set()
    for nodes in _by_node(known).values():
        for node, found in slowness(nodes).items():
            limit = RECOVERED if node in already else SLOW
            if node in already if found is None else found > limit:
                slow.add(node)
    return frozenset(slow)


def slowness(nodes: Mapping[str, Mapping[int, float]]) -> dict[str, float | None]:
    """Mean of each node's L over the others' lower median, by the sizes that any of them has; None without one."""
    by_size: dict[int, list[float]] = defaultdict(list)
    for sizes in nodes.values():
        for size, step_us in sizes.items():
            by_size[size].append(step_us)
    for steps in by_size.values():
        steps.sort()
    found = {}
    for node, sizes in nodes.items():
        ratios = [us / _median_of_others(by_size[size], us) for size, us in sizes.items() if len(by_size[size]) > 1]
        found[node] = fmean(ratios) if ratios else None
    return found


def _median_of_others(ascending: Sequence[float], own: float) -> float:
    """The lower median without one that is `own`: a thousand nodes are sorted once."""
    middle = (len(ascending) - 2) // 2
    return ascending[middle if middle < bisect_left(ascending, own) else middle + 1]


def subject_of(spec: ProfileSpec) -> Subject:
    """What the profile is about, whether of a class, of a node, or of a slow node's own class."""
    return names.class_of(spec.device_class), *parts_of(spec)[1:]


def class_profile(
    subject: Subject, nodes: Sequence[GPUProfile], *, own: str = "", before: ProfileSpec | None = None
) -> GPUProfile | None:
    """What the nodes' profiles say together, as their class's or as the class of the node `own`.

    Where they have no size in common it stays as it was, or else is the latest of theirs; None where there is nothing
    to make it of.
    """
    device_class = names.own_class(subject[0], own)
    known = sorted(nodes, key=lambda profile: profile.name)
    spec = before
    with suppress(Invalid):
        spec = aggregate(known).spec if known else before
    if spec is None and known:
        spec = max(known, key=lambda profile: measured_s(profile.spec)).spec
    if spec is None:
        return None
    latest = max((p.spec.measured_at for p in known if p.spec.measured_at), default=spec.measured_at)
    observed = keep_valid_rows(before, spec) if before else spec.observed
    spec = spec.replace(
        observed=observed,
        device_class=device_class,
        device=spec.device.replace(node=None, uuid=None),
        measured_at=latest,
    )
    return managed(names.profile_name(device_class, *subject[1:]), spec)


def managed(name: str, spec: ProfileSpec) -> GPUProfile:
    """A profile that the operator makes."""
    metadata = ProfileMetadata(name=name, labels=names.MANAGED)
    return GPUProfile(api_version=API_VERSION, kind="GPUProfile", metadata=metadata, spec=spec)


def put(profile: GPUProfile) -> Put:
    """Writing it."""
    return Put(kind=names.profiles_path(), document=profile.document())


def is_managed(profile: GPUProfile) -> bool:
    """Whether the operator made it."""
    return names.MANAGED.items() <= (profile.metadata.labels or {}).items()


def is_own(profile: GPUProfile) -> bool:
    """Whether it is the operator's profile of a slow node's own class."""
    spec = profile.spec
    return (
        is_managed(profile) and not spec.device.node and not spec.predicted and bool(names.node_of(spec.device_class))
    )


def is_predicted(profile: GPUProfile) -> bool:
    """Whether the operator predicted it, for as long as nothing is measured."""
    return is_managed(profile) and profile.spec.predicted is not None


def _is_outdated(predicted: ProfileSpec, measured: Collection[Subject], slow: Collection[str]) -> bool:
    """Whether there is a measured one now, or it is of a node that has recovered."""
    node = names.node_of(predicted.device_class)
    return parts_of(predicted) in measured or bool(node and node not in slow)


def _of_classes(profiles: Sequence[GPUProfile], slow: frozenset[str]) -> Iterator[GPUProfile]:
    """The classes' profiles that the operator has to keep, as they are to be."""
    by_name = {profile.name: profile for profile in profiles}
    of_class: dict[Subject, list[GPUProfile]] = defaultdict(list)
    of_nodes: dict[Subject, dict[str, list[GPUProfile]]] = defaultdict(lambda: defaultdict(list))
    for profile in profiles:
        if node := profile.spec.device.node:
            of_nodes[subject_of(profile.spec)][node if node in slow else ""].append(profile)
        elif not is_predicted(profile):
            of_class[parts_of(profile.spec)].append(profile)
    for subject, nodes in sorted(of_nodes.items()):
        for own, members in sorted({"": [], **nodes}.items()):
            parts = names.own_class(subject[0], own), *subject[1:]
            name = names.profile_name(*parts)
            there = [*of_class[parts], *([by_name[name]] if name in by_name else [])]
            if all(found.name == name and is_managed(found) and not found.spec.device.node for found in there):
                before = there[0].spec if there else None
                yield from filter(None, [class_profile(subject, members, own=own, before=before)])


def parts_of(spec: ProfileSpec) -> Subject:
    """What the profile is about, with a slow node's own class as that."""
    model = spec.model
    return spec.device_class, model.name, str(model.image_size), model.precision, spec.engine


def _by_node(profiles: Iterable[GPUProfile]) -> dict[Subject, dict[str, dict[int, float]]]:
    """By subject and node the L of each size, of a node with several devices the mean."""
    found: dict[Subject, dict[str, dict[int, list[int]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for profile in profiles:
        if profile.spec.device.node:
            sizes = found[subject_of(profile.spec)][profile.spec.device.node]
            for step in profile.spec.steps:
                sizes[step.mini_batch_size].append(step.latency_micros.mean)
    return {
        subject: {node: {size: fmean(us) for size, us in sizes.items()} for node, sizes in nodes.items()}
        for subject, nodes in found.items()
    }

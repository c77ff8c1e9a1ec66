"""The condition Current of GPUProfiles: whether it is what one would measure now, why not, and what happens next. Pure.

A class's profile is as current as those of its nodes.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from dueby_api.gpu_profile import GPUProfile, ProfileSpec
from dueby_api.status import ProfileStatus
from dueby_operator.control.conditions import Say, merge_conditions
from dueby_operator.control.writes import Change
from dueby_operator.jobs import names
from dueby_operator.profiling.class_profiles import is_managed, subject_of
from dueby_operator.profiling.drift import Clock, Drift, clock_of, is_at_work
from dueby_operator.profiling.provenance import IMAGE_NAME

# Of nodes that a class's profile names.
MAX_NAMED = 5
Document = Mapping[str, Any]


def currents(
    profiles: Sequence[GPUProfile],
    drifted: Mapping[str, Drift | None],
    found: Mapping[tuple[str, str], Clock],
    batch: Iterable[Document],
    *,
    generations: Mapping[str, int],
    now: str,
    new: Collection[str] = (),
) -> list[Change]:
    """What brings the condition up to date, of nodes' profiles and their classes', where it isn't.

    Of `new` ones, which are being written, it is said at the next look.
    """
    at_work = {job["metadata"]["labels"][names.PROFILED]: job for job in batch if is_at_work(job)}
    said = {
        profile.name: _of_node(profile, drifted[profile.name], clock_of(profile, found), at_work)
        for profile in profiles
        if profile.name in drifted
    }
    said |= _of_classes(profiles, drifted)
    changes = []
    for profile in profiles:
        if profile.name not in said or profile.name in new:
            continue
        before = [c.document() for c in (profile.status or ProfileStatus()).conditions]
        conditions = merge_conditions(
            before, [said[profile.name]], generation=generations.get(profile.name, 1), now=now
        )
        if conditions != before:
            path = names.profiles_path(profile.name, "status")
            changes.append(Change(path=path, fields={"status": {"conditions": conditions}}))
    return changes


def _of_node(profile: GPUProfile, drift: Drift | None, clock: Clock | None, at_work: Mapping[str, Document]) -> Say:
    if drift is None:
        return Say(type="Current", status="True", reason="Measured", message=_facts(profile.spec))
    by_hand = "It was applied by hand and stands: apply a new one, or delete it to have its node measured."
    message = f"{drift.told}. {_next_step(clock, at_work) if is_managed(profile) else by_hand}"
    return Say(type="Current", status="False", reason=drift.reason, message=message)


def _next_step(clock: Clock | None, at_work: Mapping[str, Document]) -> str:
    if clock is None:
        return (
            "No CronJob measures it: name its model in the chart's profiler.models, or measure it by hand with "
            "`dueby profile` and apply the profile."
        )
    name, namespace, spec = clock.name, clock.document["metadata"]["namespace"], clock.document["spec"]
    if job := at_work.get(name):
        return f"It is being measured again by the Job {job['metadata']['name']} in the namespace {namespace}."
    by_hand = f"`kubectl create job --from=cronjob/{name} {name}-now -n {namespace}`"
    if spec.get("suspend"):
        return f"The CronJob that measures it is suspended. To measure it now: {by_hand}."
    when = f"{spec['schedule']} {spec.get('timeZone') or ''}".strip()
    return f"It will be measured again by the CronJob {name} ({when}). To measure it now: {by_hand}."


def _facts(spec: ProfileSpec) -> str:
    """What it was measured with, as far as it says so."""
    facts = {
        "driver": spec.device.driver,
        "image": spec.software.get(IMAGE_NAME),
        "torch": spec.software.get("torch"),
    }
    told = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    return f"Measured with {told}." if told else ""


def _of_classes(profiles: Sequence[GPUProfile], drifted: Mapping[str, Drift | None]) -> dict[str, Say]:
    """Of the classes' profiles that are made of nodes'; a slow node's own class is of that node."""
    classes = [profile for profile in profiles if profile.spec.device.node is None and is_managed(profile)]
    slow = {names.node_of(profile.spec.device_class) for profile in classes}
    nodes: dict[tuple[str, ...], list[GPUProfile]] = defaultdict(list)
    for profile in profiles:
        if profile.name in drifted:
            node = str(profile.spec.device.node)
            nodes[(node if node in slow else "", *subject_of(profile.spec))].append(profile)
    of_each = {p.name: nodes[(names.node_of(p.spec.device_class), *subject_of(p.spec))] for p in classes}
    return {name: _of_class(members, drifted) for name, members in of_each.items() if members}


def _of_class(nodes: Sequence[GPUProfile], drifted: Mapping[str, Drift | None]) -> Say:
    off = [(profile, drift) for profile in nodes if (drift := drifted[profile.name])]
    of_all = f"Of {len(nodes)} node{'s' if len(nodes) > 1 else ''}"
    if not off:
        return Say(type="Current", status="True", reason="Measured", message=f"{of_all}.")
    named = ", ".join(f"{profile.spec.device.node} ({drift.reason})" for profile, drift in off[:MAX_NAMED])
    more = f" and {len(off) - MAX_NAMED} more" if len(off) > MAX_NAMED else ""
    message = f"{of_all} {len(off)} changed since measured: {named}{more}. It follows them."
    return Say(type="Current", status="False", reason=off[0][1].reason, message=message)

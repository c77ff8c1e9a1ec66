"""The condition Current of GPUProfiles: whether one would measure the same now, why not, and what happens next. Pure.

A class's profile is as current as those of its nodes.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from dueby_api.conditions import Reason
from dueby_api.gpu_profile import GPUProfile, ProfileSpec
from dueby_api.status import ProfileStatus
from dueby_api.subject import Subject, node_of
from dueby_api.words import counted
from dueby_operator import paths
from dueby_operator.jobs import names
from dueby_operator.model.conditions import NewCondition, merge_conditions
from dueby_operator.model.writes import Change
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.profiling.drift import Clock, Drift, clock_of
from dueby_operator.profiling.known_profiles import is_managed, node_subject
from dueby_operator.profiling.provenance import IMAGE_NAME

# Of nodes that a class's profile names.
MAX_NAMED = 5


def profile_conditions(
    profiles: Sequence[GPUProfile],
    drifted: Mapping[str, Drift | None],
    by_device: Mapping[tuple[str, str], Clock],
    jobs: Mapping[str, str],
    *,
    now_us: int,
    new: Collection[str] = (),
) -> list[Change]:
    """Return what brings the condition up to date, of nodes' profiles and their classes'.

    `jobs` are the Jobs that are at work, by their CronJob. Profiles in `new` are being written, and their condition
    waits for the next pass.
    """
    current = {
        profile.name: _of_node(profile, drifted[profile.name], clock_of(profile, by_device), jobs)
        for profile in profiles
        if profile.name in drifted
    }
    current |= _of_classes(profiles, drifted)
    changes = []
    for profile in profiles:
        if profile.name not in current or profile.name in new:
            continue
        before = (profile.status or ProfileStatus()).conditions
        after = merge_conditions(
            before, [current[profile.name]], generation=profile.metadata.generation or 1, now_us=now_us
        )
        if after != before:
            conditions = [condition.document() for condition in after]
            path = paths.profiles_path(profile.name, "status")
            changes.append(Change(path=path, fields={"status": {"conditions": conditions}}))
    return changes


def jobs_at_work(jobs: Iterable[BatchJob]) -> dict[str, str]:
    """Return the names of the Jobs that have not ended, by their CronJob."""
    return {job.metadata.labels.get(names.PROFILED, ""): job.name for job in jobs if not job.is_over}


def _of_node(profile: GPUProfile, drift: Drift | None, clock: Clock | None, jobs: Mapping[str, str]) -> NewCondition:
    if drift is None:
        return NewCondition(reason=Reason.MEASURED, message=_facts(profile.spec))
    by_hand = "It was applied by hand and stands. Apply a new one, or delete it to have its node measured."
    next_step = _next_step(clock, jobs) if is_managed(profile) else by_hand
    return NewCondition(reason=drift.reason, message=f"{drift.message}. {next_step}")


def _next_step(clock: Clock | None, jobs: Mapping[str, str]) -> str:
    if clock is None:
        return (
            "No CronJob measures it. Name its model in the chart's profiler.models, or measure it by hand with "
            "`dueby profile` and apply the profile."
        )
    name, namespace, spec = clock.name, clock.cron.metadata.namespace, clock.cron.spec
    if name in jobs:
        return f"It is being measured again by the Job {jobs[name]} in the namespace {namespace}."
    by_hand = f"`kubectl create job --from=cronjob/{name} {name}-now -n {namespace}`"
    if spec.suspend:
        return f"The CronJob that measures it is suspended. To measure it now: {by_hand}."
    when = f"{spec.schedule} {spec.time_zone}".strip()
    return f"It will be measured again by the CronJob {name} ({when}). To measure it now: {by_hand}."


def _facts(spec: ProfileSpec) -> str:
    """Return what it was measured with, as far as it says so."""
    facts = {
        "driver": spec.device.driver,
        "image": spec.software.get(IMAGE_NAME),
        "torch": spec.software.get("torch"),
    }
    words = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    return f"Measured with {words}." if words else ""


def _of_classes(profiles: Sequence[GPUProfile], drifted: Mapping[str, Drift | None]) -> dict[str, NewCondition]:
    """Return the conditions of classes' profiles that are made of nodes'. A slow node's own class is of that node."""
    classes = [profile for profile in profiles if profile.spec.device.node is None and is_managed(profile)]
    slow = {node_of(profile.spec.device_class) for profile in classes}
    nodes: dict[tuple[str, Subject], list[GPUProfile]] = defaultdict(list)
    for profile in profiles:
        if profile.name in drifted:
            node = str(profile.spec.device.node)
            nodes[node if node in slow else "", node_subject(profile.spec)].append(profile)
    of_each = {p.name: nodes[node_of(p.spec.device_class), node_subject(p.spec)] for p in classes}
    return {name: _of_class(members, drifted) for name, members in of_each.items() if members}


def _of_class(nodes: Sequence[GPUProfile], drifted: Mapping[str, Drift | None]) -> NewCondition:
    off = [(profile, drift) for profile in nodes if (drift := drifted[profile.name])]
    of_all = f"Of {counted(len(nodes), 'node')}"
    if not off:
        return NewCondition(reason=Reason.MEASURED, message=f"{of_all}.")
    named = ", ".join(f"{profile.spec.device.node} ({drift.reason.word})" for profile, drift in off[:MAX_NAMED])
    more = f" and {len(off) - MAX_NAMED} more" if len(off) > MAX_NAMED else ""
    message = f"{of_all} {len(off)} changed since measured: {named}{more}. It follows them."
    return NewCondition(reason=off[0][1].reason, message=message)

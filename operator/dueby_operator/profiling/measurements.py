"""What comes of what nodes' pods have measured. Pure.

A pod that succeeded makes its node's GPUProfile, if it is newer than the one there, and the class's. Nothing is
remembered: names and `measuredAt` say what is done already.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, ProfileSpec
from dueby_api.inference_job import Model
from dueby_api.packed_profile import unpack_profile
from dueby_api.schema import LenientSpec, decode
from dueby_api.step_messages import ProfilingResult
from dueby_api.subject import Subject, model_subject, profile_subject
from dueby_operator.cluster.nodes import Node, has_class
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import Ending, ending_of, index_of, job_of
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.pods import Pod
from dueby_operator.profiling.class_profiles import profiles_of
from dueby_operator.profiling.known_profiles import node_subject, profile_name
from dueby_operator.profiling.provenance import image_name_of, image_of, measured_s, with_provenance, with_time_of


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a pod has measured."""

    spec: ProfileSpec
    node: Node


class ScheduledSubject(LenientSpec, frozen=True, kw_only=True):
    """What one index of a profiling Job measures."""

    model: Model


class ScheduledConfig(LenientSpec, frozen=True, kw_only=True):
    """What the pods of a profiling Job are told, as far as it is read again."""

    device_class: str
    workers: tuple[ScheduledSubject, ...]


def measurements_in(pods: Iterable[Pod], jobs: Iterable[BatchJob], nodes: Mapping[str, Node]) -> list[Measurement]:
    """Return what the pods of these Jobs have measured that succeeded, on nodes that exist."""
    ours = {(job.metadata.namespace, job.name): job.metadata.uid for job in jobs}
    measured = []
    for pod in pods:
        node, job = nodes.get(pod.spec.node_name), job_of(pod)
        # Anybody may put the label on a pod of theirs; it counts only as one of these Jobs'.
        uid = ours.get((pod.metadata.namespace, job))
        if uid is None or not pod.metadata.is_owned_by(uid) or node is None or pod.status.phase != "Succeeded":
            continue
        try:
            spec = _read(pod, job)
        except Invalid:  # cut off, or of an image that says something else
            continue
        spec = with_time_of(pod, spec)
        spec = with_provenance(spec, node=node, image=image_of(pod), image_name=image_name_of(pod))
        measured.append(Measurement(spec=spec, node=node))
    return measured


def store(measurements: Iterable[Measurement], profiles: Sequence[GPUProfile]) -> list[GPUProfile]:
    """Return the profiles of what is newer than what exists. What was applied by hand for the same device stands.

    Nothing comes of a device that its node no longer has: the profile of that, if there is one, is not among these.
    """
    newest: dict[tuple[Subject, str], Measurement] = {}
    still_there = (one for one in measurements if has_class(one.node, one.spec.device_class))
    for one in sorted(still_there, key=lambda one: measured_s(one.spec)):
        newest[node_subject(one.spec), one.node.name] = one
    before_of: dict[tuple[Subject, str], list[GPUProfile]] = defaultdict(list)
    for profile in profiles:
        before_of[node_subject(profile.spec), profile.spec.device.node or ""].append(profile)
    new: dict[str, GPUProfile] = {}
    for (subject, node), one in newest.items():
        name, before = profile_name(subject, node), before_of[subject, node]
        is_by_hand = any(p.name != name and p.spec.device.uuid == one.spec.device.uuid for p in before)
        is_new = all(measured_s(one.spec) > measured_s(p.spec) for p in before if p.name == name)
        if is_new and not is_by_hand:
            current = {profile.name: profile for profile in profiles} | new
            for profile in profiles_of(one.spec, node=one.node, profiles=list(current.values())):
                new[profile.name] = profile
    return list(new.values())


def read_measured(ending: Ending, *, device_class: str, subject: str) -> ProfileSpec:
    """Return the profile in a pod's last words. Raise Invalid unless it is of the class and of what was asked for.

    A `subject` whose engine is `auto` is any engine's.
    """
    result = ending.read(ProfilingResult)
    if result is None:
        raise Invalid("profile", "its pod has left something else")
    spec = unpack_profile(result.profile, origin="profile")
    about = profile_subject(spec).about
    if spec.device_class != device_class or subject not in (str(about), str(replace(about, engine="auto"))):
        raise Invalid("profile", f"is of {spec.device_class} and {about.sentence}")
    return spec


def _read(pod: Pod, job: str) -> ProfileSpec:
    """Return the profile in the pod's last words, if it is of what its index was told to measure."""
    config, index = decode(ScheduledConfig, pod.metadata.annotations.get(names.CONFIG, "")), index_of(pod)
    if index is None or index >= len(config.workers):
        raise Invalid("profile", "is missing")
    subject = str(model_subject(config.workers[index].model))
    return read_measured(ending_of([pod], job), device_class=config.device_class, subject=subject)

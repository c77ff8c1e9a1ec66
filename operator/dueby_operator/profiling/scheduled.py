"""A profiler on each node with GPUs: which CronJobs there are to be, and what comes of what they have measured. Pure.

    nodes, jobs, settings     a CronJob for each node and class of its devices; its subjects are what jobs use, and what
                              the chart's values name
    a pod that succeeded      its node's GPUProfile, if it is newer than the one there, and the class's

Nothing is remembered: what there should be is compared with what there is, so a pass over an unchanged cluster writes
nothing. Names, digests and `measuredAt` say what is done already.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from dueby_api.classifiers import is_own
from dueby_api.engines import runs_on_cpu
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, ProfileSpec
from dueby_api.inference_job import InferenceJob, Model
from dueby_api.packed_profile import unpack_profile
from dueby_api.schema import LenientSpec, decode
from dueby_api.step_messages import ProfilingResult
from dueby_api.subject import Subject, class_of, model_subject, node_of, profile_subject
from dueby_operator import paths
from dueby_operator.cluster.nodes import Node, has_class
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import ending_of, index_of, job_of
from dueby_operator.model.writes import Add, Change, Delete
from dueby_operator.objects.jobs import BatchJob, CronJob
from dueby_operator.objects.pods import Pod
from dueby_operator.profiling.class_profiles import profiles_of
from dueby_operator.profiling.managed import node_subject, profile_name
from dueby_operator.profiling.provenance import image_name_of, image_of, measured_s, with_provenance, with_time_of
from dueby_operator.profiling.release_pods import subject_of
from dueby_operator.profiling.scheduled_jobs import cron_job
from dueby_operator.settings import OperatorSettings, ProfilerSettings
from dueby_planner.profiles.class_profiles import matching

Document = dict[str, Any]


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


def subjects_of(jobs: Iterable[InferenceJob], node: Node, device_class: str, models: Iterable[Model]) -> list[Model]:
    """Return what is measured on the node's devices of the class, each once, in the order of their names.

    Networks of jobs' own are not there: they lie in the jobs' volumes and images.
    """
    used = [job.spec.model for job in jobs if _may_use(job, node, device_class) and not is_own(job.spec.model.name)]
    bare = map(subject_of, [*models, *used])
    by_name = {str(model_subject(model)): model for model in bare}
    return [by_name[name] for name in sorted(by_name)]


def follow_nodes(
    nodes: Iterable[Node],
    jobs: Sequence[InferenceJob],
    settings: OperatorSettings,
    profiler: ProfilerSettings,
    *,
    profiles: Iterable[GPUProfile],
    existing: Iterable[CronJob],
) -> list[Add | Change | Delete]:
    """Return the writes that turn the existing CronJobs into the desired ones."""
    wanted = {made["metadata"]["name"]: made for made in _wanted(nodes, jobs, settings, profiler, profiles)}
    # Who else uses the label keeps what is theirs.
    found = {cron.name: cron for cron in existing if names.is_managed(cron.metadata.labels)}
    path = paths.cron_jobs_path(profiler.namespace)
    return [
        *(Delete(path=f"{path}/{name}", uid=found[name].metadata.uid) for name in sorted(found.keys() - wanted.keys())),
        *(Add(kind=path, document=made) for name, made in wanted.items() if name not in found),
        *(
            # What people have set besides, such as `suspend`, stays.
            Change(
                path=f"{path}/{name}",
                fields={"metadata": _changing(made), "spec": made["spec"]},
                uid=found[name].metadata.uid,
            )
            for name, made in wanted.items()
            if name in found and found[name].metadata.annotations.get(names.DIGEST, "") != _digest_of(made)
        ),
    ]


def measurements_in(pods: Iterable[Pod], jobs: Iterable[BatchJob], nodes: Mapping[str, Node]) -> list[Measurement]:
    """Return what the pods of these Jobs have measured that succeeded, on nodes that exist."""
    ours = {(job.metadata.namespace, job.name): job.metadata.uid for job in jobs}
    found = []
    for pod in pods:
        node, job = nodes.get(pod.spec.node_name), job_of(pod)
        # Anybody may put the label on a pod of theirs; it counts only as one of these Jobs'.
        uid = ours.get((pod.metadata.namespace, job))
        if uid is None or not pod.metadata.is_owned_by(uid) or node is None or pod.status.phase != "Succeeded":
            continue
        try:
            spec = _checked(pod, job)
        except Invalid:  # cut off, or of an image that says something else
            continue
        spec = with_time_of(pod, spec)
        spec = with_provenance(spec, node=node, image=image_of(pod), image_name=image_name_of(pod))
        found.append(Measurement(spec=spec, node=node))
    return found


def store(measurements: Iterable[Measurement], profiles: Sequence[GPUProfile]) -> list[GPUProfile]:
    """Return the profiles of what is newer than what exists. What was applied by hand for the same device stands.

    Nothing comes of a device that its node no longer has: the profile of that, if there is one, is not among these.
    """
    newest: dict[tuple[Subject, str], Measurement] = {}
    still_there = (one for one in measurements if has_class(one.node, one.spec.device_class))
    for one in sorted(still_there, key=lambda one: measured_s(one.spec)):
        newest[node_subject(one.spec), one.node.name] = one
    known: dict[tuple[Subject, str], list[GPUProfile]] = defaultdict(list)
    for profile in profiles:
        known[node_subject(profile.spec), profile.spec.device.node or ""].append(profile)
    made: dict[str, GPUProfile] = {}
    for (subject, node), one in newest.items():
        own, before = profile_name(subject, node), known[subject, node]
        is_by_hand = any(p.name != own and p.spec.device.uuid == one.spec.device.uuid for p in before)
        is_new = all(measured_s(one.spec) > measured_s(p.spec) for p in before if p.name == own)
        if is_new and not is_by_hand:
            there = {profile.name: profile for profile in profiles} | made
            for profile in profiles_of(one.spec, node=one.node, profiles=list(there.values())):
                made[profile.name] = profile
    return list(made.values())


def _wanted(
    nodes: Iterable[Node],
    jobs: Sequence[InferenceJob],
    settings: OperatorSettings,
    profiler: ProfilerSettings,
    profiles: Iterable[GPUProfile],
) -> Iterable[Document]:
    if not profiler.enabled:
        return
    measured: dict[tuple[str, str], list[GPUProfile]] = defaultdict(list)
    for profile in profiles:
        measured[profile.spec.device.node or "", profile.spec.device_class].append(profile)
    for node in sorted(nodes, key=lambda node: node.name):
        for own_class, device in sorted(node.devices.items()):
            # A slow node is measured as what it was: only so it can show that it has recovered.
            device_class = class_of(own_class)
            subjects = subjects_of(jobs, node, device_class, profiler.models)
            # A run that its time limit ends goes on the next time where it was.
            subjects.sort(key=partial(_last_measured_s, measured[node.name, device_class]))
            if device.count and subjects:
                yield cron_job(node, device_class, device, subjects, settings, profiler)


def _last_measured_s(profiles: Iterable[GPUProfile], model: Model) -> float:
    """Return when the model's subject was measured last; 0 for never."""
    return max((measured_s(profile.spec) for profile in matching(profiles, model)), default=0.0)


def _may_use(job: InferenceJob, node: Node, device_class: str) -> bool:
    """Return whether the job's workers may be on the node's devices.

    A job with an engine for CPUs must name the class for that.
    """
    allowed = {class_of(name) for name in job.spec.gpus.classes if node_of(name) in ("", node.name)}
    is_class = device_class in allowed if job.spec.gpus.classes else not runs_on_cpu(job.spec.model.engine)
    selector = job.spec.worker.node_selector or {}
    return is_class and all(node.labels.get(name) == value for name, value in selector.items())


def _changing(document: Document) -> Document:
    return {name: document["metadata"][name] for name in ("labels", "annotations", "ownerReferences")}


def _digest_of(document: Document) -> str:
    return str(document["metadata"]["annotations"][names.DIGEST])


def _checked(pod: Pod, job: str) -> ProfileSpec:
    """Return the profile in the pod's last words, if it is of what the pod was told to measure."""
    config = decode(ScheduledConfig, pod.metadata.annotations.get(names.CONFIG, ""))
    index, result = index_of(pod), ending_of([pod], job).read(ProfilingResult)
    if result is None or index is None or index >= len(config.workers):
        raise Invalid("profile", "is missing")
    spec = unpack_profile(result.profile, origin="profile")
    about, asked = profile_subject(spec), config.workers[index].model
    if (spec.device_class, spec.model.name, spec.model.image_size, spec.model.precision) != (
        config.device_class,
        asked.name,
        asked.image_size,
        asked.precision,
    ):
        raise Invalid("profile", f"is of {spec.device_class} and {about.about.sentence}")
    return spec

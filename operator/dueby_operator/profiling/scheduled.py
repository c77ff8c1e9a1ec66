"""A profiler on each node with GPUs: which CronJobs there are to be, and what comes of what they have measured. Pure.

nodes, jobs, setting     a CronJob for each node and class of its devices; its subjects are what jobs use, and what the
                         chart's values name
a pod that succeeded     its node's GPUProfile, if it is newer than the one there, and the class's

Nothing is remembered: what there should be is compared with what there is, so a look at an unchanged cluster writes
nothing. Names, digests and `measuredAt` say what is done already.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from dueby_api.engines import runs_on_cpu
from dueby_api.errors import DueByError, Invalid
from dueby_api.gpu_profile import GPUProfile, ProfileSpec, parse_profile
from dueby_api.inference_job import InferenceJob, Model, parse_job
from dueby_api.packed_profile import unpack_profile
from dueby_operator.cluster.nodes import Node
from dueby_operator.control.writes import Add, Change, Delete, Put
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import Setting
from dueby_operator.jobs.pod_state import ending_of
from dueby_operator.profiling.class_profiles import subject_of as subject_of_profile
from dueby_operator.profiling.documents import profiles_of
from dueby_operator.profiling.on_demand_jobs import subject_of
from dueby_operator.profiling.provenance import image_name_of, image_of, measured_s, with_origin
from dueby_operator.profiling.scheduled_jobs import cron_job
from dueby_operator.profiling.settings import Profiler
from dueby_planner.profiles.class_profiles import matching

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a pod has measured."""

    spec: ProfileSpec
    node: Node


def read_jobs(documents: Iterable[Document]) -> list[InferenceJob]:
    """Those that make sense."""
    found = []
    for document in documents:
        try:
            found.append(parse_job(document))
        except DueByError:  # its own condition says so
            continue
    return found


def subjects_of(jobs: Iterable[InferenceJob], node: Node, device_class: str, models: Iterable[Model]) -> list[Model]:
    """What is measured of the node's devices of the class, each once, in the order of their names."""
    used = [job.spec.model for job in jobs if _may_use(job, node, device_class)]
    bare = (model.replace(weights="none", labels=None, classes=None) for model in [*models, *used])
    by_name = {subject_of(model): model for model in bare}
    return [by_name[name] for name in sorted(by_name)]


def follow_nodes(
    nodes: Iterable[Node],
    jobs: Sequence[InferenceJob],
    setting: Setting,
    profiler: Profiler,
    *,
    profiles: Iterable[GPUProfile],
    there: Iterable[Document],
) -> list[Add | Change | Delete]:
    """What makes the CronJobs those that there should be, of those `there`; what was measured longest ago is first."""
    wanted = {made["metadata"]["name"]: made for made in _wanted(nodes, jobs, setting, profiler, profiles)}
    found = {document["metadata"]["name"]: document for document in there}
    path = names.cron_jobs_path(profiler.namespace)
    return [
        *(Delete(path=f"{path}/{name}") for name in sorted(found.keys() - wanted.keys())),
        *(Add(kind=path, document=made) for name, made in wanted.items() if name not in found),
        *(
            # What people have set besides, such as `suspend`, stays.
            Change(path=f"{path}/{name}", fields={"metadata": _changing(made), "spec": made["spec"]})
            for name, made in wanted.items()
            if name in found and _digest_of(found[name]) != _digest_of(made)
        ),
    ]


def found_in(pods: Iterable[Mapping[str, Any]], batch: Iterable[Document], nodes: Mapping[str, Node]) -> list[Finding]:
    """What the pods of these Jobs have measured that succeeded, on nodes that are there."""
    ours = {(job["metadata"]["namespace"], job["metadata"]["name"]) for job in batch}
    found = []
    for pod in pods:
        metadata, node = pod["metadata"], nodes.get(pod["spec"].get("nodeName", ""))
        job = metadata["labels"].get(names.JOB_OF_POD, "")
        # Anybody may put the label on a pod of theirs; it counts only as one of these Jobs'.
        is_ours = (metadata["namespace"], job) in ours
        if not is_ours or node is None or pod.get("status", {}).get("phase") != "Succeeded":
            continue
        try:
            spec = _checked(pod, job)
        except (Invalid, KeyError, ValueError, IndexError):  # cut off, or of an image that says something else
            continue
        found.append(
            Finding(spec=with_origin(spec, node=node, image=image_of(pod), image_name=image_name_of(pod)), node=node)
        )
    return found


def store(found: Iterable[Finding], profiles: Sequence[GPUProfile]) -> list[Put]:
    """The profiles of what is newer than what is there; what was applied by hand for the same device stands."""
    newest: dict[tuple[str, ...], Finding] = {}
    for one in sorted(found, key=lambda one: measured_s(one.spec)):
        newest[(*subject_of_profile(one.spec), one.node.name)] = one
    known: dict[tuple[str, ...], list[GPUProfile]] = defaultdict(list)
    for profile in profiles:
        known[(*subject_of_profile(profile.spec), profile.spec.device.node or "")].append(profile)
    puts: dict[str, Put] = {}
    for key, one in newest.items():
        own, before = names.profile_name(*key), known[key]
        is_by_hand = any(p.name != own and p.spec.device.uuid == one.spec.device.uuid for p in before)
        is_new = all(measured_s(one.spec) > measured_s(p.spec) for p in before if p.name == own)
        if is_new and not is_by_hand:
            written = [parse_profile(put.document) for put in puts.values()]
            there = {profile.name: profile for profile in [*profiles, *written]}
            made = profiles_of(one.spec, node=one.node, profiles=list(there.values()))
            puts |= {put.document["metadata"]["name"]: put for put in made}
    return list(puts.values())


def _wanted(
    nodes: Iterable[Node],
    jobs: Sequence[InferenceJob],
    setting: Setting,
    profiler: Profiler,
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
            device_class = names.class_of(own_class)
            subjects = subjects_of(jobs, node, device_class, profiler.models)
            # A run that its limit ends goes on the next time where it was.
            subjects.sort(key=partial(_last_measured_s, measured[node.name, device_class]))
            if device.count and subjects:
                yield cron_job(node, device_class, device, subjects, setting, profiler)


def _last_measured_s(profiles: Iterable[GPUProfile], model: Model) -> float:
    """When what the model's subject is about was measured last; 0 for never."""
    return max((measured_s(profile.spec) for profile in matching(profiles, model)), default=0.0)


def _may_use(job: InferenceJob, node: Node, device_class: str) -> bool:
    """Whether the job's workers may be on the node's devices; an engine on CPUs must ask for it by the class's name."""
    allowed = {names.class_of(name) for name in job.spec.gpus.classes if names.node_of(name) in ("", node.name)}
    is_class = device_class in allowed if job.spec.gpus.classes else not runs_on_cpu(job.spec.model.engine)
    return is_class and all(
        node.labels.get(name) == value for name, value in (job.spec.worker.node_selector or {}).items()
    )


def _changing(document: Document) -> Document:
    return {name: document["metadata"][name] for name in ("labels", "annotations", "ownerReferences")}


def _digest_of(document: Document) -> str:
    return str(document["metadata"].get("annotations", {}).get(names.DIGEST, ""))


def _checked(pod: Mapping[str, Any], job: str) -> ProfileSpec:
    """The profile in the pod's last words, if it is of what the pod was told to measure."""
    told = json.loads(pod["metadata"]["annotations"][names.CONFIG])
    model = told["workers"][int(pod["metadata"]["labels"][names.INDEX_OF_POD])]["model"]
    spec = unpack_profile(str(ending_of([pod], job).words["profile"]), origin="profile")
    measured = spec.device_class, spec.model.name, spec.model.image_size, spec.model.precision
    if measured != (told["deviceClass"], model["name"], model["imageSize"], model["precision"]):
        raise Invalid("profile", f"is of {', '.join(map(str, measured))}")
    return spec

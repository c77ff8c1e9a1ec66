"""The CronJobs that measure nodes: one for each node and class of its devices, with an index for each subject. Pure.

Their subjects are what jobs use, and what the chart's values name. What there should be is compared with what there is,
by a digest, so a pass over an unchanged cluster writes nothing. A pod has one device, since a Job has one template and
a template asks for one resource: a node with several classes, such as slices of GPUs, has as many CronJobs.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from dueby_api.classifiers import is_own
from dueby_api.engines import runs_on_cpu
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob, Model
from dueby_api.subject import class_of, model_subject, node_of
from dueby_operator import paths
from dueby_operator.cluster.nodes import DeviceKind, Node
from dueby_operator.jobs import names
from dueby_operator.model.writes import Add, Change, Delete
from dueby_operator.objects.jobs import CronJob
from dueby_operator.profiling.provenance import measured_s
from dueby_operator.profiling.release_pods import Measuring, measuring_job, subject_of
from dueby_operator.settings import OperatorSettings, ProfilerSettings, ProfilingWindow
from dueby_planner.profiles.class_profiles import matching

# A CronJob that could not begin for this long, such as on a node that was off, waits for its next time.
LATEST_START_S = 3600
# What a run leaves is read within seconds; it is kept for a day for people.
KEPT_S = 86_400
# What the pods are told is an annotation, and all of those have room for 256 KiB together: a name of 63 letters of
# another script is 378 as JSON. A run measures about 80 subjects in its hour.
MAX_SUBJECTS = 300
Document = dict[str, Any]


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
    wanted = {cron_job["metadata"]["name"]: cron_job for cron_job in _wanted(nodes, jobs, settings, profiler, profiles)}
    # Who else uses the label keeps what is theirs.
    ours = {cron.name: cron for cron in existing if names.is_managed(cron.metadata.labels)}
    path = paths.cron_jobs_path(profiler.namespace)
    return [
        *(Delete(path=f"{path}/{name}", uid=ours[name].metadata.uid) for name in sorted(ours.keys() - wanted.keys())),
        *(Add(kind=path, document=cron_job) for name, cron_job in wanted.items() if name not in ours),
        *(
            # What people have set besides, such as `suspend`, stays.
            Change(
                path=f"{path}/{name}",
                fields={"metadata": _changing(cron_job), "spec": cron_job["spec"]},
                uid=ours[name].metadata.uid,
            )
            for name, cron_job in wanted.items()
            if name in ours and ours[name].metadata.annotations.get(names.DIGEST, "") != _digest_of(cron_job)
        ),
    ]


def cron_job(
    node: Node,
    device_class: str,
    device: DeviceKind,
    subjects: Sequence[Model],
    settings: OperatorSettings,
    profiler: ProfilerSettings,
) -> Document:
    """Return the CronJob, with the digest by which a change of it is noticed.

    Of too many subjects the first are measured; they come in the order of when they were measured last.
    """
    name = names.node_profiling_name(node.name, device_class)
    labels = {**names.MANAGED, names.PROFILED: name}
    about = {names.DEVICE_CLASS: device_class, names.NODE: node.name}
    measuring = Measuring(
        name=name,
        subjects=subjects[:MAX_SUBJECTS],
        device_class=device_class,
        device=replace(device, selector={}, node=node.name),
        priority=profiler.name,
        labels=labels,
        about=about,
        limits={
            "backoffLimitPerIndex": 0,  # a subject that can't be measured leaves the others be
            "activeDeadlineSeconds": profiler.limit_s,
            "ttlSecondsAfterFinished": KEPT_S,
        },
    )
    document: Document = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": name,
            "namespace": profiler.namespace,
            "labels": labels,
            "annotations": about,
            "ownerReferences": [names.node_owner(node.name, node.uid)],
        },
        "spec": {
            "schedule": schedule(profiler.window, name),
            "timeZone": profiler.window.time_zone or None,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": LATEST_START_S,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": measuring_job(measuring, settings, profiler),
        },
    }
    document["metadata"]["annotations"] = {**about, names.DIGEST: _digest(document)}
    return document


def job_now(cron: CronJob, name: str, *, reason: str) -> Document:
    """Return a Job of the CronJob's template, as `kubectl create job --from` makes it."""
    template = cron.spec.job_template
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": cron.name, "uid": cron.metadata.uid}
    annotations = {"cronjob.kubernetes.io/instantiate": "manual", names.REASON: reason}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": cron.metadata.namespace,
            "labels": dict(template.metadata.labels),
            "annotations": {**template.metadata.annotations, **annotations},
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": template.spec,
    }


def schedule(window: ProfilingWindow, name: str) -> str:
    """Return a minute of the window, by the name, so that not all nodes begin at once."""
    offset = int(hashlib.sha256(name.encode()).hexdigest(), 16) % (60 * window.hours)
    hour, minute = divmod((window.start_minutes + offset) % (24 * 60), 60)
    return f"{minute} {hour} * * {window.days}"


def _digest(document: Document) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


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

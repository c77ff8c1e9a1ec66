"""Profiling on nodes: what is to be written of profiles, their conditions, and the CronJobs that measure. Pure.

So many jobs of each namespace have their models measured on a schedule that no tenant fills the night. Jobs that are
under way come first, the oldest before the others, so that nobody's new jobs push out what is measured already; then
jobs that are complete, the latest first, since whoever runs a job each day has none under way at night. A job that
failed or can't be read has used no model.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dueby_api.gpu_profile import GPUProfile, images_per_second
from dueby_api.inference_job import InferenceJob
from dueby_api.status import ProfileStatus
from dueby_api.subject import ModelSubject, model_subject
from dueby_operator import paths
from dueby_operator.cluster.nodes import Node, count_devices
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.writes import Add, Change, Delete, Put, Write
from dueby_operator.objects.jobs import BatchJob, CronJob
from dueby_operator.objects.pods import Pod
from dueby_operator.profiling.drift import clocks, drifts, measure_again
from dueby_operator.profiling.measurements import measurements_in, store
from dueby_operator.profiling.profile_condition import jobs_at_work, profile_conditions
from dueby_operator.profiling.scheduled_jobs import follow_nodes
from dueby_operator.settings import OperatorSettings, ProfilerSettings

# Of each namespace. A subject takes a minute or so of each node's run, which ends after an hour by default.
MAX_SUBJECTS = 8
# Writes of one pass. A model that a first job uses on a thousand nodes should hold up nobody.
MAX_WRITES = 64


@dataclass(frozen=True, kw_only=True)
class ProfilingSnapshot:
    """What there is of profiling on nodes."""

    settings: OperatorSettings
    profiler: ProfilerSettings
    cron_jobs: Sequence[CronJob] = ()
    jobs: Sequence[BatchJob] = ()
    """Jobs of those, and Jobs that were made out of turn."""
    pods: Sequence[Pod] = ()
    """Pods with the label of profiling, of whichever namespace."""


def decide_upkeep(
    snapshot: ProfilingSnapshot,
    *,
    profiles: Sequence[GPUProfile],
    nodes: Mapping[str, Node],
    jobs: Sequence[InferenceJob],
    now_us: int,
) -> tuple[Write, ...]:
    """Return what is to be written: profiles and their conditions, CronJobs, and Jobs out of turn."""
    stored = store(measurements_in(snapshot.pods, snapshot.jobs, nodes), profiles)
    new = {profile.name: profile for profile in stored}
    # What was known of a profile is known of the one that takes its place.
    current = [new.get(profile.name, profile).replace(status=profile.status) for profile in profiles]
    following = follow_nodes(
        nodes.values(), jobs, snapshot.settings, snapshot.profiler, profiles=current, existing=snapshot.cron_jobs
    )
    # A CronJob that is about to change would measure with what it was made of before.
    changing = {write.path.rpartition("/")[2] for write in following if isinstance(write, Change | Delete)}
    by_device = clocks(cron for cron in snapshot.cron_jobs if cron.name not in changing)
    drifted = drifts(current, nodes, image=snapshot.settings.image)
    off = [(profile, drift) for profile in current if (drift := drifted.get(profile.name))]
    again = measure_again(off, by_device, snapshot.jobs, profiles=(*current, *stored), now_us=now_us)
    conditions = profile_conditions(
        current, drifted, by_device, jobs_at_work(snapshot.jobs) | _starting(again), now_us=now_us, new=new
    )
    puts = [Put(kind=paths.profiles_path(), document=profile.document()) for profile in stored]
    return (*puts, *following, *again, *conditions)[:MAX_WRITES]


def profile_columns(profiles: Iterable[GPUProfile], nodes: Iterable[Node]) -> list[Change]:
    """Return what brings the columns of profiles up to date: `status.imagesPerSecond`, and of a class its `devices`.

    `dueby calendar` has the devices from there: who may read profiles may seldom read nodes.
    """
    counts = count_devices(nodes)
    changes = []
    for profile in profiles:
        shown = profile.status or ProfileStatus()
        rate, devices = round(images_per_second(profile.spec)), shown.devices
        if not profile.spec.device.node:
            devices = counts[profile.spec.device_class]
        if (rate, devices) != (shown.images_per_second, shown.devices):
            fields = {"imagesPerSecond": rate, **({} if devices is None else {"devices": devices})}
            changes.append(Change(path=paths.profiles_path(profile.name, "status"), fields={"status": fields}))
    return changes[:MAX_WRITES]


def _starting(writes: Sequence[Add]) -> dict[str, str]:
    """Return the Jobs that are being made now, by their CronJob."""
    starting = {}
    for add in writes:
        metadata = add.document["metadata"]
        starting[metadata["ownerReferences"][0]["name"]] = metadata["name"]
    return starting


def jobs_to_measure_for(open_jobs: Iterable[JobSnapshot], complete: Iterable[JobSnapshot]) -> list[InferenceJob]:
    """Return the jobs whose models are measured on a schedule, of at most eight subjects in each namespace."""
    oldest_first = sorted(open_jobs, key=lambda job: (job.created_us, job.uid))
    latest_first = sorted(complete, key=lambda job: (-job.created_us, job.uid))
    subjects: dict[str, set[ModelSubject]] = defaultdict(set)
    manifests = []
    for job in [*oldest_first, *latest_first]:
        if isinstance(job.manifest, InferenceJob):
            of_namespace, subject = subjects[job.namespace], model_subject(job.manifest.spec.model)
            if subject in of_namespace or len(of_namespace) < MAX_SUBJECTS:
                of_namespace.add(subject)
                manifests.append(job.manifest)
    return manifests

"""What tests of profiling on nodes are made of: a cluster in which everything that is decided is done at once."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dueby_api.gpu_profile import GPUProfile, ProfileSpec, parse_profile
from dueby_api.inference_job import InferenceJob, Model
from dueby_api.status import Condition, ProfileStatus, read_status
from dueby_api.units import format_time, to_micros
from dueby_operator import paths
from dueby_operator.cluster.nodes import Node, set_apart
from dueby_operator.jobs import names
from dueby_operator.model.writes import Add, Change, Delete, Put, Write
from dueby_operator.objects.jobs import BatchJob, CronJob
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from dueby_operator.profiling.class_profiles import keep_profiles
from dueby_operator.profiling.scheduled_jobs import job_now
from dueby_operator.profiling.upkeep import ProfilingSnapshot, decide_upkeep
from dueby_operator.settings import CacheVolume, OperatorSettings, ProfilerSettings
from support.decisions import SETTINGS, job
from support.profiling import measured, words
from support.stored import raw

NAMESPACE = "dueby"
MODEL = Model(name="efficientnet_lite0")
PROFILER = ProfilerSettings(namespace=NAMESPACE, name="dueby-profiler", models=(MODEL,))
NIGHT = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
Document = dict[str, Any]


def spec_of(device_class: str, *, days: int = 0, **changes: Any) -> ProfileSpec:
    """What a pod measures on a night, or so many days after it."""
    return measured(device_class, measured_at=NIGHT + timedelta(days=days), **changes).spec


@dataclass(kw_only=True)
class Site:
    """A cluster with the chart's profiler, as far as nodes and profiles are concerned."""

    nodes: list[Node]
    jobs: list[Document] = field(default_factory=list)
    profiler: ProfilerSettings = PROFILER
    image: str = SETTINGS.image
    runtime_class: str = ""
    cache: CacheVolume | None = None
    profiles: dict[str, GPUProfile] = field(default_factory=dict)
    cron_jobs: dict[str, Document] = field(default_factory=dict)
    batch: dict[str, Document] = field(default_factory=dict)
    pods: list[Document] = field(default_factory=list)
    now_us: int = to_micros(NIGHT + timedelta(days=2))
    generation: int = 1
    """Of every profile."""
    mirror: str = ""
    """What the cluster puts before the name of every image, as it makes pods."""

    @property
    def settings(self) -> OperatorSettings:
        """The operator's settings, with the profiler."""
        return OperatorSettings(
            image=self.image, profiler=self.profiler, runtime_class=self.runtime_class, cache=self.cache
        )

    @property
    def snapshot(self) -> ProfilingSnapshot:
        """What the API server shows of profiling on nodes."""
        return ProfilingSnapshot(
            settings=self.settings,
            profiler=self.profiler,
            cron_jobs=[parse(CronJob, cron) for cron in self.cron_jobs.values()],
            jobs=[parse(BatchJob, batch) for batch in self.batch.values()],
            pods=[parse(Pod, pod) for pod in self.pods],
        )

    def reconcile(self) -> list[Write]:
        """Decide once, as every pass does: first classes follow their nodes. Carry out what was decided."""
        nodes = {node.name: node for node in self.nodes}
        kept = keep_profiles([self._read_profile(name) for name in sorted(self.profiles)], nodes)
        manifests = [job(document).manifest for document in self.jobs]
        upkeep = decide_upkeep(
            self.snapshot,
            profiles=kept.profiles,
            nodes=set_apart(nodes, kept.slow),
            jobs=[manifest for manifest in manifests if isinstance(manifest, InferenceJob)],
            now_us=self.now_us,
        )
        writes: list[Write] = [
            *(Put(kind=paths.profiles_path(), document=profile.document()) for profile in kept.new),
            *(Delete(path=paths.profiles_path(name), uid="") for name in kept.gone),
            *upkeep,
        ]
        for write in writes:
            self._carry_out(write)
        return writes

    def settle(self) -> None:
        """Reconcile until there is nothing left to do, which is soon."""
        for _ in range(3):
            if not self.reconcile():
                return
        assert not self.reconcile()

    def measure(self, spec: ProfileSpec, *, node: str, job: str = "", **changes: Any) -> None:
        """A pod of the node's CronJob has measured this, in a Job of that name."""
        (cron,) = [
            cron
            for cron in self.cron_jobs.values()
            if cron["metadata"]["annotations"][names.NODE] == node
            and cron["metadata"]["annotations"][names.DEVICE_CLASS] == spec.device_class
        ]
        name = job or f"{cron['metadata']['name']}-1"
        if name not in self.batch:
            self.batch[name] = job_now(parse(CronJob, cron), name, reason="")
            self.batch[name]["metadata"]["uid"] = f"uid-of-{name}"
            del self.batch[name]["metadata"]["annotations"][names.REASON]
        pod = ended(self.batch[name], spec, node=node, **changes)
        containers = [{**each, "image": f"{self.mirror}{each['image']}"} for each in pod["spec"]["containers"]]
        self.pods.append({**pod, "spec": {**pod["spec"], "containers": containers}})

    def end(self, job: str) -> None:
        """The Job is complete."""
        self.batch[job]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}

    def condition(self, profile: str) -> Condition:
        """The profile's only condition."""
        (found,) = (self.profiles[profile].status or ProfileStatus()).conditions
        return found

    def _read_profile(self, name: str) -> GPUProfile:
        """The profile as the API server shows it, which counts the versions of its spec."""
        found = self.profiles[name]
        return found.replace(metadata=found.metadata.replace(generation=self.generation))

    def _carry_out(self, write: Write) -> None:
        name = write.document["metadata"]["name"] if isinstance(write, Add | Put) else ""
        match write:
            case Put():
                before = self.profiles.get(name)
                self.profiles[name] = parse_profile(write.document).replace(status=before.status if before else None)
            case Add() if write.document["kind"] == "CronJob":
                document = write.document
                self.cron_jobs[name] = document | {"metadata": {**document["metadata"], "uid": f"uid-of-{name}"}}
            case Add():
                made = {"uid": f"uid-of-{name}", "creationTimestamp": format_time(self.now_us)}
                self.batch[name] = write.document | {"metadata": {**write.document["metadata"], **made}}
            case Change() if write.path.endswith("/status"):
                name = write.path.split("/")[-2]
                profile = self.profiles[name]
                old = (profile.status or ProfileStatus()).document()
                status = read_status(ProfileStatus, raw({**old, **write.fields["status"]}))
                self.profiles[name] = profile.replace(status=status)
            case Change():
                found = self.cron_jobs[write.path.rpartition("/")[2]]
                found["metadata"] |= write.fields["metadata"]
                found["spec"] |= write.fields["spec"]
            case Delete() if "/gpuprofiles/" in write.path:
                del self.profiles[write.path.rpartition("/")[2]]
            case Delete():
                del self.cron_jobs[write.path.rpartition("/")[2]]


def only_cron(site: Site) -> Document:
    """Return the only CronJob there is."""
    (found,) = site.cron_jobs.values()
    return found


def ended(
    job: Document, spec: ProfileSpec, *, node: str, index: int = 0, image: str = DIGEST, **changes: Any
) -> Document:
    """The Job's pod that has measured this."""
    template, name = job["spec"]["template"], job["metadata"]["name"]
    labels = {**template["metadata"]["labels"], names.JOB_OF_POD: name, names.INDEX_OF_POD: str(index)}
    terminated = {"exitCode": 0, "message": words(measured().replace(spec=spec))}
    status = {"name": "dueby", "imageID": f"docker.io/dueby/worker@{image}", "state": {"terminated": terminated}}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]}
    metadata = {"namespace": NAMESPACE, "name": f"{name}-{index}", "labels": labels, "ownerReferences": [owner]}
    found = {
        "metadata": {**template["metadata"], **metadata},
        "spec": {**template["spec"], "nodeName": node},
        "status": {"phase": "Succeeded", "containerStatuses": [status]},
    }
    return {**found, **changes}

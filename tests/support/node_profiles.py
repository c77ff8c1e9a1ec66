"""What tests of profiling on nodes are made of: a cluster in which what was decided is done, look by look."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dueby_api.gpu_profile import GPUProfile, ProfileSpec, parse_profile
from dueby_api.inference_job import Model
from dueby_api.status import ProfileStatus, read_status
from dueby_operator.cluster.nodes import Node, set_apart
from dueby_operator.control.world import World
from dueby_operator.control.writes import Add, Change, Delete, Put, Write
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import Setting
from dueby_operator.profiling.class_profiles import keep_up
from dueby_operator.profiling.scheduled_jobs import job_now
from dueby_operator.profiling.scheduled_loop import decide_on_nodes
from dueby_operator.profiling.settings import Profiler
from support.case import NOW, SETTING
from support.profiling import measured, words

NAMESPACE = "dueby"
MODEL = Model(name="efficientnet_lite0")
PROFILER = Profiler(namespace=NAMESPACE, name="dueby-profiler", models=(MODEL,))
NIGHT = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
Document = dict[str, Any]


def spec_of(device_class: str, *, days: int = 0, **changes: Any) -> ProfileSpec:
    """What a pod measures on a night, and so many days later."""
    return measured(device_class, measured_at=NIGHT + timedelta(days=days), **changes).spec


@dataclass(kw_only=True)
class Site:
    """A cluster with the chart's profiler, as far as it is about nodes and profiles."""

    nodes: list[Node]
    jobs: list[Document] = field(default_factory=list)
    profiler: Profiler = PROFILER
    image: str = SETTING.image
    profiles: dict[str, GPUProfile] = field(default_factory=dict)
    cron_jobs: dict[str, Document] = field(default_factory=dict)
    batch: dict[str, Document] = field(default_factory=dict)
    pods: list[Document] = field(default_factory=list)
    now_us: int = NOW
    generation: int = 1

    @property
    def setting(self) -> Setting:
        """With the profiler."""
        return Setting(image=self.image, profiler=self.profiler)

    def look(self) -> list[Write]:
        """Decide, and do it, after what is done with every look: classes follow their nodes."""
        kept = keep_up([self.profiles[name] for name in sorted(self.profiles)])
        world = World(
            now_us=self.now_us,
            nodes=set_apart({node.name: node for node in self.nodes}, kept.slow),
            profiles=kept.profiles,
            jobs=self.jobs,
            profiled=self.pods,
            generations=dict.fromkeys(self.profiles, self.generation),
        )
        there, batch = list(self.cron_jobs.values()), list(self.batch.values())
        writes = [*kept.writes, *decide_on_nodes(world, self.setting, self.profiler, there, batch)]
        for write in writes:
            self._do(write)
        return writes

    def settle(self) -> None:
        """Look until there is nothing left to do, which is soon."""
        for _ in range(3):
            if not self.look():
                return
        assert not self.look()

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
            self.batch[name] = job_now(cron, name, reason="")
            del self.batch[name]["metadata"]["annotations"][names.REASON]
        self.pods.append(ended(self.batch[name], spec, node=node, **changes))

    def end(self, job: str) -> None:
        """The Job is complete."""
        self.batch[job]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}

    def condition(self, profile: str) -> Document:
        """What is said of the profile."""
        (found,) = (self.profiles[profile].status or ProfileStatus()).conditions
        return found.document()

    def _do(self, write: Write) -> None:
        name = write.document["metadata"]["name"] if isinstance(write, Add | Put) else ""
        match write:
            case Put():
                before = self.profiles.get(name)
                self.profiles[name] = parse_profile(write.document).replace(status=before.status if before else None)
            case Add() if write.document["kind"] == "CronJob":
                document = write.document
                self.cron_jobs[name] = document | {"metadata": {**document["metadata"], "uid": f"uid-of-{name}"}}
            case Add():
                self.batch[name] = write.document | {
                    "metadata": {**write.document["metadata"], "creationTimestamp": _moment(self.now_us)}
                }
            case Change() if write.path.endswith("/status"):
                name = write.path.split("/")[-2]
                profile = self.profiles[name]
                old = (profile.status or ProfileStatus()).document()
                status = read_status(ProfileStatus, {"status": {**old, **write.fields["status"]}})
                self.profiles[name] = profile.replace(status=status)
            case Change():
                found = self.cron_jobs[write.path.rpartition("/")[2]]
                found["metadata"] |= write.fields["metadata"]
                found["spec"] |= write.fields["spec"]
            case Delete() if "/gpuprofiles/" in write.path:
                del self.profiles[write.path.rpartition("/")[2]]
            case Delete():
                del self.cron_jobs[write.path.rpartition("/")[2]]


def ended(
    job: Document, spec: ProfileSpec, *, node: str, index: int = 0, image: str = DIGEST, **changes: Any
) -> Document:
    """The Job's pod that has measured this."""
    template, name = job["spec"]["template"], job["metadata"]["name"]
    labels = {**template["metadata"]["labels"], names.JOB_OF_POD: name, names.INDEX_OF_POD: str(index)}
    terminated = {"exitCode": 0, "message": words(measured().replace(spec=spec))}
    status = {"imageID": f"docker.io/dueby/worker@{image}", "state": {"terminated": terminated}}
    found = {
        "metadata": {**template["metadata"], "namespace": NAMESPACE, "name": f"{name}-{index}", "labels": labels},
        "spec": {**template["spec"], "nodeName": node},
        "status": {"phase": "Succeeded", "containerStatuses": [status]},
    }
    return {**found, **changes}


def _moment(now_us: int) -> str:
    return datetime.fromtimestamp(now_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

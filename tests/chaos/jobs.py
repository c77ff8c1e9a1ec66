"""The healthy jobs of the chaos: their manifests, and one after the other in each namespace."""

import random
import shutil
import threading
from collections.abc import Iterator
from typing import Any

from chaos.cluster import (
    CLOCK_LIBRARY,
    CLOCK_SETTINGS,
    S3_NAMESPACE,
    S3_ROWS,
    AbortedError,
    Document,
    World,
    apply,
    insist,
    seen,
)
from chaos.log import Log
from chaos.rows import DISK, JobResult, Tracked, judge, rows_folder, sentence_of, uncounted
from chaos.schedule import PlannedJob
from support.kind.cluster import SHARED, Cluster
from support.kind.cluster_job import job, share_folder
from support.kind.kube_api import NotFoundError
from support.kind.s3_in_cluster import s3_credentials

# Beyond its deadline a job is not waited for.
MAX_LATE_S = 900.0
LOOK_S = 2.0
CLOCK_FILE = "clock"


class HealthyJobs:
    """One job after the other in each namespace."""

    def __init__(self, world: World, log: Log) -> None:
        self._world = world
        self._log = log
        self._lock = threading.Lock()
        self._running: dict[str, Tracked] = {}
        self.results: list[JobResult] = []

    def running(self, *stores: str) -> list[Tracked]:
        """Those that were applied and haven't ended, by name; on these stores only if any is named."""
        with self._lock:
            found = sorted(self._running.values(), key=lambda each: each.planned.name)
        return [each for each in found if not stores or each.planned.store in stores]

    def run(self, planned: list[PlannedJob]) -> None:
        """Run one namespace's jobs until no more is to begin."""
        for each in planned:
            if self._world.over.is_set():
                return
            if not self._is_possible(each):
                continue
            try:
                self._run(each)
            except AbortedError:
                return
            except Exception as failure:  # a job that can't be applied or counted is a bad one; the next one begins
                result = uncounted(each, f"{type(failure).__name__}: {failure}")
                self._log.say("wrong", sentence_of(result))
                with self._lock:
                    self.results.append(result)

    def _is_possible(self, planned: PlannedJob) -> bool:
        needs = {"disk": self._world.has_disk, "clock": self._world.has_clocks}
        return needs.get(planned.store, True)

    def _run(self, planned: PlannedJob) -> None:
        cluster = self._world.namespaces[planned.namespace]
        tracked = Tracked(planned=planned, document=healthy_job(cluster, planned))
        began_s = self._log.now_s()
        self._log.say(
            "job", f"{planned.name}: {planned.deadline_class}, {planned.images} images within {planned.deadline_s} s"
        )
        apply(self._world, cluster, *environment(planned), tracked.document)
        with self._lock:
            self._running[planned.name] = tracked
        try:
            ended, probability = self._wait(cluster, tracked, began_s)
        finally:
            with self._lock:
                del self._running[planned.name]
            with tracked.lock:
                tracked.is_over = True
        result = judge(self._world, tracked, ended, probability, seconds=self._log.now_s() - began_s)
        with self._lock:
            self.results.append(result)
        self._log.say("job" if result.is_good else "wrong", sentence_of(result))
        if result.is_good:  # the small disk is for many jobs
            shutil.rmtree(rows_folder(self._world, planned), ignore_errors=True)
        insist(self._world, cluster, "delete", "infj", planned.name, "--wait=false")

    def _wait(self, cluster: Cluster, tracked: Tracked, began_s: float) -> tuple[Document, float | None]:
        """The job once it is over, or when it should have been for long; and the first plan's probability."""
        name, probability, found = tracked.planned.name, None, Document()
        made, give_up_s = 1, began_s + tracked.planned.deadline_s + MAX_LATE_S
        while self._log.now_s() < give_up_s and not self._world.aborted.wait(LOOK_S):
            if tracked.times_made != made:  # and its clock began again
                made, give_up_s = tracked.times_made, self._log.now_s() + tracked.planned.deadline_s + MAX_LATE_S
            try:
                found = seen(lambda: cluster.get("infj", name)) or found
            except NotFoundError:  # it is being made again
                continue
            status = found.get("status", {})
            if probability is None and "plan" in status:
                probability = status["plan"]["probability"]
            if status.get("phase") in ("Succeeded", "Failed"):
                break
        return found, probability


# ---- manifests


def healthy_job(cluster: Cluster, planned: PlannedJob) -> Document:
    """The job's manifest, with its folder made."""
    share_folder(cluster, planned.name)
    spec: Document = {
        "images": planned.images,
        "deadline": f"{planned.deadline_s}s",
        "deadlineClass": planned.deadline_class,
        "confidence": planned.confidence,
        "source": {"uri": "/photos"},
    }
    if planned.store == "synthetic":
        spec["source"] = {"synthetic": {"width": 64, "height": 48}}
    document = job(cluster, planned.name, **spec)
    worker = document["spec"]["worker"]
    del worker["nodeSelector"]  # all nodes are for all jobs
    mount(worker, "photos", f"{SHARED}/photos", "/photos", is_read_only=True)
    if planned.store == "s3":
        document["spec"] |= {"source": {"uri": "s3://photos/"}, "sink": {"uri": f"s3://{S3_ROWS}/{planned.name}/"}}
        worker["envFrom"] = [{"secretRef": {"name": "s3-credentials"}}]
    elif planned.store == "disk":
        mount(worker, DISK, f"{SHARED}/{DISK}", f"/{DISK}")
        document["spec"]["sink"] = {"uri": f"/{DISK}/{planned.name}"}
    elif planned.store == "clock":
        set_clock(cluster, planned.name, 0)
        mount(worker, "clocks", f"{SHARED}/clocks/worker", "/clocks", is_read_only=True)
        worker["envFrom"] = [{"configMapRef": {"name": f"{planned.name}-clock"}}]
    return document


def mount(worker: Document, name: str, path: str, at: str, *, is_read_only: bool = False) -> None:
    """Add a folder of the node to the job's pods."""
    worker["volumes"].append({"name": name, "hostPath": {"path": path}})
    worker["volumeMounts"].append({"name": name, "mountPath": at, "readOnly": is_read_only})


def environment(planned: PlannedJob) -> Iterator[Document]:
    """What the job's variables come from: with `env` it would be measured for itself, with `envFrom` it isn't."""
    if planned.store == "s3":
        yield s3_credentials(S3_NAMESPACE)
    if planned.store == "clock":
        data = {
            "LD_PRELOAD": f"/clocks/{CLOCK_LIBRARY}",
            "FAKETIME_TIMESTAMP_FILE": f"/data/{CLOCK_FILE}",
            **CLOCK_SETTINGS,
        }
        metadata = {"name": f"{planned.name}-clock"}
        yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def set_clock(cluster: Cluster, name: str, seconds: int) -> None:
    """Set the clock of the job's processes so far ahead, or back."""
    (share_folder(cluster, name) / CLOCK_FILE).write_text(f"{seconds:+d}\n")


def other_value(planned: PlannedJob, draw: random.Random, what: str) -> Any:
    """Another deadline or limit, neither of which takes more from the job than its room."""
    if what == "deadline":
        return f"{round(planned.deadline_s * draw.choice([0.9, 1.25, 1.5]))}s"
    return {"max": draw.randint(1, 4)}

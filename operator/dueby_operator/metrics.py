"""The operator in Prometheus' format: the jobs as the last look left them, and what the operator itself has done.

What is said of a job is read from its document after each look and replaces what was said before, so that a job that is
gone is gone here too. The label is `inferencejob`, since Prometheus keeps `job` for what it scrapes. Misses and replans
are counted from what is new in the documents: an operator that starts again begins at 0, as counters do.
"""

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dueby_api.status import Phase
from dueby_operator.control.conditions import condition, is_over
from dueby_operator.control.model import Reason
from dueby_operator.control.world import Document, World
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import micros_of

# A look at an idle cluster takes 20 ms; after 120 s without one the probe fails.
LOOK_BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
VERBS = {"WATCH": "watch", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# The code of a request that had no answer, as Kubernetes' own clients call it.
NO_ANSWER = "<error>"
LAST_GOOD_LOOK = "dueby_last_good_look_timestamp_seconds"
JOB_LABELS = ("namespace", "inferencejob")
# Devices that are at work, by device class, of each job by its namespace and name.
Running = Mapping[tuple[str, str], Tally[str]]


@dataclass(frozen=True, kw_only=True)
class JobGauge:
    """Something that is said of each job."""

    name: str
    help: str
    read: Callable[[Mapping[str, Any]], float | None]
    """From the job's status; None where there is nothing to say."""
    ends_with_job: bool
    """Whether nothing is said of a job that is over."""


def _at(*path: str) -> Callable[[Mapping[str, Any]], float | None]:
    """Reads the number at this place."""

    def read(status: Mapping[str, Any]) -> float | None:
        found: Any = status
        for name in path:
            found = found.get(name)
            if found is None:
                return None
        return float(found)

    return read


def _slack_s(status: Mapping[str, Any]) -> float | None:
    finish = status.get("progress", {}).get("expectedFinish") or status.get("plan", {}).get("expectedFinish")
    deadline_us, finish_us = micros_of(status.get("deadlineTime")), micros_of(finish)
    return None if deadline_us is None or finish_us is None else (deadline_us - finish_us) / 1e6


def _deadline_s(status: Mapping[str, Any]) -> float | None:
    deadline_us = micros_of(status.get("deadlineTime"))
    return None if deadline_us is None else deadline_us / 1e6


def _plan_s(status: Mapping[str, Any]) -> float | None:
    micros = _at("plan", "solveMicros")(status)
    return None if micros is None else micros / 1e6


def _met(status: Mapping[str, Any]) -> float | None:
    return {"True": 1.0, "False": 0.0}.get(condition(status, "DeadlineMet").get("status", ""))


JOB_GAUGES = (
    JobGauge(
        name="dueby_job_deadline_timestamp_seconds",
        help="The job's deadline, in seconds since 1970.",
        read=_deadline_s,
        ends_with_job=False,
    ),
    JobGauge(
        name="dueby_job_slack_seconds",
        help="The deadline less the finish that is to be expected, in seconds; below 0 the job is late.",
        read=_slack_s,
        ends_with_job=True,
    ),
    JobGauge(
        name="dueby_job_probability_ratio",
        help="Probability from 0 to 1 with which the plan meets the deadline.",
        read=_at("plan", "probability"),
        ends_with_job=True,
    ),
    JobGauge(
        name="dueby_job_plan_seconds",
        help="What finding, proving and verifying the plan took, in seconds.",
        read=_plan_s,
        ends_with_job=False,
    ),
    JobGauge(name="dueby_job_images", help="Images of the job.", read=_at("images"), ends_with_job=False),
    JobGauge(
        name="dueby_job_images_done",
        help="Images that have a row.",
        read=_at("progress", "imagesDone"),
        ends_with_job=False,
    ),
    JobGauge(
        name="dueby_job_images_failed",
        help="Images whose row has an error.",
        read=_at("progress", "imagesFailed"),
        ends_with_job=False,
    ),
    JobGauge(
        name="dueby_job_images_per_second",
        help="Images a second of all the job's workers together, as they said it last.",
        read=_at("progress", "imagesPerSecond"),
        ends_with_job=True,
    ),
    JobGauge(
        name="dueby_job_replans",
        help="Changes of the number of workers after the start that the job's status tells of: the last 20.",
        read=lambda status: float(len(status.get("replans", ()))),
        ends_with_job=False,
    ),
    JobGauge(
        name="dueby_job_deadline_met",
        help="Whether the job met its deadline: 1 or 0; nothing before it is known.",
        read=_met,
        ends_with_job=False,
    ),
)


class JobsCollector(Collector):
    """Of all jobs, as the last look left them."""

    def __init__(self) -> None:
        self._last: tuple[Sequence[Document], Running] = ((), {})

    def show(self, jobs: Sequence[Document], running: Running) -> None:
        """From now on, this is what there is. It is read when it is asked for, in the thread of who asks."""
        self._last = (tuple(jobs), running)

    def collect(self) -> Iterator[Metric]:
        """What was shown last."""
        jobs, running = self._last
        yield from job_families(jobs, running)


def job_families(jobs: Sequence[Document], running: Running) -> Iterator[Metric]:
    """What is said of the jobs."""
    phases = Tally(str(job.get("status", {}).get("phase", "Pending")) for job in jobs)
    by_phase = GaugeMetricFamily("dueby_jobs", "InferenceJobs by phase.", labels=["phase"])
    for phase in get_args(Phase):
        by_phase.add_metric([phase], phases[phase])
    yield by_phase
    for gauge in JOB_GAUGES:
        family = GaugeMetricFamily(gauge.name, gauge.help, labels=JOB_LABELS)
        for job in jobs:
            status = job.get("status", {})
            value = None if gauge.ends_with_job and is_over(status) else gauge.read(status)
            if value is not None:
                family.add_metric(_labels(job), value)
        yield family
    yield from _device_families([job for job in jobs if not is_over(job.get("status", {}))], running)


def _device_families(jobs: list[Document], running: Running) -> Iterator[Metric]:
    labels = [*JOB_LABELS, "device_class"]
    planned_family = GaugeMetricFamily(
        "dueby_job_gpus_planned", "Devices (GPUs or CPU slices) of the job's plan, by device class.", labels=labels
    )
    running_family = GaugeMetricFamily(
        "dueby_job_gpus_running", "Devices (GPUs or CPU slices) that a running pod of the job holds.", labels=labels
    )
    for job in jobs:
        planned: Tally[str] = Tally()
        for group in job.get("status", {}).get("plan", {}).get("groups", ()):
            planned[group["deviceClass"]] += group["count"]
        for device_class, count in planned.items():
            planned_family.add_metric([*_labels(job), device_class], count)
        at_work = running.get((job["metadata"]["namespace"], job["metadata"]["name"]), Tally[str]())
        for device_class in sorted(at_work | planned):
            running_family.add_metric([*_labels(job), device_class], at_work[device_class])
    yield planned_family
    yield running_family


def running_devices(world: World) -> Running:
    """Devices whose worker's pod is running."""
    found: dict[tuple[str, str], Tally[str]] = defaultdict(Tally)
    for key, batch in world.batch.items():
        classes = {job["metadata"]["name"]: job["metadata"].get("annotations", {}) for job in batch}
        for pod in world.pods.get(key, ()):
            device_class = classes.get(pod["metadata"]["labels"].get(names.JOB_OF_POD), {}).get(names.DEVICE_CLASS)
            if device_class and pod.get("status", {}).get("phase") == "Running":
                found[key][device_class] += 1
    return found


class Metrics:
    """Everything that is shown, with a registry of its own."""

    def __init__(self) -> None:
        # A second series for each counter, of which nothing is asked here; its authors gave it no type.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.jobs = JobsCollector()
        self.registry.register(self.jobs)
        self._requests = Counter(
            "dueby_api_requests",
            "Requests of the control loop to the API server, by the code of the answer.",
            ["verb", "resource", "code"],
            registry=self.registry,
        )
        self._looks = Histogram(
            "dueby_look_duration_seconds",
            "Looks of the control loop that went well, from its lists to the last status, in seconds.",
            buckets=LOOK_BUCKETS_S,
            registry=self.registry,
        )
        self._last_good = Gauge(
            LAST_GOOD_LOOK,
            "When the last look that went well ended, in seconds since 1970; 0 before the first.",
            registry=self.registry,
        )
        self._misses = Counter(
            "dueby_deadline_misses", "Jobs that ended without having met their deadline.", registry=self.registry
        )
        self._replans = Counter(
            "dueby_replans", "Changes of a job's number of workers.", ["reason"], registry=self.registry
        )
        for reason in get_args(Reason):  # 0 and not nothing: increase() doesn't see a series begin
            self._replans.labels(reason)
        self._before: dict[str, Mapping[str, Any]] | None = None

    def page(self) -> str:
        """What a scrape reads."""
        return generate_latest(self.registry).decode()

    def record_look(self, world: World, *, seconds: float) -> None:
        """A look that went well, as it left the world."""
        self._looks.observe(seconds)
        self._last_good.set(world.now_us / 1e6 + seconds)
        self._count_news(world.jobs)
        self.jobs.show(world.jobs, running_devices(world))

    def count_request(self, method: str, path: str, code: int | None) -> None:
        """A request and its answer's code; None where there was no answer."""
        verb, resource = verb_and_resource(method, path)
        self._requests.labels(verb, resource, NO_ANSWER if code is None else str(code)).inc()

    def _count_news(self, jobs: list[Document]) -> None:
        """Count what wasn't in the documents at the last look; at the first one nobody knows what is new."""
        now = {job["metadata"]["uid"]: job.get("status", {}) for job in jobs}
        for uid, status in now.items() if self._before is not None else ():
            before = (self._before or {}).get(uid, {})
            if _met(status) == 0 and _met(before) != 0:
                self._misses.inc()
            known = before.get("replans", ())
            for replan in status.get("replans", ()):
                if replan not in known:
                    self._replans.labels(replan["reason"]).inc()
        self._before = now


def verb_and_resource(method: str, path: str) -> tuple[str, str]:
    """How Kubernetes' rules would call the request: list pods, update inferencejobs/status."""
    parts = path.partition("?")[0].strip("/").split("/")
    kind = parts[2:] if parts[0] == "api" else parts[3:]
    if kind[:1] == ["namespaces"] and len(kind) > 2:
        kind = kind[2:]
    resource = "/".join([*kind[:1], *kind[2:3]]) or path
    return VERBS.get(method) or ("get" if len(kind) > 1 else "list"), resource


def _labels(job: Document) -> list[str]:
    return [job["metadata"]["namespace"], job["metadata"]["name"]]


OPERATOR = Metrics()
"""The one of this process."""
count_request = OPERATOR.count_request
record_look = OPERATOR.record_look


def serve(port: int) -> None:
    """Answer scrapes on this port, in a thread of its own."""
    start_http_server(port, registry=OPERATOR.registry)

"""The operator in Prometheus' format: the jobs as the last pass saw them, and what the operator itself has done.

A job's values are read from its status after each pass and replace the former ones, so that a job that is gone is gone
here, too. The label is `inferencejob`, since Prometheus keeps `job` for what it scrapes. Misses and replans are counted
from what is new in the statuses: an operator that starts again begins at 0, as counters do.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

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

from dueby_api.conditions import ConditionType
from dueby_api.status import JobStatus, Phase
from dueby_operator.control.conditions import condition, is_over
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import job_of
from dueby_operator.model.fault import Stage
from dueby_operator.model.job_model import StartReason
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.parse import micros_of

# A pass over an idle cluster takes 20 ms; after 120 s without one the probe fails.
RECONCILE_BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
VERBS = {"WATCH": "watch", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# The code of a request that had no answer, as Kubernetes' own clients call it.
NO_ANSWER = "<error>"
LAST_RECONCILE = "dueby_last_successful_reconcile_timestamp_seconds"
JOB_LABELS = ("namespace", "inferencejob")


@dataclass(frozen=True, kw_only=True)
class JobGauge:
    """A value of each job."""

    name: str
    help: str
    read: Callable[[JobStatus], float | None]
    """Reads it from the job's status; None if there is no value."""
    ends_with_job: bool
    """Whether a job that is over has no value."""


def _seconds_of(moment: str | None) -> float | None:
    micros = micros_of(moment)
    return None if micros is None else micros / 1e6


def _slack_s(status: JobStatus) -> float | None:
    expected = status.progress.expected_finish if status.progress else None
    finish_s = _seconds_of(expected or (status.plan.expected_finish if status.plan else None))
    deadline_s = _seconds_of(status.deadline_time)
    return None if deadline_s is None or finish_s is None else deadline_s - finish_s


def _met(status: JobStatus) -> float | None:
    found = condition(status, ConditionType.DEADLINE_MET)
    return {"True": 1.0, "False": 0.0}.get(found.status) if found else None


JOB_GAUGES = (
    JobGauge(
        name="dueby_job_deadline_timestamp_seconds",
        help="The job's deadline, in seconds since 1970.",
        read=lambda status: _seconds_of(status.deadline_time),
        ends_with_job=False,
    ),
    JobGauge(
        name="dueby_job_slack_seconds",
        help="The deadline less the expected finish, in seconds. Below 0 the job is late.",
        read=_slack_s,
        ends_with_job=True,
    ),
    JobGauge(
        name="dueby_job_probability_ratio",
        help="Probability from 0 to 1 with which the plan meets the deadline.",
        read=lambda status: status.plan.probability if status.plan else None,
        ends_with_job=True,
    ),
    JobGauge(
        name="dueby_job_plan_seconds",
        help="Duration of finding, proving and verifying the plan, in seconds.",
        read=lambda status: status.plan.solve_micros / 1e6 if status.plan else None,
        ends_with_job=False,
    ),
    JobGauge(
        name="dueby_job_images",
        help="Images of the job.",
        read=lambda status: status.images,
        ends_with_job=False,
    ),
    JobGauge(
        name="dueby_job_images_done",
        help="Images that have a row.",
        read=lambda status: status.progress.images_done if status.progress else None,
        ends_with_job=False,
    ),
    JobGauge(
        name="dueby_job_images_failed",
        help="Images whose row has an error.",
        read=lambda status: status.progress.images_failed if status.progress else None,
        ends_with_job=False,
    ),
    JobGauge(
        name="dueby_job_images_per_second",
        help="Images per second of all the job's workers together, as they last reported.",
        read=lambda status: status.progress.images_per_second if status.progress else None,
        ends_with_job=True,
    ),
    JobGauge(
        name="dueby_job_replans",
        help="Changes of the number of workers after the start in the job's status, which keeps the last 20.",
        read=lambda status: float(len(status.replans)),
        ends_with_job=False,
    ),
    JobGauge(
        name="dueby_job_deadline_met",
        help="Whether the job met its deadline: 1 or 0. There is no value before it is known.",
        read=_met,
        ends_with_job=False,
    ),
)


class JobsCollector(Collector):
    """The values of all jobs, as the last pass saw them."""

    def __init__(self) -> None:
        self._jobs: tuple[JobSnapshot, ...] = ()

    def show(self, jobs: Sequence[JobSnapshot]) -> None:
        """Show these jobs from now on. They are read when they are asked for, in the thread of who asks."""
        self._jobs = tuple(jobs)

    def collect(self) -> Iterator[Metric]:
        """Return what was shown last."""
        yield from job_families(self._jobs)


def job_families(jobs: Sequence[JobSnapshot]) -> Iterator[Metric]:
    """Return the values of the jobs."""
    phases = Tally(job.status.phase for job in jobs)
    by_phase = GaugeMetricFamily("dueby_jobs", "InferenceJobs by phase.", labels=["phase"])
    for phase in get_args(Phase):
        by_phase.add_metric([phase], phases[phase])
    yield by_phase
    for gauge in JOB_GAUGES:
        family = GaugeMetricFamily(gauge.name, gauge.help, labels=JOB_LABELS)
        for job in jobs:
            value = None if gauge.ends_with_job and is_over(job.status) else gauge.read(job.status)
            if value is not None:
                family.add_metric(list(job.key), value)
        yield family
    yield from _device_families([job for job in jobs if not is_over(job.status)])


def _device_families(jobs: Sequence[JobSnapshot]) -> Iterator[Metric]:
    labels = [*JOB_LABELS, "device_class"]
    planned_family = GaugeMetricFamily(
        "dueby_job_gpus_planned", "Devices (GPUs or CPU slices) of the job's plan, by device class.", labels=labels
    )
    running_family = GaugeMetricFamily(
        "dueby_job_gpus_running", "Devices (GPUs or CPU slices) that a running pod of the job holds.", labels=labels
    )
    for job in jobs:
        planned: Tally[str] = Tally()
        for group in job.status.plan.groups if job.status.plan else ():
            planned[group.device_class] += group.count
        for device_class, count in planned.items():
            planned_family.add_metric([*job.key, device_class], count)
        at_work = running_devices(job)
        for device_class in sorted(at_work | planned):
            running_family.add_metric([*job.key, device_class], at_work[device_class])
    yield planned_family
    yield running_family


def running_devices(job: JobSnapshot) -> Tally[str]:
    """Return the devices that running pods of the job hold, by device class."""
    jobs = [*(worker_job.job for worker_job in job.worker_jobs), *job.profiling]
    classes = {found.name: found.metadata.annotations.get(names.DEVICE_CLASS, "") for found in jobs}
    running = (classes.get(job_of(pod), "") for pod in job.pods if pod.status.phase == "Running")
    return Tally(device_class for device_class in running if device_class)


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
        self._reconciles = Histogram(
            "dueby_reconcile_duration_seconds",
            "Duration of successful reconcile passes, in seconds.",
            buckets=RECONCILE_BUCKETS_S,
            registry=self.registry,
        )
        self._last_reconcile = Gauge(
            LAST_RECONCILE,
            "When the last successful reconcile pass ended, in seconds since 1970; 0 before the first.",
            registry=self.registry,
        )
        self._misses = Counter(
            "dueby_deadline_misses", "Jobs that ended without having met their deadline.", registry=self.registry
        )
        self._replans = Counter(
            "dueby_replans", "Changes of a job's number of workers.", ["reason"], registry=self.registry
        )
        self._faults = Counter(
            "dueby_faults",
            "Times that the operator itself could not handle a job, by what it was doing.",
            ["stage"],
            registry=self.registry,
        )
        for stage in get_args(Stage):
            self._faults.labels(stage)
        for reason in get_args(StartReason):  # 0 and not nothing: increase() doesn't see a series begin
            self._replans.labels(reason)
        self._before: dict[str, JobStatus] | None = None

    def page(self) -> str:
        """Return what a scrape reads."""
        return generate_latest(self.registry).decode()

    def record_reconcile(self, snapshot: ClusterSnapshot, *, seconds: float) -> None:
        """Record a successful pass over this snapshot."""
        self._reconciles.observe(seconds)
        self._last_reconcile.set(snapshot.now_us / 1e6 + seconds)
        self._count_news(snapshot.jobs)
        self.jobs.show(snapshot.jobs)

    def count_request(self, method: str, path: str, code: int | None) -> None:
        """Count a request by its answer's code; None if there was no answer."""
        verb, resource = verb_and_resource(method, path)
        self._requests.labels(verb, resource, NO_ANSWER if code is None else str(code)).inc()

    def count_fault(self, stage: str) -> None:
        """Count a fault of the operator itself."""
        self._faults.labels(stage).inc()

    def _count_news(self, jobs: Sequence[JobSnapshot]) -> None:
        """Count what was not in the statuses in the last pass. In the first one nobody knows what is new."""
        now = {job.uid: job.status for job in jobs}
        for uid, status in now.items() if self._before is not None else ():
            before = (self._before or {}).get(uid, JobStatus())
            if _met(status) == 0 and _met(before) != 0:
                self._misses.inc()
            for replan in status.replans:
                if replan not in before.replans:
                    self._replans.labels(replan.reason).inc()
        self._before = now


def verb_and_resource(method: str, path: str) -> tuple[str, str]:
    """Return what Kubernetes' RBAC rules call the request: list pods, update inferencejobs/status."""
    parts = path.partition("?")[0].strip("/").split("/")
    kind = parts[2:] if parts[0] == "api" else parts[3:]
    if kind[:1] == ["namespaces"] and len(kind) > 2:
        kind = kind[2:]
    resource = "/".join([*kind[:1], *kind[2:3]]) or path
    return VERBS.get(method) or ("get" if len(kind) > 1 else "list"), resource


OPERATOR = Metrics()
"""The one of this process."""
count_request, count_fault = OPERATOR.count_request, OPERATOR.count_fault
record_reconcile = OPERATOR.record_reconcile


def serve(port: int) -> None:
    """Answer scrapes on this port, in a thread of its own."""
    start_http_server(port, registry=OPERATOR.registry)

"""The operator in Prometheus' format: the jobs as the last pass saw them, and what the operator itself has done.

A job's values are read from its status after each pass and replace the former ones, so that a job that is gone is gone
here, too. The label is `inferencejob`, since Prometheus keeps `job` for what it scrapes. Misses, replans and what
became of jobs are counted from what is new in the statuses: an operator that starts again begins at 0, as counters do.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

from dueby_api.inference_job import DeadlineClass, InferenceJob
from dueby_api.prices import MICRO_UNITS
from dueby_api.status import JobStatus, Phase
from dueby_api.units import MICROS_PER_SECOND
from dueby_operator.cluster.node_pools import done_with
from dueby_operator.cluster.nodes import Node
from dueby_operator.control.budgets import accounts_of
from dueby_operator.control.conditions import is_over
from dueby_operator.control.outcomes import (
    BREAK_REASONS,
    REFUSAL_REASONS,
    Counted,
    FollowedJob,
    follow,
    outcomes,
    waited_s,
)
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.control.spending import bill_until
from dueby_operator.model.job_snapshot import JobSnapshot, Stage
from dueby_operator.web.job_values import JOB_GAUGES, met, running_devices
from dueby_planner.schedule.job import StartReason

# A pass over an idle cluster takes 20 ms; after 120 s without one the probe fails.
RECONCILE_BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
# From a job that finds a device at once to one that waits for a day.
WAIT_BUCKETS_S = (1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400)
VERBS = {"WATCH": "watch", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# The code of a request that had no answer, as Kubernetes' own clients call it.
NO_ANSWER = "<error>"
# API servers' clocks differ by less, so a job that wasn't in the last pass and is older than that by this isn't new.
CLOCKS_US = 10 * MICROS_PER_SECOND
LAST_RECONCILE = "dueby_last_successful_reconcile_timestamp_seconds"
JOB_LABELS = ("namespace", "inferencejob")


@dataclass(frozen=True)
class OutcomeCounter:
    """A counter of what became of jobs, or of their workers."""

    name: str
    help: str
    label: str = ""
    values: Sequence[str] = ()
    """Of the label: each is 0 and not nothing at first, since increase() doesn't see a series begin."""


OUTCOME_COUNTERS: Mapping[Counted, OutcomeCounter] = {
    "made": OutcomeCounter("dueby_promises_made", "Hard jobs to which their deadline was promised."),
    "kept": OutcomeCounter("dueby_promises_kept", "Of those, jobs that ended by their deadline."),
    "broken": OutcomeCounter(
        "dueby_promises_broken",
        "Of those, jobs that were late or failed, by what their status says of it last. While the operator is "
        "away none is counted.",
        label="reason",
        values=sorted(BREAK_REASONS),
    ),
    "refused": OutcomeCounter(
        "dueby_refusals",
        "Jobs that were refused: impossible alone or beside others' promises, over money or budget, or waited in vain.",
        label="reason",
        values=REFUSAL_REASONS,
    ),
    "started": OutcomeCounter(
        "dueby_workers_started",
        "Workers that were started, by their job's deadline class.",
        label="deadline_class",
        values=get_args(DeadlineClass),
    ),
    "gave way": OutcomeCounter(
        "dueby_workers_gave_way",
        "Workers that were stopped because others needed their devices, by their job's deadline class.",
        label="deadline_class",
        values=get_args(DeadlineClass),
    ),
}
MISSES = OutcomeCounter("dueby_deadline_misses", "Jobs whose deadline passed before they were done.")
REPLANS = OutcomeCounter(
    "dueby_replans", "Changes of a job's number of workers.", label="reason", values=get_args(StartReason)
)
FAULTS = OutcomeCounter(
    "dueby_faults",
    "Times that the operator itself could not handle a job, by what it was doing.",
    label="stage",
    values=get_args(Stage),
)


class JobsCollector(Collector):
    """The values of all jobs, as the last pass saw them."""

    def __init__(self) -> None:
        self._jobs: tuple[JobSnapshot, ...] = ()

    def show(self, jobs: Sequence[JobSnapshot]) -> None:
        """Show these jobs from now on. They are read when they are asked for, in the thread of who asks."""
        self._jobs = tuple(jobs)

    def collect(self) -> Iterator[Metric]:
        yield from job_families(self._jobs)


def job_families(jobs: Sequence[JobSnapshot]) -> Iterator[Metric]:
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


class BudgetsCollector(Collector):
    """How much namespaces use of their budgets, by the last pass."""

    def __init__(self) -> None:
        self._snapshot: ClusterSnapshot | None = None

    def show(self, snapshot: ClusterSnapshot) -> None:
        """Show this pass from now on. It is added up when it is asked for, in the thread of who asks."""
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "dueby_budget_used_ratio",
            "How much of a namespace's budget its jobs use, with what is expected of them, by what is limited.",
            labels=["namespace", "limit"],
        )
        accounts = accounts_of(self._snapshot) if self._snapshot else {}
        for namespace, account in accounts.items():
            for limit, share in account.used_shares.items():
                family.add_metric([namespace, limit], share)
        yield family


class IdleNodes:
    """How long nodes of pools are there after their last worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Counter(
            "dueby_pool_idle_node_seconds",
            "Node-seconds that nodes of a pool were there after their last worker had ended, by pool.",
            ["pool"],
            registry=registry,
        )
        self._worked_on: frozenset[str] = frozenset()
        self._done_with: Mapping[str, int] = {}

    def count(self, nodes: Iterable[Node], *, passed_s: float) -> None:
        """Count the time since the pass before for the nodes that were idle then."""
        for pool, count in self._done_with.items():
            self._seconds.labels(pool).inc(count * passed_s)
        self._worked_on, self._done_with = done_with(self._worked_on, nodes)


class Metrics:
    """Everything that is shown, with a registry of its own."""

    def __init__(self) -> None:
        # A second series for each counter, of which nothing is asked here; its authors gave it no type.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.jobs, self._budgets = JobsCollector(), BudgetsCollector()
        self.registry.register(self.jobs)
        self.registry.register(self._budgets)
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
        self._definitions = Gauge(
            "dueby_definitions_current",
            "1 if the cluster's resource definitions are as new as this operator; 0: nothing is decided.",
            registry=self.registry,
        )
        self._definitions.set(1)
        self._misses, self._replans, self._faults = map(self._counter, (MISSES, REPLANS, FAULTS))
        self._outcomes = {kind: self._counter(counter) for kind, counter in OUTCOME_COUNTERS.items()}
        self._waits = Histogram(
            "dueby_wait_seconds",
            "Time that jobs were ready for workers until their first ones were started, in seconds, by deadline class.",
            ["deadline_class"],
            buckets=WAIT_BUCKETS_S,
            registry=self.registry,
        )
        for deadline_class in get_args(DeadlineClass):
            self._waits.labels(deadline_class)
        self._idle = Counter(
            "dueby_idle_device_seconds",
            "Device-seconds that devices were idle while jobs waited that could use them, by device class.",
            ["device_class"],
            registry=self.registry,
        )
        self._cost = Counter(
            "dueby_cost",
            "What devices of workers did cost, in units of the currency, by namespace; without what has no price.",
            ["namespace", "currency"],
            registry=self.registry,
        )
        self._bills: dict[str, int] = {}
        """What jobs did cost by the last pass, in millionths, by their uid."""
        self._idle_nodes = IdleNodes(self.registry)
        self._before: dict[str, FollowedJob] | None = None
        self._unused: Mapping[str, int] = {}
        self._seen_us = 0

    def _counter(self, outcome: OutcomeCounter) -> Counter:
        counter = Counter(outcome.name, outcome.help, [outcome.label] if outcome.label else [], registry=self.registry)
        for value in outcome.values:
            counter.labels(value)
        return counter

    def page(self) -> str:
        return generate_latest(self.registry).decode()

    def record_reconcile(
        self, snapshot: ClusterSnapshot, *, seconds: float, unused: Mapping[str, int] | None = None
    ) -> None:
        """Record a successful pass over this snapshot, and which devices it has left idle while jobs wait."""
        self._reconciles.observe(seconds)
        passed_s = max(0, snapshot.now_us - self._seen_us) / 1e6
        for device_class, count in self._unused.items():
            self._idle.labels(device_class).inc(count * passed_s)
        self._idle_nodes.count(snapshot.nodes.values(), passed_s=passed_s)
        self._last_reconcile.set(snapshot.now_us / 1e6 + seconds)
        self._count_cost(snapshot)
        self._budgets.show(snapshot)
        self._count_news(snapshot.jobs)
        self._unused, self._seen_us = unused or {}, snapshot.now_us
        self.jobs.show(snapshot.jobs)

    def count_request(self, method: str, path: str, code: int | None) -> None:
        """Count a request by its answer's code; None if there was no answer."""
        verb, resource = verb_and_resource(method, path)
        self._requests.labels(verb, resource, NO_ANSWER if code is None else str(code)).inc()

    def count_fault(self, stage: str) -> None:
        self._faults.labels(stage).inc()

    def show_definitions(self, is_current: bool) -> None:
        """Show whether the cluster's resource definitions are as new as this operator."""
        self._definitions.set(is_current)

    def _count_news(self, jobs: Sequence[JobSnapshot]) -> None:
        """Count what was not in the statuses in the last pass. In the first one nobody knows what is new.

        Nor is it known of a job that is older than the last pass and was not in it: its namespace was left out.
        """
        before = self._before or {}
        now = {job.uid: follow(before.get(job.uid), job.status, _class_of(job)) for job in jobs}
        for job in jobs:
            if self._is_followed(job):
                self._count_job(before.get(job.uid), now[job.uid])
        self._before = now

    def _is_followed(self, job: JobSnapshot) -> bool:
        """Return whether all that is in the job's status and was not in the last pass is new."""
        is_new = job.created_us >= self._seen_us - CLOCKS_US
        return self._before is not None and (job.uid in self._before or is_new)

    def _count_cost(self, snapshot: ClusterSnapshot) -> None:
        """Count what jobs have cost since the last pass, those that go on until now."""
        bills: dict[str, int] = {}
        for job in snapshot.jobs:
            spent, before = job.status.spent, self._bills.get(job.uid, 0)
            if spent is None or snapshot.tariff is None:
                continue
            bills[job.uid] = max(before, bill_until(spent, snapshot.tariff, snapshot.now_us).micro_units)
            if self._is_followed(job):
                cost = self._cost.labels(job.namespace, spent.currency)
                cost.inc((bills[job.uid] - before) / MICRO_UNITS)
        self._bills = bills

    def _count_job(self, before: FollowedJob | None, after: FollowedJob) -> None:
        status = before.status if before else JobStatus()
        if met(after.status) == 0 and met(status) != 0:
            self._misses.inc()
        for replan in after.status.replans:
            if replan not in status.replans:
                self._replans.labels(replan.reason).inc()
        for kind, value, count in outcomes(before, after):
            counter = self._outcomes[kind]
            (counter.labels(value) if value else counter).inc(count)
        waited = waited_s(status, after.status)
        if waited is not None:
            self._waits.labels(after.deadline_class).observe(waited)


def _class_of(job: JobSnapshot) -> DeadlineClass | None:
    return job.manifest.spec.deadline_class if isinstance(job.manifest, InferenceJob) else None


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
record_reconcile, show_definitions = OPERATOR.record_reconcile, OPERATOR.show_definitions


def serve(port: int) -> None:
    """Answer scrapes on this port, in a thread of its own."""
    start_http_server(port, registry=OPERATOR.registry)

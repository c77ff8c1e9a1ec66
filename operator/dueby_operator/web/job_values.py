"""What is shown of each job: values read from its status, and the devices that its pods hold. Pure.

Prometheus' names and help texts are beside them; metrics.py makes samples of them.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dueby_api.conditions import ConditionType
from dueby_api.status import JobStatus
from dueby_operator.control.conditions import condition
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import job_of
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import micros_of
from dueby_operator.objects.pods import Pod


@dataclass(frozen=True)
class JobGauge:
    """A value of each job."""

    name: str
    help: str
    read: Callable[[JobStatus], float | None]
    """Reads it from the job's status; None if there is no value."""
    ends_with_job: bool = field(default=False, kw_only=True)
    """Whether a job that is over has no value."""


def seconds_of(moment: str | None) -> float | None:
    """Return a time of a status in seconds since 1970; None if it isn't there."""
    micros = micros_of(moment)
    return None if micros is None else micros / 1e6


def _slack_s(status: JobStatus) -> float | None:
    expected = status.progress.expected_finish if status.progress else None
    finish_s = seconds_of(expected or (status.plan.expected_finish if status.plan else None))
    deadline_s = seconds_of(status.deadline_time)
    return None if deadline_s is None or finish_s is None else deadline_s - finish_s


def _plan_s(status: JobStatus) -> float | None:
    solve_micros = status.plan.solve_micros if status.plan else None
    return None if solve_micros is None else solve_micros / 1e6


def met(status: JobStatus) -> float | None:
    """Return 1 if the deadline was met and 0 if not; None before it is known."""
    deadline_met = condition(status, ConditionType.DEADLINE_MET)
    return {"True": 1.0, "False": 0.0}.get(deadline_met.status) if deadline_met else None


JOB_GAUGES = (
    JobGauge(
        "dueby_job_deadline_timestamp_seconds",
        "The job's deadline, in seconds since 1970.",
        lambda status: seconds_of(status.deadline_time),
    ),
    JobGauge(
        "dueby_job_slack_seconds",
        "The deadline less the expected finish, in seconds. Below 0 the job is late.",
        _slack_s,
        ends_with_job=True,
    ),
    JobGauge(
        "dueby_job_probability_ratio",
        "Probability from 0 to 1 with which the plan meets the deadline.",
        lambda status: status.plan.probability if status.plan else None,
        ends_with_job=True,
    ),
    JobGauge("dueby_job_plan_seconds", "Duration of finding, proving and verifying the plan, in seconds.", _plan_s),
    JobGauge("dueby_job_images", "Images of the job.", lambda status: status.images),
    JobGauge(
        "dueby_job_images_done",
        "Images that have a row.",
        lambda status: status.progress.images_done if status.progress else None,
    ),
    JobGauge(
        "dueby_job_images_failed",
        "Images whose row has an error.",
        lambda status: status.progress.images_failed if status.progress else None,
    ),
    JobGauge(
        "dueby_job_images_per_second",
        "Images per second of all the job's workers together, as they last reported.",
        lambda status: status.progress.images_per_second if status.progress else None,
        ends_with_job=True,
    ),
    JobGauge(
        "dueby_job_replans",
        "Changes of the number of workers after the start in the job's status, which keeps the last 20.",
        lambda status: float(len(status.replans)),
    ),
    JobGauge(
        "dueby_job_deadline_met", "Whether the job met its deadline: 1 or 0. There is no value before it is known.", met
    ),
)


def running_devices(job: JobSnapshot) -> Tally[str]:
    """Return the devices that running pods of the job hold, by device class."""
    return _devices((pod for pod in job.pods if pod.status.phase == "Running"), [*_workers(job), *job.profiling])


def held_devices(job: JobSnapshot) -> Tally[str]:
    """Return the devices that workers of the job have on nodes, running or about to, by device class."""
    on_nodes = (pod for pod in job.pods if pod.spec.node_name and pod.status.phase in ("Pending", "Running"))
    return _devices(on_nodes, _workers(job))


def _workers(job: JobSnapshot) -> list[BatchJob]:
    return [worker_job.job for worker_job in job.worker_jobs]


def _devices(pods: Iterable[Pod], jobs: Iterable[BatchJob]) -> Tally[str]:
    """Return the devices of those of the pods that are of these Jobs, by device class."""
    classes = {batch_job.name: batch_job.metadata.annotations.get(names.DEVICE_CLASS, "") for batch_job in jobs}
    return Tally(device_class for pod in pods if (device_class := classes.get(job_of(pod), "")))

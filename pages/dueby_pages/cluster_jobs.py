"""The jobs of a cluster, as their statuses tell of devices and times.

A job whose status makes no sense is reported, and the others are shown.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dueby_api.conditions import ConditionType, Reason
from dueby_api.errors import Invalid
from dueby_api.inference_job import DeadlineClass
from dueby_api.plan import PlannedGroup
from dueby_api.status import JobStatus, Phase, WindowStatus
from dueby_api.units import format_time, parse_time_us
from dueby_api.untrusted import printable
from dueby_api.words import counted

# Devices of a job: more than any cluster has, and few enough to reckon with.
_MAX_DEVICES = 10**9
OVER: tuple[Phase, ...] = ("Succeeded", "Failed")
# Refusals that are told: the newest ones.
_REFUSALS = 5


@dataclass(frozen=True, kw_only=True)
class NamedStatus:
    """A job's status, and whose it is."""

    namespace: str
    name: str
    deadline_class: DeadlineClass
    status: JobStatus
    generation: int = 1
    """Of its spec, which rises with each edit."""
    devices: Mapping[str, int] = field(default_factory=dict)
    """Devices that its workers have now, by class; empty if no more is known than what the status says."""


@dataclass(frozen=True, kw_only=True)
class ReservedWindow:
    """A window with its times, in microseconds since 1970."""

    window: WindowStatus
    from_us: int
    to_us: int


@dataclass(frozen=True, kw_only=True)
class HeldDevices:
    """Devices that workers have now; `to_us` in microseconds since 1970, None: to the end."""

    device_class: str
    count: int
    to_us: int | None
    pool: str | None = None
    """The pool whose nodes the workers wait for."""


@dataclass(frozen=True, kw_only=True)
class ClusterJob:
    """A job that isn't over; times are microseconds since 1970, and None where the status has none."""

    namespace: str
    name: str
    deadline_class: DeadlineClass
    phase: Phase
    gpus: int | None
    """Devices that its workers have now."""
    planned_gpus: int | None
    """Devices of its plan, at most at once."""
    confidence: float | None
    deadline_us: int | None
    starts_us: int | None
    ends_us: int | None
    sure_us: int | None
    """When its plan is done at its confidence."""
    devices: Mapping[str, int]
    """Devices that its workers have now, by class; empty if that isn't known."""
    held: tuple[HeldDevices, ...]
    """The same as its status has them, with the times when they are meant for others."""
    groups: tuple[PlannedGroup, ...]
    """The devices of its plan."""
    windows: tuple[ReservedWindow, ...]
    """What is reserved for it."""
    message: str

    def document(self) -> dict[str, Any]:
        """Return the job as `dueby calendar -o json` prints it, in the words of its status."""
        return {
            "namespace": self.namespace,
            "name": self.name,
            "deadlineClass": self.deadline_class,
            "phase": self.phase,
            "gpus": self.gpus,
            "deadlineTime": _time(self.deadline_us),
            "starts": _time(self.starts_us),
            "ends": _time(self.ends_us),
            "windows": [reserved.window.document() for reserved in self.windows],
            "message": self.message or None,
        }


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A job that was refused."""

    namespace: str
    name: str
    at_us: int
    """When, in microseconds since 1970."""
    message: str

    def document(self) -> dict[str, Any]:
        """Return it as `dueby calendar -o json` prints it."""
        return {
            "namespace": self.namespace,
            "name": self.name,
            "time": format_time(self.at_us),
            "message": self.message,
        }


@dataclass(frozen=True, kw_only=True)
class ClusterJobs:
    """All jobs."""

    jobs: tuple[ClusterJob, ...]
    """Those that aren't over, the earliest deadline first; those without one yet come last."""
    over: Mapping[str, int]
    """How many others there are by phase."""
    refused: tuple[Refusal, ...]
    """Of these the last that were refused, the newest first."""
    unreadable: tuple[tuple[str, str], ...]
    """The name of each job that can't be read, and what is wrong with it."""

    def document(self, *, now_us: int) -> dict[str, Any]:
        """Return them as `dueby calendar -o json` prints them."""
        return {
            "now": format_time(now_us),
            "jobs": [job.document() for job in self.jobs],
            "over": dict(self.over),
            "refused": [refusal.document() for refusal in self.refused],
            "unreadable": [{"name": name, "problem": problem} for name, problem in self.unreadable],
        }


def cluster_jobs(statuses: Iterable[NamedStatus], *, unreadable: Iterable[tuple[str, str]] = ()) -> ClusterJobs:
    """Return the jobs that have these statuses. `unreadable` are others, each with what is wrong with it."""
    jobs: list[ClusterJob] = []
    refused: list[Refusal] = []
    over: Counter[str] = Counter()
    wrong = list(unreadable)
    for named in statuses:
        try:
            if named.status.phase in OVER:
                over[named.status.phase] += 1
                refused += _refusals(named)
            else:
                jobs.append(_read_job(named))
        except Invalid as error:
            wrong.append((f"{named.namespace}/{named.name}".removeprefix("/"), str(error)))
    return ClusterJobs(
        jobs=tuple(sorted(jobs, key=_by_deadline)),
        over=dict(sorted(over.items())),
        refused=tuple(sorted(refused, key=lambda refusal: -refusal.at_us)[:_REFUSALS]),
        unreadable=tuple(wrong),
    )


def _by_deadline(job: ClusterJob) -> tuple[bool, int, str, str]:
    return job.deadline_us is None, job.deadline_us or 0, job.namespace, job.name


def _refusals(named: NamedStatus) -> Iterator[Refusal]:
    for condition in named.status.conditions:
        if condition.type == ConditionType.FAILED and condition.reason == Reason.INFEASIBLE.word:
            yield Refusal(
                namespace=named.namespace,
                name=named.name,
                at_us=_moment("status.conditions.lastTransitionTime", condition.last_transition_time),
                message=printable(condition.message),
            )


def _read_job(named: NamedStatus) -> ClusterJob:
    status = named.status
    plan = status.plan
    windows, groups = (plan.windows, plan.groups) if plan else ((), ())
    planned = (plan.gpus if plan else 0, *(w.count for w in windows), *(g.count for g in groups))
    for count in (status.gpus or 0, *planned, *(held.count for held in status.held)):
        if not 0 <= count <= _MAX_DEVICES:
            raise Invalid("status", f"speaks of {counted(count, 'device')}, which no cluster has")
    return ClusterJob(
        namespace=named.namespace,
        name=named.name,
        deadline_class=named.deadline_class,
        phase=status.phase,
        gpus=status.gpus,
        planned_gpus=plan.gpus if plan else None,
        confidence=plan.confidence if plan else None,
        deadline_us=_micros("status.deadlineTime", status.deadline_time),
        starts_us=_micros("status.starts", status.starts),
        ends_us=_micros("status.ends", status.ends),
        sure_us=_micros("status.plan.finishAtConfidence", plan.finish_at_confidence) if plan else None,
        devices=named.devices,
        held=tuple(
            HeldDevices(
                device_class=held.device_class,
                count=held.count,
                to_us=_micros("status.held.to", held.to_time),
                pool=held.pool,
            )
            for held in status.held
        ),
        groups=groups,
        windows=tuple(
            ReservedWindow(
                window=window,
                from_us=_moment("status.plan.windows.from", window.from_time),
                to_us=_moment("status.plan.windows.to", window.to_time),
            )
            for window in windows
        ),
        message=printable(status.message or ""),
    )


def _micros(name: str, text: str | None) -> int | None:
    return None if text is None else _moment(name, text)


def _moment(name: str, text: str) -> int:
    try:
        return parse_time_us(text)
    except ValueError:
        raise Invalid(name, f"must be a time such as 2026-12-01T06:00:00Z, but is {text[:80]!r}") from None


def _time(micros: int | None) -> str | None:
    return None if micros is None else format_time(micros)

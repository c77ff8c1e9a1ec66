"""The jobs of a cluster, as its API server shows them: what their status says of devices and times.

Everything is checked as it is read. A job that can't be read is told of, and the others are shown.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from dueby_api.errors import Invalid
from dueby_api.inference_job import DeadlineClass
from dueby_api.plan import PlannedGroup
from dueby_api.schema import LenientSpec, Meta, decode, validate
from dueby_api.status import JobStatus, Phase, WindowStatus
from dueby_api.units import format_time, parse_time_us
from dueby_api.words import counted
from dueby_pages.untrusted import printable

# Characters of a list. 5,000 jobs with a status as large as the API server takes have fewer.
MAX_LIST = 2**30
# Devices of a job: more than any cluster has, and few enough to reckon with.
_MAX_DEVICES = 10**9
_OVER: tuple[Phase, ...] = ("Succeeded", "Failed")


class _List(LenientSpec, frozen=True, kw_only=True):
    """What kubectl prints."""

    items: tuple[Any, ...]


class _Metadata(LenientSpec, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=253)]
    namespace: Annotated[str, Meta(max_length=253)] = ""


class _Spec(LenientSpec, frozen=True, kw_only=True):
    deadline_class: DeadlineClass = "Soft"


class _Item(LenientSpec, frozen=True, kw_only=True):
    metadata: _Metadata
    spec: _Spec
    status: JobStatus | None = None


@dataclass(frozen=True, kw_only=True)
class ReservedWindow:
    """A window with its times, in microseconds since 1970."""

    window: WindowStatus
    from_us: int
    to_us: int


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
class ClusterJobs:
    """The jobs of a list."""

    jobs: tuple[ClusterJob, ...]
    """Those that aren't over, the earliest deadline first; those without one yet come last."""
    over: Mapping[str, int]
    """How many others there are by phase."""
    unreadable: tuple[tuple[str, str], ...]
    """The name of each job that can't be read, and what is wrong with it."""

    def document(self, *, now_us: int) -> dict[str, Any]:
        """Return them as `dueby calendar -o json` prints them."""
        return {
            "now": format_time(now_us),
            "jobs": [job.document() for job in self.jobs],
            "over": dict(self.over),
            "unreadable": [{"name": name, "problem": problem} for name, problem in self.unreadable],
        }


def read_jobs(text: str, *, origin: str, namespace: str | None) -> ClusterJobs:
    """Return the jobs of a namespace, or of all, in the List that `kubectl get infj -o json` prints.

    Raise Invalid if it is none.
    """
    jobs: list[ClusterJob] = []
    unreadable: list[tuple[str, str]] = []
    for item in _items(text, origin=origin):
        try:
            job = _read_job(item)
        except Invalid as error:
            unreadable.append((_name_of(item), str(error)))
            continue
        if namespace in (None, job.namespace):
            jobs.append(job)
    open_jobs = [job for job in jobs if job.phase not in _OVER]
    return ClusterJobs(
        jobs=tuple(sorted(open_jobs, key=_by_deadline)),
        over=dict(sorted(Counter(job.phase for job in jobs if job.phase in _OVER).items())),
        unreadable=tuple(unreadable),
    )


def _by_deadline(job: ClusterJob) -> tuple[bool, int, str, str]:
    return job.deadline_us is None, job.deadline_us or 0, job.namespace, job.name


def _items(text: str, *, origin: str) -> Iterator[Any]:
    try:
        items = decode(_List, text, origin=origin).items
    except Invalid as error:
        raise Invalid(error.field, f"{error.message}; give what `kubectl get infj -A -o json` prints") from None
    for item in items:
        if not isinstance(item, Mapping) or item.get("kind") == "InferenceJob":
            yield item


def _read_job(item: object) -> ClusterJob:
    if not isinstance(item, Mapping):
        raise Invalid("items", "must hold InferenceJobs only")
    found = validate(_Item, item)
    status = found.status or JobStatus()
    plan = status.plan
    windows, groups = (plan.windows, plan.groups) if plan else ((), ())
    counts = (status.gpus or 0, plan.gpus if plan else 0, *(w.count for w in windows), *(g.count for g in groups))
    for count in counts:
        if not 0 <= count <= _MAX_DEVICES:
            raise Invalid("status", f"speaks of {counted(count, 'device')}, which no cluster has")
    return ClusterJob(
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        deadline_class=found.spec.deadline_class,
        phase=status.phase,
        gpus=status.gpus,
        planned_gpus=plan.gpus if plan else None,
        confidence=plan.confidence if plan else None,
        deadline_us=_micros("status.deadlineTime", status.deadline_time),
        starts_us=_micros("status.starts", status.starts),
        ends_us=_micros("status.ends", status.ends),
        sure_us=_micros("status.plan.finishAtConfidence", plan.finish_at_confidence) if plan else None,
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


def _name_of(item: object) -> str:
    """Return what to call an item that can't be read."""
    metadata = item.get("metadata") if isinstance(item, Mapping) else None
    words = [metadata.get(field) for field in ("namespace", "name")] if isinstance(metadata, Mapping) else []
    return printable("/".join(word[:253] for word in words if isinstance(word, str))) or "a job without a name"


def _micros(field: str, text: str | None) -> int | None:
    return None if text is None else _moment(field, text)


def _moment(field: str, text: str) -> int:
    try:
        return parse_time_us(text)
    except ValueError:
        raise Invalid(field, f"must be a time such as 2026-12-01T06:00:00Z, but is {text[:80]!r}") from None


def _time(micros: int | None) -> str | None:
    return None if micros is None else format_time(micros)

"""The jobs of a cluster as a calendar that is shown: what they have now, and what is reserved for them."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from operator import itemgetter

from dueby_api.units import MICROS_PER_SECOND
from dueby_api.words import counted, noun_of
from dueby_pages.calendar import ShownCalendar, ShownHold, ShownJob, ShownPool, peak, work_words
from dueby_pages.charts.axes import name_moment
from dueby_pages.cluster_jobs import ClusterJob, ClusterJobs, HeldDevices, Refusal

# Jobs that can't be read of which it is said why; of more it says how many there are.
_NAMED = 5
# A refusal is told for a day. After that it is in the job's status only.
_NEWS_S = 86_400


@dataclass(frozen=True, kw_only=True)
class ClassSize:
    """The devices of a class that a cluster has."""

    devices: int
    others: int = 0
    """Those that pods have now which are no worker of a job on this class."""


def shown_cluster(
    cluster: ClusterJobs, *, now_us: int, with_namespaces: bool, sizes: Mapping[str, ClassSize] | None = None
) -> ShownCalendar:
    """Return the calendar as it is shown.

    `with_namespaces` is whether a job's name says where it is, and `sizes` are the cluster's devices by class; without
    them only those are known that jobs have.
    """
    sizes = sizes or {}
    # Statuses have times to the second, and so has what is shown of them.
    now_us -= now_us % MICROS_PER_SECOND
    jobs = tuple(_shown_job(job, now_us=now_us, with_namespace=with_namespaces) for job in cluster.jobs)
    holds = [hold for job in jobs for hold in job.holds]
    return ShownCalendar(
        now_us=now_us,
        jobs=jobs,
        pool=tuple(
            ShownPool(
                device_class=name,
                devices=sizes[name].devices if name in sizes else None,
                peak=peak(hold for hold in holds if hold.device_class == name),
                others=sizes[name].others if name in sizes else 0,
            )
            for name in sorted({*sizes, *(hold.device_class for hold in holds)})
        ),
        device="device",
        is_of_cluster=True,
        maker="dueby calendar",
        notes=tuple(_notes(cluster, now_us=now_us, with_namespaces=with_namespaces)),
    )


def within_sizes(shown: ShownCalendar) -> ShownCalendar:
    """Return the calendar with no more devices of a class held at once than there are, where that is known.

    The operator writes jobs' statuses one after the other, so that one may still speak of devices that are another's by
    now. What began last is believed first, then what is reserved, in its order; of what is left of the others the
    calendar has only as much as there is room for. A note says so.
    """
    excess = [pool for pool in shown.pool if pool.devices is not None and pool.peak > pool.devices]
    if not excess:
        return shown
    held = _cut(shown, {pool.device_class: pool.devices or 0 for pool in excess})
    jobs = tuple(replace(job, holds=tuple(holds)) for job, holds in zip(shown.jobs, held, strict=True))
    notes = [
        f"{pool.device_class}: the jobs' statuses are of different moments and add up to {pool.peak:,} of the "
        f"{counted(pool.devices or 0, shown.device)} that there {noun_of(pool.devices or 0, 'is', 'are')}; "
        "what is older is shown in part."
        for pool in excess
    ]
    pools = (replace(pool, peak=peak(_of_class(jobs, pool.device_class))) for pool in shown.pool)
    return replace(shown, jobs=jobs, pool=tuple(pools), notes=(*notes, *shown.notes))


def _of_class(jobs: Iterable[ShownJob], device_class: str) -> Iterator[ShownHold]:
    return (hold for job in jobs for hold in job.holds if hold.device_class == device_class)


def _cut(shown: ShownCalendar, devices: Mapping[str, int]) -> list[list[ShownHold]]:
    """Return by job what it holds of these classes within their devices, and all that it holds of others."""
    # What is overdue may be others' from now on, so it has a count of its own.
    free, overdue = {name: _FreeOverTime(count) for name, count in devices.items()}, dict(devices)
    held: list[list[ShownHold]] = [[] for _ in shown.jobs]
    every = [(hold, number) for number, job in enumerate(shown.jobs) for hold in job.holds]
    for hold, number in sorted(every, key=lambda found: (found[0].from_s > 0, abs(found[0].from_s))):
        name = hold.device_class
        if name not in devices:
            held[number].append(hold)
        elif hold.to_s > 0:
            held[number] += free[name].take(hold)
        elif count := min(hold.count, overdue[name]):
            overdue[name] -= count
            held[number].append(replace(hold, count=count))
    return held


class _FreeOverTime:
    """Devices that are free from each moment to the next, from now on."""

    def __init__(self, devices: int) -> None:
        self._from_s = [0.0]
        self._free = [devices]

    def take(self, hold: ShownHold) -> Iterator[ShownHold]:
        """Take what is free of it; yield it, in pieces where that changes."""
        first, last = self._split(max(0.0, hold.from_s)), self._split(hold.to_s)
        edges = [hold.from_s, *self._from_s[first + 1 : last], hold.to_s]
        counts = [min(hold.count, free) for free in self._free[first:last]]
        self._free[first:last] = [free - count for free, count in zip(self._free[first:last], counts, strict=True)]
        pieces = zip(counts, pairwise(edges), strict=True)
        for count, spans in groupby(pieces, key=itemgetter(0)):
            (_, (from_s, to_s)), *more = spans
            if count:
                yield replace(hold, count=count, from_s=from_s, to_s=more[-1][1][1] if more else to_s)

    def _split(self, moment_s: float) -> int:
        """Return the number of the span that begins then."""
        at = bisect_left(self._from_s, moment_s)
        if at == len(self._from_s) or self._from_s[at] != moment_s:
            self._from_s.insert(at, moment_s)
            self._free.insert(at, self._free[at - 1])
        return at


def _shown_job(job: ClusterJob, *, now_us: int, with_namespace: bool) -> ShownJob:
    def seconds(moment_us: int | None) -> float | None:
        return None if moment_us is None else (moment_us - now_us) / MICROS_PER_SECOND

    name = _called(job, with_namespace=with_namespace)
    slack_s = _slack_s(job, now_us)
    is_late = slack_s is not None and slack_s < 0
    return ShownJob(
        name=name,
        deadline_class=job.deadline_class,
        state=job.phase,
        deadline_s=seconds(job.deadline_us),
        starts_s=seconds(job.starts_us),
        expected_s=seconds(job.ends_us),
        sure_s=seconds(job.sure_us),
        confidence=job.confidence,
        slack_s=slack_s,
        gpus=job.gpus or (job.planned_gpus if job.windows else None),
        holds=(*_running(job, now_us), *_reserved(job, now_us)),
        sentence=f"{name}: {job.message}" if job.message and (is_late or job.phase == "Queued") else "",
    )


def _called(job: ClusterJob | Refusal, *, with_namespace: bool) -> str:
    return f"{job.namespace}/{job.name}" if with_namespace and job.namespace else job.name


def _slack_s(job: ClusterJob, now_us: int) -> float | None:
    if job.deadline_us is None:
        return None
    if job.ends_us is None and job.deadline_us >= now_us:
        return None
    # A job that isn't over ends now at the earliest.
    return (job.deadline_us - max(job.ends_us or now_us, now_us)) / MICROS_PER_SECOND


def _running(job: ClusterJob, now_us: int) -> Iterator[ShownHold]:
    """Yield what the job's workers have now, until it is expected to end or they are meant for others."""
    until_us = job.ends_us or job.deadline_us
    if not job.gpus or until_us is None:
        return
    for held in _held(job):
        to_us = until_us if held.to_us is None else min(until_us, held.to_us)
        yield ShownHold(
            device_class=_heading(held.device_class, held.pool),
            from_s=min(0, (job.starts_us or now_us) - now_us) / MICROS_PER_SECOND,
            # What is overdue still has them.
            to_s=max(0, to_us - now_us) / MICROS_PER_SECOND,
            count=held.count,
        )


def _held(job: ClusterJob) -> Iterable[HeldDevices]:
    """Return what the job has, as its status says it unless more is known."""
    classes = Counter[str]()
    for held in job.held:
        classes[held.device_class] += held.count
    counts = job.devices or classes or _planned(job, job.gpus or 0)
    if counts == classes:
        return job.held
    return [HeldDevices(device_class=name, count=count, to_us=None) for name, count in counts.items()]


def _planned(job: ClusterJob, gpus: int) -> Mapping[str, int]:
    """Return the devices that a job has by class: the status counts them, and the plan says what they were to be."""
    classes = Counter[str]()
    for group in job.groups:
        classes[group.device_class] += group.count
    return classes if classes.total() == gpus else {" or ".join(classes) or "of unknown class": gpus}


def _reserved(job: ClusterJob, now_us: int) -> Iterator[ShownHold]:
    for reserved in job.windows:
        window = reserved.window
        if reserved.from_us < reserved.to_us and reserved.to_us > now_us:
            yield ShownHold(
                device_class=_heading(window.device_class, window.pool, is_announced=bool(window.announced)),
                from_s=(reserved.from_us - now_us) / MICROS_PER_SECOND,
                to_s=(reserved.to_us - now_us) / MICROS_PER_SECOND,
                count=window.count,
                work=work_words(images=window.images, mini_batch_size=window.mini_batch_size, engine=window.engine),
            )


def _heading(device_class: str, pool: str | None, *, is_announced: bool = False) -> str:
    """Return below which heading devices are drawn. Those on no node yet are none of those that there are."""
    if pool:
        return f"{device_class}, asked for of {pool}"
    return f"{device_class}, announced" if is_announced else device_class


def _notes(cluster: ClusterJobs, *, now_us: int, with_namespaces: bool) -> Iterator[str]:
    for refusal in cluster.refused:
        ago_s = (now_us - refusal.at_us) / MICROS_PER_SECOND
        if ago_s < _NEWS_S:
            name = _called(refusal, with_namespace=with_namespaces)
            yield f"{name} was refused at {name_moment(now_us, -ago_s)}. {refusal.message}"
    if cluster.over:
        count = sum(cluster.over.values())
        phases = ", ".join(f"{number:,} {phase}" for phase, number in cluster.over.items())
        yield f"{counted(count, 'job')} {noun_of(count, 'is', 'are')} over: {phases}."
    for name, problem in cluster.unreadable[:_NAMED]:
        yield f"{name} can't be read: {problem}."
    if len(cluster.unreadable) > _NAMED:
        yield f"{counted(len(cluster.unreadable) - _NAMED, 'other job')} can't be read either."

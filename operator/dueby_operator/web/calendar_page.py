"""The cluster's calendar as a page: what the last pass has left, drawn when somebody asks for it.

The control loop only hands over what it has anyway. Everything else happens in the thread of who asks: at most once a
second, of no more jobs than somebody looks at, and in a small share of the time, since the loop has the same
interpreter. Nothing is asked of the API server.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dueby_api.inference_job import InferenceJob, JobSpec
from dueby_api.units import MICROS_PER_SECOND, format_duration
from dueby_api.words import counted
from dueby_operator.cluster.allotments import PER_NODE
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.nodes import SLICE, Node, classes_on, is_open, workers_within
from dueby_operator.cluster.requests import tolerations_of, worker_requests
from dueby_operator.control.conditions import is_over
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.model.devices import Devices
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.web.job_values import held_devices
from dueby_pages.calendar import ShownCalendar
from dueby_pages.calendar_page import render_calendar
from dueby_pages.cluster_calendar import ClassSize, shown_cluster
from dueby_pages.cluster_jobs import NamedStatus, cluster_jobs

# A page is drawn no more often than this, and after so many times as long as the last one took.
DRAW_EVERY_S, REST = 1.0, 10
# An idle operator looks every 30 s. After this long the page says that it is old.
OLD_S = 60.0
# What a page shows of: jobs, the windows and groups of their plans, and device classes.
MAX_JOBS, MAX_HOLDS, MAX_CLASSES = 500, 1_000, 50


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What the last pass has left."""

    now_us: int
    jobs: Sequence[JobSnapshot]
    devices: ClusterDevices
    at_s: float
    """When that was, by the page's clock."""


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """A job that isn't over, with the devices that its workers have now by class."""

    job: JobSnapshot
    held: Counter[str]

    @property
    def classes(self) -> list[str]:
        """The classes of its devices, now and later: one for each block that is drawn."""
        plan = self.job.status.plan
        groups, windows = (plan.groups, plan.windows) if plan else ((), ())
        return [*self.held, *(group.device_class for group in groups), *(window.device_class for window in windows)]


@dataclass(frozen=True, kw_only=True)
class _Size:
    """The devices of a class on nodes that are there."""

    devices: int
    free: int


class CalendarPage:
    """The page of one operator."""

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._seen: _Seen | None = None
        self._drawing = threading.Lock()
        self._page = b""
        self._next_s = float("-inf")
        """When the page may be drawn again."""

    def show(self, snapshot: ClusterSnapshot, devices: Devices) -> None:
        """Show this pass, and the devices that it has left, from now on."""
        if isinstance(devices, ClusterDevices):
            self._seen = _Seen(now_us=snapshot.now_us, jobs=snapshot.jobs, devices=devices, at_s=self._clock_s())

    def draw(self) -> bytes | None:
        """Return the page as UTF-8; None before the first pass."""
        with self._drawing:
            seen, now_s = self._seen, self._clock_s()
            if seen is None:
                return None
            if now_s >= self._next_s:
                shown = shown_calendar(seen.jobs, seen.devices, now_us=seen.now_us)
                warnings = (*_age(now_s - seen.at_s), *seen.devices.warnings)
                self._page = render_calendar(replace(shown, warnings=warnings)).encode()
                self._next_s = now_s + max(DRAW_EVERY_S, REST * (self._clock_s() - now_s))
            return self._page


def _age(age_s: float) -> Iterator[str]:
    if age_s > OLD_S:
        yield f"the operator has not looked at the cluster for {format_duration(round(age_s * MICROS_PER_SECOND))}"


def shown_calendar(jobs: Sequence[JobSnapshot], devices: ClusterDevices, *, now_us: int) -> ShownCalendar:
    over = [job for job in jobs if is_over(job.status)]
    unfinished = [_Drawn(job=job, held=held_devices(job)) for job in jobs if not is_over(job.status)]
    drawn = _first(unfinished)
    shown_jobs = cluster_jobs(
        [*(_named(job, Counter()) for job in over), *(_named(drawn_job.job, drawn_job.held) for drawn_job in drawn)],
    )
    left_out = len(unfinished) - len(drawn)
    notes = (f"{counted(left_out, 'other job')} can't be shown here: there are too many.",) if left_out else ()
    shown = shown_cluster(shown_jobs, now_us=now_us, with_namespaces=True, sizes=_sizes(devices, unfinished, drawn))
    return replace(shown, maker="the operator", notes=(*shown.notes, *notes))


def _named(job: JobSnapshot, held: Mapping[str, int]) -> NamedStatus:
    deadline_class = job.manifest.spec.deadline_class if isinstance(job.manifest, InferenceJob) else "Soft"
    return NamedStatus(
        namespace=job.namespace, name=job.name, deadline_class=deadline_class, status=job.status, devices=held
    )


def _first(jobs: Iterable[_Drawn]) -> list[_Drawn]:
    """Return the jobs that there is room for: first those that have devices, now or later, and by deadline."""
    chosen, room = [], MAX_HOLDS
    for drawn in sorted(jobs, key=lambda drawn: (not drawn.classes, drawn.job.status.deadline_time or "~"))[:MAX_JOBS]:
        room -= len(drawn.classes)
        if room >= 0:
            chosen.append(drawn)
    return chosen


def _sizes(devices: ClusterDevices, unfinished: Iterable[_Drawn], drawn: Iterable[_Drawn]) -> dict[str, ClassSize]:
    """Return the devices of each class of GPUs, and of the CPU slices that are drawn."""
    specs = {
        name: drawn_job.job.manifest.spec
        for drawn_job in drawn
        if isinstance(drawn_job.job.manifest, InferenceJob)
        for name in drawn_job.classes
    }
    slices = {name: spec for name, spec in specs.items() if name not in devices.kinds}
    # Those that nobody uses come last.
    gpus = sorted(devices.kinds, key=lambda name: (name not in specs, name))[:MAX_CLASSES]
    held = sum((unfinished_job.held for unfinished_job in unfinished), Counter[str]())
    sizes = {**_gpu_sizes(devices, gpus), **{name: _slices(devices, name, spec) for name, spec in slices.items()}}
    return {
        name: ClassSize(devices=size.devices, others=max(0, size.devices - size.free - held[name]))
        for name, size in sizes.items()
        if size.devices
    }


def _gpu_sizes(devices: ClusterDevices, classes: Collection[str]) -> dict[str, _Size]:
    """Return the sizes of these classes of GPUs; a GPU is free if no pod has it, whatever else its node lacks."""
    sizes = dict.fromkeys(classes, _Size(devices=0, free=0))
    for node in devices.open_nodes:
        for name, kind in node.devices.items():
            if name in sizes and node.is_ready:
                size, free = sizes[name], min(kind.count, workers_within(node.free, kind.request))
                sizes[name] = _Size(devices=size.devices + kind.count, free=size.free + free)
    return sizes


def _slices(devices: ClusterDevices, device_class: str, spec: JobSpec) -> _Size:
    """Return the size of a class of CPU slices, as what a job that uses it asks for fits on the nodes."""
    requests = worker_requests(spec, devices.settings, device_class)
    per_node = {**{name: requests[name] for name in PER_NODE}, SLICE: 1.0}
    tolerations = tolerations_of(spec)

    def is_usable(node: Node) -> bool:
        return device_class in classes_on(node) and is_open(node, tolerations=tolerations, selector=None)

    nodes = [node for node in devices.open_nodes if is_usable(node)]
    return _Size(
        devices=sum(workers_within(node.allocatable, per_node) for node in nodes),
        free=sum(workers_within(node.free, per_node) for node in nodes),
    )

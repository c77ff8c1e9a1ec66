"""Whether what was measured is what one would measure now: its driver, its image, torch and steps. Pure.

                  what the profile says            what is so now
    driver        spec.device.driver               the node's label of GPU feature discovery
    image         spec.software.imageName          the worker's image in the operator's settings
    torch         spec.software.torch              of the node's latest profile that was measured with that image
    build         spec.software.image, a digest    of the same
    steps         spec.steps                       what jobs have shown of the class since (spec.observed), if enough

What differs is measured again at once, by a Job of the node's CronJob that is made once for a drift; what measuring
doesn't cure is the CronJob's affair, at its own time. Digests and torch are compared on one node only: nodes of several
kinds have several builds of one image, and would have each other measured for ever.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dueby_api.conditions import Reason
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, ProfileSpec
from dueby_api.schema import LenientSpec, decode, field, validate
from dueby_api.status import ProfileStatus
from dueby_api.subject import ModelSubject, Subject, model_subject, node_of, profile_subject
from dueby_api.units import MICROS_PER_SECOND
from dueby_api.words import counted
from dueby_operator import paths
from dueby_operator.cluster.nodes import Node
from dueby_operator.jobs import names
from dueby_operator.model.writes import Add
from dueby_operator.objects.jobs import BatchJob, CronJob
from dueby_operator.objects.parse import micros_of
from dueby_operator.profiling.known_profiles import is_managed, node_subject
from dueby_operator.profiling.measurements import ScheduledConfig
from dueby_operator.profiling.provenance import IMAGE, IMAGE_NAME, driver_of, measured_s
from dueby_operator.profiling.scheduled_jobs import KEPT_S, job_now
from dueby_planner.profiles.observed import find_drift, summarize_steps

# From one Job that is made for a drift to the next one of the same CronJob.
REST_US = 3_600_000_000
# What jobs say is their tenants' word, and has no node measured more than once a day.
STEPS_REST_US = 24 * REST_US


class _PodMetadata(LenientSpec, frozen=True, kw_only=True):
    annotations: dict[str, str] = field(default_factory=dict)


class _PodTemplate(LenientSpec, frozen=True, kw_only=True):
    metadata: _PodMetadata = field(default_factory=_PodMetadata)


class _JobSpec(LenientSpec, frozen=True, kw_only=True):
    template: _PodTemplate = field(default_factory=_PodTemplate)


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A CronJob that measures a node's devices of a class."""

    cron: CronJob
    subjects: Sequence[ModelSubject]

    @property
    def name(self) -> str:
        """The CronJob's name."""
        return self.cron.name

    def measures(self, spec: ProfileSpec) -> bool:
        """Return whether it measures what this is of, given that node and class are its own."""
        about = profile_subject(spec).about
        return any(subject.admits(about) for subject in self.subjects)


@dataclass(frozen=True, kw_only=True)
class Now:
    """What a node's profile is compared with."""

    node: Node
    image: str
    """The worker's image, by the operator's settings."""
    latest: ProfileSpec | None
    """The node's latest profile that was measured with that image."""
    of_class: ProfileSpec | None
    """What its class's profile says, with what jobs have shown of it."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What isn't so any more."""

    reason: Reason
    message: str


def drifts(profiles: Sequence[GPUProfile], nodes: Mapping[str, Node], *, image: str) -> dict[str, Drift | None]:
    """Return the drift of each profile of a node that exists, by its name; None if all is as it was measured."""
    latest: dict[str, ProfileSpec] = {}
    of_class: dict[tuple[str, Subject], ProfileSpec] = {}
    for profile in sorted(profiles, key=lambda profile: measured_s(profile.spec)):
        if profile.spec.device.node is None:
            of_class[node_of(profile.spec.device_class), node_subject(profile.spec)] = profile.spec
        elif profile.spec.software.get(IMAGE_NAME) == image:
            latest[profile.spec.device.node] = profile.spec
    drift_of: dict[str, Drift | None] = {}
    for profile in profiles:
        if node := nodes.get(profile.spec.device.node or ""):
            shown = of_class.get((node.name if node.is_slow else "", node_subject(profile.spec)))
            now = Now(node=node, image=image, latest=latest.get(node.name), of_class=shown)
            drift_of[profile.name] = next((drift for check in _CHECKS if (drift := check(profile.spec, now))), None)
    return drift_of


def clocks(cron_jobs: Iterable[CronJob]) -> dict[tuple[str, str], Clock]:
    """Return the CronJobs by node and class. One whose template can't be read measures nothing that we know of."""
    by_device = {}
    for cron in cron_jobs:
        annotations = cron.metadata.annotations
        subjects = _subjects_of(cron)
        by_device[annotations.get(names.NODE, ""), annotations.get(names.DEVICE_CLASS, "")] = Clock(
            cron=cron, subjects=subjects
        )
    return by_device


def clock_of(profile: GPUProfile, by_device: Mapping[tuple[str, str], Clock]) -> Clock | None:
    """Return the CronJob by which a node's profile is measured again. What was applied by hand stands, and has none."""
    clock = by_device.get((str(profile.spec.device.node), profile.spec.device_class))
    return clock if clock and is_managed(profile) and clock.measures(profile.spec) else None


def measure_again(
    drifted: Iterable[tuple[GPUProfile, Drift]],
    by_device: Mapping[tuple[str, str], Clock],
    jobs: Iterable[BatchJob],
    *,
    profiles: Iterable[GPUProfile],
    now_us: int,
) -> list[Add]:
    """Return the Jobs that measure at once what has changed, one for each CronJob that measures it.

    `profiles` are all that there are.
    """
    lately = _last_measured(profiles)
    jobs_of: dict[str, list[BatchJob]] = defaultdict(list)
    for job in jobs:
        jobs_of[job.metadata.labels.get(names.PROFILED, "")].append(job)
    waiting: dict[str, tuple[Clock, ProfileSpec, Drift]] = {}
    for profile, drift in sorted(drifted, key=lambda one: measured_s(one[0].spec)):
        clock = clock_of(profile, by_device)
        if clock is None or _is_rumour(drift, profile.spec, now_us):
            continue
        # An engine that only `auto` stands for was measured when another one won, too.
        is_named = profile_subject(profile.spec).about in clock.subjects
        last_s = measured_s(profile.spec) if is_named else lately[_of_any_engine(profile)]
        if not _is_left(drift, profile, last_s, now_us):
            waiting[clock.name] = clock, profile.spec, drift
    writes = []
    for clock, latest, drift in waiting.values():
        again = names.again_name(clock.name, str(latest.measured_at))
        existing = jobs_of[clock.name]
        is_there = any(not job.is_over or _is_recent(job, now_us) or job.name == again for job in existing)
        if not is_there and not clock.cron.spec.suspend:
            path = paths.batch_path(clock.cron.metadata.namespace)
            writes.append(Add(kind=path, document=job_now(clock.cron, again, reason=drift.reason.word)))
    return writes


def _subjects_of(cron: CronJob) -> list[ModelSubject]:
    try:
        template = validate(_JobSpec, cron.spec.job_template.spec).template
        config = decode(ScheduledConfig, template.metadata.annotations.get(names.CONFIG, ""))
    except Invalid:
        return []
    return [model_subject(subject.model) for subject in config.workers]


def _is_recent(job: BatchJob, now_us: int) -> bool:
    """Return whether it was made for a drift, and not long ago."""
    if names.REASON not in job.metadata.annotations:
        return False
    return now_us < (job.metadata.created_us or 0) + REST_US


def _is_rumour(drift: Drift, spec: ProfileSpec, now_us: int) -> bool:
    """Return whether only jobs say so, of what was measured a short while ago."""
    return drift.reason is Reason.STEPS_OFF and now_us < measured_s(spec) * MICROS_PER_SECOND + STEPS_REST_US


def _of_any_engine(profile: GPUProfile) -> tuple[str, Subject]:
    """Return a node, and what the profile is about there but for the engine."""
    return str(profile.spec.device.node), node_subject(profile.spec).of_any_engine()


def _last_measured(profiles: Iterable[GPUProfile]) -> dict[tuple[str, Subject], float]:
    """Return when each node's subjects were measured last, with whichever engine, in seconds since 1970."""
    last_s: dict[tuple[str, Subject], float] = defaultdict(float)
    for profile in profiles:
        about = _of_any_engine(profile)
        last_s[about] = max(last_s[about], measured_s(profile.spec))
    return last_s


def _is_left(drift: Drift, profile: GPUProfile, last_s: float, now_us: int) -> bool:
    """Return whether this is left to the schedule: noticed a day ago, or before it was measured last, at `last_s`.

    Measuring doesn't cure everything, such as a label that is behind its driver, or an image that the cluster gives
    another name; and not everything can be measured again. The Job that was made for it is kept for a day.
    """
    conditions = (profile.status or ProfileStatus()).conditions
    before = next((condition for condition in conditions if condition.type == str(drift.reason.type)), None)
    if before is None or not before.message.startswith(f"{drift.message}. "):
        return False
    noticed_us = micros_of(before.last_transition_time)
    return noticed_us is not None and noticed_us < max(last_s * MICROS_PER_SECOND, now_us - KEPT_S * MICROS_PER_SECOND)


def _driver(spec: ProfileSpec, now: Now) -> Drift | None:
    before, driver = spec.device.driver or "", driver_of(now.node)
    # A version may be given with fewer parts than another.
    is_same = all(a == b for a, b in zip(_numbers(before), _numbers(driver)))
    if not before or not driver or is_same:
        return None
    message = f"The driver of {now.node.name} was {before} and is {driver}"
    return Drift(reason=Reason.DRIVER_CHANGED, message=message)


def _image_name(spec: ProfileSpec, now: Now) -> Drift | None:
    before = spec.software.get(IMAGE_NAME)
    if not before or before == now.image:
        return None
    message = f"It was measured with the image {before}, and workers have {now.image}"
    return Drift(reason=Reason.IMAGE_CHANGED, message=message)


def _torch(spec: ProfileSpec, now: Now) -> Drift | None:
    before, version = _of_later(spec, now, "torch")
    if before == version:
        return None
    message = f"It was measured with torch {before}, and workers have {version}"
    return Drift(reason=Reason.TORCH_CHANGED, message=message)


def _build(spec: ProfileSpec, now: Now) -> Drift | None:
    before, build = _of_later(spec, now, IMAGE)
    if before == build or not spec.software.get(IMAGE_NAME):
        return None
    message = f"It was measured with the build {before} of the image {now.image}, and workers have {build}"
    return Drift(reason=Reason.IMAGE_CHANGED, message=message)


def _steps(spec: ProfileSpec, now: Now) -> Drift | None:
    if now.of_class is None:
        return None
    since = tuple(row for row in now.of_class.observed if spec.measured_at is None or row.time > spec.measured_at)
    seen = now.of_class.replace(observed=since)
    off, shown = find_drift(seen), summarize_steps(seen)
    if off is None or shown is None:
        return None
    how = "longer" if off > 0 else "shorter"
    seen_in = f"{counted(shown.jobs, 'job')} ({counted(shown.steps, 'step')})"
    message = f"In {seen_in} its class's steps were {abs(off):.0%} {how} than measured"
    return Drift(reason=Reason.STEPS_OFF, message=message)


_CHECKS = (_driver, _image_name, _torch, _build, _steps)


def _of_later(spec: ProfileSpec, now: Now, what: str) -> tuple[str, str]:
    """Return what the profile says of its software, and what the node's latest says, if that is later and says it."""
    before = str(spec.software.get(what) or "")
    if now.latest is None or measured_s(now.latest) <= measured_s(spec) or not before:
        return before, before
    return before, str(now.latest.software.get(what) or before)


def _numbers(version: str) -> list[str]:
    return [part.lstrip("0") or "0" for part in version.split(".")]

"""Whether what was measured is what one would measure now: its driver, its image, torch and steps. Pure.

                  what the profile says            what is so now
    driver        spec.device.driver               the node's label of GPU feature discovery
    image         spec.software.imageName          the worker's image that the operator is told
    torch         spec.software.torch              of the node's latest profile that was measured with that image
    build         spec.software.image, a digest    of the same
    steps         spec.steps                       what jobs have shown of the class since (spec.observed), if enough

What differs is measured anew at once, by a Job of the node's CronJob that is made once for a drift; what comes of it
is the CronJob's affair, at its own time. Digests and torch are compared on one node only: nodes of several kinds have
several builds of one image, and would have each other measured for ever.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dueby_api.gpu_profile import GPUProfile, ProfileSpec
from dueby_operator.cluster.nodes import Node
from dueby_operator.control.writes import Add
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import is_complete, is_failed, micros_of
from dueby_operator.profiling.class_profiles import is_managed, subject_of
from dueby_operator.profiling.provenance import IMAGE, IMAGE_NAME, driver_of, measured_s
from dueby_operator.profiling.scheduled_jobs import job_now
from dueby_planner.profiles.observed import find_drift, summarize_steps

# What measuring doesn't cure, such as a label that is behind its driver, is not measured at once again and again.
REST_US = 3_600_000_000
Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A CronJob that measures a node's devices of a class."""

    document: Document
    models: Sequence[Document]

    @property
    def name(self) -> str:
        """The CronJob's."""
        return str(self.document["metadata"]["name"])

    def measures(self, spec: ProfileSpec) -> bool:
        """Whether it measures what this is of, the node and the class being its own."""
        about = spec.model.name, spec.model.image_size, spec.model.precision
        return any(
            (model["name"], model["imageSize"], model["precision"]) == about
            and model["engine"] in ("auto", spec.engine)
            for model in self.models
        )


@dataclass(frozen=True, kw_only=True)
class Now:
    """What a node's profile is compared with."""

    node: Node
    image: str
    """The worker's, by the operator's setting."""
    latest: ProfileSpec | None
    """Of the node's, measured with that image."""
    of_class: ProfileSpec | None
    """What its class's profile says, with what jobs have shown of it."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What isn't so any more."""

    reason: str
    told: str


def drifts(profiles: Sequence[GPUProfile], nodes: Mapping[str, Node], *, image: str) -> dict[str, Drift | None]:
    """Of each profile of a node that is there, by its name; None where everything is as it was measured."""
    latest: dict[str, ProfileSpec] = {}
    of_class: dict[tuple[str, ...], ProfileSpec] = {}
    for profile in sorted(profiles, key=lambda profile: measured_s(profile.spec)):
        if profile.spec.device.node is None:
            of_class[(names.node_of(profile.spec.device_class), *subject_of(profile.spec))] = profile.spec
        elif profile.spec.software.get(IMAGE_NAME) == image:
            latest[profile.spec.device.node] = profile.spec
    found: dict[str, Drift | None] = {}
    for profile in profiles:
        if node := nodes.get(profile.spec.device.node or ""):
            subject = subject_of(profile.spec)
            shown = of_class.get((node.name if node.is_slow else "", *subject))
            now = Now(node=node, image=image, latest=latest.get(node.name), of_class=shown)
            found[profile.name] = next((drift for check in _CHECKS if (drift := check(profile.spec, now))), None)
    return found


def clocks(cron_jobs: Iterable[Document]) -> dict[tuple[str, str], Clock]:
    """The CronJobs by node and class."""
    found = {}
    for document in cron_jobs:
        told = document["metadata"].get("annotations", {})
        template = document["spec"]["jobTemplate"]["spec"]["template"]
        config = json.loads(template["metadata"]["annotations"][names.CONFIG])
        models = [worker["model"] for worker in config["workers"]]
        found[str(told.get(names.NODE)), str(told.get(names.DEVICE_CLASS))] = Clock(document=document, models=models)
    return found


def clock_of(profile: GPUProfile, found: Mapping[tuple[str, str], Clock]) -> Clock | None:
    """The CronJob by which a node's profile is measured again; what was applied by hand stands, and has none."""
    clock = found.get((str(profile.spec.device.node), profile.spec.device_class))
    return clock if clock and is_managed(profile) and clock.measures(profile.spec) else None


def measure_again(
    drifted: Iterable[tuple[GPUProfile, Drift]],
    found: Mapping[tuple[str, str], Clock],
    batch: Iterable[Document],
    *,
    now_us: int,
) -> list[Add]:
    """The Jobs that measure at once what has changed, one for each CronJob that measures it."""
    jobs_of: dict[str, list[Document]] = defaultdict(list)
    for job in batch:
        jobs_of[job["metadata"]["labels"][names.PROFILED]].append(job)
    waiting: dict[str, tuple[Clock, ProfileSpec, Drift]] = {}
    for profile, drift in sorted(drifted, key=lambda one: measured_s(one[0].spec)):
        if clock := clock_of(profile, found):
            waiting[clock.name] = clock, profile.spec, drift
    made = []
    for clock, latest, drift in waiting.values():
        jobs, again = jobs_of[clock.name], names.again_name(clock.name, str(latest.measured_at))
        is_there = any(is_at_work(job) or _is_recent(job, now_us) or job["metadata"]["name"] == again for job in jobs)
        if not is_there and not clock.document["spec"].get("suspend"):
            path = names.batch_path(clock.document["metadata"]["namespace"])
            made.append(Add(kind=path, document=job_now(clock.document, again, reason=drift.reason)))
    return made


def is_at_work(job: Document) -> bool:
    """Whether the Job has not ended."""
    return not (is_complete(job) or is_failed(job))


def _is_recent(job: Document, now_us: int) -> bool:
    """Whether it was made for a drift, and not long ago."""
    if names.REASON not in job["metadata"].get("annotations", {}):
        return False
    return now_us < (micros_of(job["metadata"].get("creationTimestamp")) or 0) + REST_US


def _driver(spec: ProfileSpec, now: Now) -> Drift | None:
    before, there = spec.device.driver or "", driver_of(now.node)
    # A version may be told with fewer parts than another.
    is_same = all(a == b for a, b in zip(_numbers(before), _numbers(there)))
    if not before or not there or is_same:
        return None
    return Drift(reason="DriverChanged", told=f"The driver of {now.node.name} was {before} and is {there}")


def _image_name(spec: ProfileSpec, now: Now) -> Drift | None:
    before = spec.software.get(IMAGE_NAME)
    if not before or before == now.image:
        return None
    return Drift(reason="ImageChanged", told=f"It was measured with the image {before}, and workers have {now.image}")


def _torch(spec: ProfileSpec, now: Now) -> Drift | None:
    before, there = _of_later(spec, now, "torch")
    if before == there:
        return None
    return Drift(reason="TorchChanged", told=f"It was measured with torch {before}, and workers have {there}")


def _build(spec: ProfileSpec, now: Now) -> Drift | None:
    before, there = _of_later(spec, now, IMAGE)
    if before == there or not spec.software.get(IMAGE_NAME):
        return None
    told = f"Of the image {now.image} it was measured with {before}, and workers have {there}"
    return Drift(reason="ImageChanged", told=told)


def _steps(spec: ProfileSpec, now: Now) -> Drift | None:
    if now.of_class is None:
        return None
    since = tuple(row for row in now.of_class.observed if spec.measured_at is None or row.time > spec.measured_at)
    seen = now.of_class.replace(observed=since)
    off, shown = find_drift(seen), summarize_steps(seen)
    if off is None or shown is None:
        return None
    how = "longer" if off > 0 else "shorter"
    told = f"In {shown.jobs} jobs ({shown.steps:,} steps) its class's steps were {abs(off):.0%} {how} than measured"
    return Drift(reason="StepsOff", told=told)


_CHECKS = (_driver, _image_name, _torch, _build, _steps)


def _of_later(spec: ProfileSpec, now: Now, what: str) -> tuple[str, str]:
    """What the profile says of its software, and what the node's latest does, if that is a later one and says it."""
    before = str(spec.software.get(what) or "")
    if now.latest is None or measured_s(now.latest) <= measured_s(spec) or not before:
        return before, before
    return before, str(now.latest.software.get(what) or before)


def _numbers(version: str) -> list[str]:
    return [part.lstrip("0") or "0" for part in version.split(".")]

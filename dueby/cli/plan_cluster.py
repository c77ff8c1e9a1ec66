"""`dueby plan --cluster`: what the operator of a cluster would do with jobs if they were created now.

The cluster is read with the rights of whoever asks, and nothing is written.
"""

import argparse
import time
from collections.abc import Sequence

from dueby.cli.documents import print_calendar
from dueby.cluster import connect
from dueby.inputs.needs import needing
from dueby_api.calendar import ClusterAnswer, PlannedWindow, PreviewedJob
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob
from dueby_api.prices import format_units
from dueby_api.units import MICROS_PER_SECOND
from dueby_pages.calendar import ShownCalendar, ShownHold, ShownJob, ShownPool, work_words
from dueby_planner.schedule.free_devices import PROMISED

# What a plan depends on that isn't known before the job is there.
INDEXED = "The jobs count as indexed: to list the source, and to try the job's pods, takes time that isn't in it."


def plan_in_cluster(jobs: Sequence[InferenceJob], arguments: argparse.Namespace) -> bool:
    """Print what the operator would do with the jobs; return whether each Hard and each Soft job is in time."""
    _require_nothing_else(arguments)
    api_server = connect("plan")
    with needing("plan", "cluster"):
        from dueby_operator.preview.answer import cluster_answer
        from dueby_operator.preview.preview import preview_jobs
    # Statuses have times to the second, and so have their plans.
    now_us = int(time.time()) * MICROS_PER_SECOND
    where = _namespace_of(jobs, arguments.namespace) or api_server.namespace
    answer = cluster_answer(preview_jobs(api_server.fetch, jobs, namespace=where, now_us=now_us))
    print_calendar(answer.complete_document, lambda: shown_answer(answer, now_us=now_us), arguments.output)
    urgent = [job for job in answer.jobs if job.deadline_class in PROMISED]
    return all(job.slack_seconds is not None and job.slack_seconds >= 0 for job in urgent)


def _require_nothing_else(arguments: argparse.Namespace) -> None:
    """Raise Invalid for what a cluster says itself, and for a curve, which is of one pool that stands still."""
    for option in ("pool", "compare", "profiles", "prices", "curve"):
        if getattr(arguments, option):
            raise Invalid(f"--{option}", "can't be given with --cluster, which plans with what the cluster has")
    if arguments.output == "svg":
        raise Invalid("-o", "svg is the picture of a curve; take html")


def _namespace_of(jobs: Sequence[InferenceJob], named: str | None) -> str | None:
    """Return the one namespace that is named; None if there is none. Raise Invalid if there are several."""
    names = {name for name in (named, *(job.metadata.namespace for job in jobs)) if name}
    if len(names) > 1:
        raise Invalid("metadata.namespace", f"is {' and '.join(sorted(names))}; plan for one namespace at a time")
    return next(iter(names), None)


def shown_answer(answer: ClusterAnswer, *, now_us: int) -> ShownCalendar:
    """Return the answer as it is shown."""
    costs = (
        f"{job.name} is expected to cost {format_units(job.cost.total, job.cost.currency)}."
        for job in answer.jobs
        if job.cost
    )
    return ShownCalendar(
        now_us=now_us,
        jobs=tuple(map(_shown_job, answer.jobs)),
        pool=tuple(
            ShownPool(device_class=pool.device_class, devices=pool.devices, peak=pool.peak) for pool in answer.pool
        ),
        device="device",
        notes=(*costs, INDEXED, *answer.assumptions),
        warnings=answer.warnings,
        maker="dueby plan --cluster",
    )


def _shown_job(job: PreviewedJob) -> ShownJob:
    return ShownJob(
        name=job.name,
        deadline_class=job.deadline_class,
        state=job.action,
        deadline_s=job.deadline_seconds,
        starts_s=min((window.from_seconds for window in job.windows), default=None),
        expected_s=job.expected_seconds,
        sure_s=None if job.slack_seconds is None else job.deadline_seconds - job.slack_seconds,
        slack_s=job.slack_seconds,
        gpus=job.gpus,
        holds=tuple(map(_hold, job.windows)),
        is_refused=job.action in ("Refuse", "Hold"),
        sentence=f"{job.name}: {job.message}" if job.message else "",
    )


def _hold(window: PlannedWindow) -> ShownHold:
    return ShownHold(
        device_class=window.device_class,
        from_s=window.from_seconds,
        to_s=window.to_seconds,
        count=window.count,
        work=work_words(images=window.images, mini_batch_size=window.mini_batch_size, engine=window.engine),
    )

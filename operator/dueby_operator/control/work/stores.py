"""What a job's workers have seen of their stores: a limit, for its next plan and the jobs after it, and waits. Pure.

A worker whose store refuses requests goes slower until it doesn't (dueby_worker/storage/pace.py), and reports what it
got. All workers of the job together got the mean of these times their number, and those of other jobs of its namespace
what their images cost meanwhile: so much the store gives, to all of them together, and by that they are planned. Fewer
workers than before get less of a store that could give more, so that what more of them got is believed until as many
have seen less.

Workers that are planned by such a limit ask for no more, so they never see that a store gives more by now. So each job
that took all of it, and was refused nothing, adds a tenth of it for the jobs after it, until one is refused again.

It is also known which store keeps them, or one of the job's steps, waiting. A full sink or a source that is away ends
no job: workers ask again until the store is fixed, and lose no row. Nobody reads their logs meanwhile, so a condition
says what is wrong and what to do.
"""

from collections import Counter
from collections.abc import Iterable
from statistics import fmean

from dueby_api.conditions import ConditionType, Reason
from dueby_api.errors import Invalid
from dueby_api.inference_job import JobSpec
from dueby_api.source import Source
from dueby_api.status import JobStatus, ObservedStore
from dueby_api.step_messages import StoreWait
from dueby_api.store_limits import AS_SEEN, requests_per_image, store_root
from dueby_api.units import MICROS_PER_SECOND, format_time, parse_time_us
from dueby_api.words import counted
from dueby_operator.control.chain import PolicyInput
from dueby_operator.control.conditions import condition, has_reason
from dueby_operator.control.shared import ByStore, ReadersByStore, StoreReaders
from dueby_operator.model.actions import StepName
from dueby_operator.model.conditions import NewCondition
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.parse import micros_of
from dueby_planner.schedule.job import ScheduledJob

# Stores fail for a moment all the time; a shorter wait is no news.
MIN_WAIT_S = 10.0
_GO_ON = "the workers go on by themselves then, and no row is lost."
VALID_US = 7 * 24 * 3600 * MICROS_PER_SECOND
"""Stores are enlarged, and prefixes split: what was seen before is believed no more."""
_CHANGE = 0.1
"""A rate that differs by less is the same, so that the status is written, and the job planned again, seldom."""
_MORE = 0.1
"""So much of what was seen is added for each later job that took all of it and was refused nothing."""


def readers_by_store(jobs: Iterable[JobSnapshot]) -> ReadersByStore:
    """Return by namespace and store who reads of it now, by what workers report."""
    found: dict[tuple[str, str], list[StoreReaders]] = {}
    for job in jobs:
        root = None if isinstance(job.manifest, Invalid) else store_root(job.manifest.spec.source)
        if isinstance(job.manifest, Invalid) or root is None:
            continue
        at_work = {worker.name for worker in job.workers if not worker.is_gone}
        rates = [report.images_per_second for report in job.progress.values() if report.worker in at_work]
        images_per_s = [rate for rate in rates if rate]
        if images_per_s:
            size = job.status.input_cost.bytes_per_image if job.status.input_cost else 0
            requests = float(requests_per_image(job.manifest.spec.source, size))
            readers = StoreReaders(job.key, len(images_per_s), sum(images_per_s) * requests)
            found.setdefault((job.namespace, root), []).append(readers)
    return found


def observed_store(inputs: PolicyInput, scheduled: ScheduledJob) -> ObservedStore | None:
    """Return what is known of the job's store after what its workers report now."""
    before, root = inputs.status.observed_store, store_root(inputs.spec.source)
    at_work = {worker.name for worker in scheduled.alive}
    reports = [report for report in inputs.job.progress.values() if report.worker in at_work]
    seen = [report.observed_requests_per_second for report in reports if report.observed_requests_per_second]
    # One worker may have met a fault of its own.
    if root is None or 2 * len(seen) < max(1, len(at_work)):
        return before
    readers = inputs.shared.store_readers.get((inputs.job.namespace, root), ())
    others = [each for each in readers if each.job != inputs.job.key]
    workers = len(at_work) + sum(each.workers for each in others)
    rate = fmean(seen) * len(at_work) + sum(each.requests_per_s for each in others)
    if before is not None and before.store == root:
        same = abs(rate - before.requests_per_second) <= _CHANGE * before.requests_per_second
        if same or (rate < before.requests_per_second and workers < before.workers):
            return before
    return ObservedStore(
        store=root, requests_per_second=round(rate, 1), workers=workers, time=format_time(inputs.now_us)
    )


def observed_by_store(jobs: Iterable[JobSnapshot], *, now_us: int) -> ByStore:
    """Return the newest that jobs have seen of each store, for all jobs of their namespace, and what to try now."""
    jobs = list(jobs)
    newest: dict[tuple[str, str], ObservedStore] = {}
    for job in jobs:
        seen = None if isinstance(job.manifest, Invalid) else job.status.observed_store
        if seen is None or parse_time_us(seen.time) < now_us - VALID_US:
            continue
        key = job.namespace, seen.store
        if key not in newest or parse_time_us(newest[key].time) < parse_time_us(seen.time):
            newest[key] = seen
    fed = Counter(_store_that_fed(job, newest) for job in jobs)
    return {
        key: seen.replace(requests_per_second=round(seen.requests_per_second * (1 + _MORE * fed[key]), 1))
        for key, seen in newest.items()
    }


def _store_that_fed(job: JobSnapshot, newest: ByStore) -> tuple[str, str] | None:
    """Return the store of a job that is done since, if it took all that was seen before and was refused nothing."""
    status, plan = job.status, job.status.plan
    if isinstance(job.manifest, Invalid) or status.phase != "Succeeded" or status.observed_store is not None:
        return None
    if plan is None or plan.store is None or not plan.store.name.endswith(AS_SEEN):
        return None
    key = job.namespace, store_root(job.manifest.spec.source) or ""
    is_paced, began_us = any(group.paced for group in plan.groups), micros_of(status.starts) or 0
    return key if is_paced and key in newest and began_us > parse_time_us(newest[key].time) else None


def observed_requests(namespace: str, spec: JobSpec, seen: ByStore) -> float | None:
    """Return the requests a second that workers of the namespace have seen the job's store give."""
    root = store_root(spec.source)
    found = None if root is None else seen.get((namespace, root))
    return None if found is None else found.requests_per_second


def diagnose_stores(scheduled: ScheduledJob) -> NewCondition | None:
    """Return what the workers wait for, by the one that has been waiting for longest; None if no store is to blame."""
    waits = [wait for worker in scheduled.alive if (wait := worker.waits_for) and wait.seconds >= MIN_WAIT_S]
    if not waits:
        return None
    longest = max(waits, key=lambda wait: wait.seconds)
    count = sum(wait.store == longest.store for wait in waits)
    workers = f"{count} of {counted(len(scheduled.alive), 'worker')}"
    reason = Reason.SINK_NOT_WRITABLE if longest.store == "sink" else Reason.SOURCE_NOT_READABLE
    return NewCondition(reason=reason, message=f"{_sentence(workers, longest, scheduled.spec)} {_GO_ON}")


def step_waits_sentence(step: StepName, waits: Iterable[StoreWait], spec: JobSpec) -> str:
    """Return what a step waits for that there is once for a job; empty if no store is to blame."""
    longest = max(waits, key=lambda wait: wait.seconds, default=None)
    if longest is None or longest.seconds < MIN_WAIT_S:
        return ""
    return f"{_sentence(f'The {step} step', longest, spec)} the step goes on by itself then."


def waits_sentence(status: JobStatus) -> str:
    """Return what a status says of a store that the workers wait for; empty if nothing."""
    on_track = condition(status, ConditionType.ON_TRACK)
    is_about_stores = has_reason(status, Reason.SINK_NOT_WRITABLE, Reason.SOURCE_NOT_READABLE)
    return on_track.message if on_track and is_about_stores else ""


def _sentence(who: str, wait: StoreWait, spec: JobSpec) -> str:
    """Return what is wrong and what to do. Without the seconds: it would be written again with each pass."""
    error = wait.error or "it does not answer"
    if not error.endswith(("?", ".")):
        error += "."
    if wait.store == "sink":
        wrong, advice = f"write to {spec.sink.uri}", "Free space, renew the credentials or fix the store:"
    else:
        wrong, advice = f"read from {_name_of(spec.source)}", "Renew the credentials or fix the store:"
    return f"{who} can't {wrong}: {error} {advice}"


def _name_of(source: Source) -> str:
    return source.images_uri or (source.manifest.uri if source.manifest else "the source")

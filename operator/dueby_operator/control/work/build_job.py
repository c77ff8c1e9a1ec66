"""A job as the schedule sees it: its profiles, its devices, its workers, and what is reserved for it. Pure."""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from dueby_api.conditions import Reason
from dueby_api.inference_job import JobSpec
from dueby_api.input_cost import FREE
from dueby_api.status import SpentStatus
from dueby_api.subject import class_of, node_of
from dueby_api.units import parse_time_us
from dueby_operator.control.budgets import spent_use
from dueby_operator.control.chain import PolicyInput
from dueby_operator.control.conditions import has_reason
from dueby_operator.control.spending import with_spent
from dueby_operator.control.work.stores import observed_requests
from dueby_operator.model.job_snapshot import JobSnapshot, begun_parts
from dueby_operator.profiling.provenance import without_former_engines
from dueby_planner.model.cost import CostLimit, cost_limit_of
from dueby_planner.profiles.class_profiles import plannable
from dueby_planner.schedule.job import MAX_WORKERS, AbsentKind, News, ScheduledJob, WorkerModel


def build_job(inputs: PolicyInput) -> ScheduledJob:
    """Return the job with its workers and their devices."""
    job, spec, status = inputs.job, inputs.spec, inputs.status
    if status.images is None:
        raise ValueError(f"{job.namespace}/{job.name} is planned before its images are counted")
    image = spec.worker.image or inputs.worker_image
    profiles = without_former_engines(plannable(inputs.profiles, spec), image=image)
    classes = sorted({profile.spec.device_class for profile in profiles})
    workers = tuple(_with_leaving(_with_known_class(worker, classes), inputs) for worker in job.workers)
    at_work = Counter(w.assignment.device_class for w in workers if not w.is_gone and w.state != "queued")
    with_bill = with_spent(status, job.workers, inputs.shared.tariff, now_us=inputs.now_us)
    offer = inputs.shared.devices.offer(job.namespace, spec, classes=classes)
    absent, absent_kinds = _absent(job)
    news = _news(inputs)
    plan, last = status.plan, next((replan for replan in reversed(status.replans) if replan.reason == "GaveWay"), None)
    return ScheduledJob(
        key=job.key,
        spec=_planned_spec(spec, classes),
        now_us=inputs.now_us,
        deadline_us=inputs.deadline_us,
        promised_us=None if news == "Edited" else _promised_us(inputs),
        images=status.images,
        cost=status.input_cost or FREE,
        agreement=status.agreement,
        profiles=profiles,
        counts={name: at_work[name] for name in classes},
        offered=offer.counts,
        in_queue=offer.in_queue,
        max_workers=sum(at_work.values()) + MAX_WORKERS - len(job.shares),
        warnings=offer.warnings,
        promises=inputs.shared.promises,
        has_quota=inputs.shared.devices.has_quota(job.namespace),
        absent=absent,
        absent_kinds=absent_kinds,
        cores={name: inputs.shared.devices.worker_cores(job.namespace, spec, name) for name in classes},
        stores=inputs.shared.stores,
        tariff=inputs.shared.tariff,
        max_cost=_max_cost(inputs, with_bill.spent),
        spent=spent_use(with_bill),
        observed_requests=observed_requests(job.namespace, spec, inputs.shared.observed_stores),
        grace_s=inputs.shared.devices.worker_grace_s,
        part_size=inputs.part_size,
        parts_there=job.parts_there | begun_parts(status),
        least_done=0 if job.is_told_parts or not status.progress else min(status.progress.images_done, status.images),
        revision=job.revision,
        had_workers=inputs.has_started,
        misses_capacity=has_reason(status, Reason.CAPACITY_MISSING),
        workers=workers,
        news=news,
        lost_all=inputs.memory.lost_all,
        gave_way_at=last.images_in_sink if last else None,
        windows=plan.windows if plan and profiles else (),
        is_in_time=plan is not None and parse_time_us(plan.finish_at_confidence) <= inputs.deadline_us,
        may_wait=inputs.memory.generation is not None and not inputs.memory.waited_for_windows,
        lag=inputs.memory.lag,
    )


def _max_cost(inputs: PolicyInput, spent: SpentStatus | None) -> CostLimit | None:
    """Return what the job may cost, and what of it is spent for devices that it has no more."""
    tariff = inputs.shared.tariff
    if spent is None:
        return cost_limit_of(inputs.spec)
    is_known = not spent.unpriced and tariff is not None and tariff.currency == spent.currency
    return cost_limit_of(inputs.spec, spent=spent.micro_units, is_known=is_known)


def _absent(job: JobSnapshot) -> tuple[Counter[str], Counter[AbsentKind]]:
    """Return the devices that no node has given to a worker, although it looks as if it could.

    By class, and those that must be spot, or must not be, by class and that.
    """
    absent = [worker.assignment for worker in job.workers if worker.is_absent and not worker.assignment.pool]
    of_kind = ((found.device_class, found.is_spot) for found in absent if found.is_spot is not None)
    return Counter(found.device_class for found in absent if found.is_spot is None), Counter(of_kind)


def _with_leaving(worker: WorkerModel, inputs: PolicyInput) -> WorkerModel:
    node = inputs.nodes.get(worker.node)
    return worker if node is None else replace(worker, leaves_us=node.leaves_us(inputs.now_us))


def _with_known_class(worker: WorkerModel, classes: Collection[str]) -> WorkerModel:
    """Return the worker with a class that can be planned with.

    On a node that was slow and has recovered, it has a device of the class that the node is of.
    """
    assignment = worker.assignment
    if assignment.device_class in classes:
        return worker
    return replace(worker, assignment=replace(assignment, device_class=class_of(assignment.device_class)))


def _planned_spec(spec: JobSpec, classes: Collection[str]) -> JobSpec:
    """Return the spec as it is planned: without slow nodes that have no profile of its model, if it has others."""
    named = tuple(name for name in spec.gpus.classes if name in classes or not node_of(name))
    return spec.replace(gpus=spec.gpus.replace(classes=named or spec.gpus.classes))


def _promised_us(inputs: PolicyInput) -> int | None:
    """Return when the running plan expects the end: as remembered, or after a restart as the status says."""
    plan = inputs.status.plan
    if inputs.memory.promised_us is not None or plan is None or not plan.revision:
        return inputs.memory.promised_us
    return parse_time_us(plan.expected_finish)


def _news(inputs: PolicyInput) -> News | None:
    """Return what has happened since the last decision, the worst of it."""
    memory, states = inputs.memory, {worker.name: worker.state for worker in inputs.job.workers}
    if any(states[name] == "lost" for name in states.keys() - memory.lost):
        return "WorkerLost"
    if memory.generation not in (None, inputs.job.generation):
        return "Edited"
    return "Admitted" if any(states.get(name) in ("starting", "running") for name in memory.queued) else None

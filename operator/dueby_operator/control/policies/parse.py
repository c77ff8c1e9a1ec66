"""Parse: is what the job asks for valid, and until when is it asked for?

    the manifest is wrong     Failed, InvalidJob; so is an objective that jobs are only planned for
    a worker asks for more    Failed, InvalidJob: none of the CPU slices that it names has so many cores
    cores than its slices
    its class isn't allowed   Failed, Infeasible; Feasible False, NotPromised (the chart's promises.classes)
    otherwise                 acceptedTime and deadlineTime are recorded, and when workers were first seen, and the
                              chain goes on; that an earlier deadline was missed is forgotten

This policy makes the input of all the others.
"""

from collections.abc import Mapping

from dueby_api.conditions import Reason
from dueby_api.errors import Invalid
from dueby_api.inference_job import JobSpec
from dueby_api.quantities import quantity
from dueby_api.status import JobStatus
from dueby_api.units import format_time
from dueby_operator.cluster.nodes import CPU_CLASS, Node
from dueby_operator.control.chain import Outcome, PolicyInput, failed, refusal
from dueby_operator.control.conditions import without_reasons
from dueby_operator.control.shared import Shared
from dueby_operator.jobs import names
from dueby_operator.model.conditions import NewCondition
from dueby_operator.model.job_snapshot import JobSnapshot, begun_grid, begun_parts
from dueby_planner.deadline_classes import Promises


def parse(
    job: JobSnapshot,
    *,
    shared: Shared,
    now_us: int,
    nodes: Mapping[str, Node] | None = None,
    worker_image: str = "",
) -> PolicyInput | Outcome:
    """Return the job as the policies after this one see it, or what is wrong with it."""
    manifest = job.manifest
    if isinstance(manifest, Invalid):
        return refusal(manifest)
    if (error := _beyond_slices(manifest.spec)) and not job.status.plan:
        return refusal(error)
    if (sentence := _forbidden_class(job, manifest.spec, shared.promises)) and not job.status.plan:
        return failed(Reason.INFEASIBLE, sentence, NewCondition(reason=Reason.NOT_PROMISED, message=sentence))
    spec = shared.devices.with_own_classes(manifest.spec, measured=shared.known.device_classes)
    deadline_us = spec.deadline_us(accepted_us=job.accepted_us)
    return PolicyInput(
        job=job,
        manifest=manifest.replace(spec=spec),
        deadline_us=deadline_us,
        now_us=now_us,
        nodes=nodes or {},
        worker_image=worker_image,
        status=_with_times(job, deadline_us=deadline_us, now_us=now_us),
        memory=job.memory,
        shared=shared,
    )


def _beyond_slices(spec: JobSpec) -> Invalid | None:
    """Return what is wrong with a job that names CPU slices only, of which none has the cores that it asks for."""
    slices = [CPU_CLASS.match(name) for name in spec.gpus.classes]
    cores = spec.worker.resources.requests.get("cpu") if spec.worker.resources else None
    most = max((int(match[1]) for match in slices if match), default=0)
    if cores is None or not all(slices) or not slices or quantity(cores) <= most:
        return None
    return Invalid(
        "spec.worker.resources.requests.cpu",
        f"a worker asks for more ({cores}) than a slice of cpu-{most} has: name larger slices in spec.gpus.classes, "
        "or ask for fewer cores",
    )


def _forbidden_class(job: JobSnapshot, spec: JobSpec, promises: Promises) -> str:
    """Return that the job's namespace may not use its deadline class, and which it may; empty if it may."""
    allowed = promises.classes_of(job.namespace)
    if not allowed or spec.deadline_class in allowed:
        return ""
    return (
        f"Jobs of the namespace {job.namespace} may not be {spec.deadline_class}, by promises.classes. "
        f"Set spec.deadlineClass to {' or '.join(allowed)}."
    )


def _with_times(job: JobSnapshot, *, deadline_us: int, now_us: int) -> JobStatus:
    status = job.status
    if now_us < deadline_us:  # an earlier one that was missed is none any more
        status = without_reasons(status, Reason.MISSED)
    if status.observed_generation not in (None, job.generation):  # the limit of memory may be another
        status = status.replace(mini_batch_limits=None)
    if status.workers_seen is None and (_has_workers(job) or _had_workers(status)):
        status = status.replace(workers_seen=format_time(now_us))
    return status.replace(accepted_time=format_time(job.accepted_us), deadline_time=format_time(deadline_us))


def _has_workers(job: JobSnapshot) -> bool:
    """Return whether a Job of workers is there, even one of which nobody knows any more what its workers do."""
    return bool(job.workers) or any(
        batch_job.metadata.labels.get(names.STEP) == "work" for batch_job in job.without_config
    )


def _had_workers(status: JobStatus) -> bool:
    """Return whether a status shows that there were workers that was written by a version that didn't record it.

    A plan alone shows nothing: it is written before its workers are created, and these may be forbidden. Neither do
    parts that an earlier job has left in the sink.
    """
    progress, grid = status.progress, begun_grid(status)
    begun = 0 if grid is None else grid.images_in(begun_parts(status))
    has_done_some = progress is not None and progress.images_done > begun
    return bool(status.gpus or status.replans) or status.phase == "Running" or has_done_some
